/* again.c - commands and names for runs, from the options of their campaign. */
#include "again.h"

#include <inttypes.h>
#include <string.h>

static void add_nodes(struct text *out, const struct profile_request *request) {
    text_add(out, " --nodes %u", request->nodes_min);
    if (request->nodes_max != request->nodes_min) text_add(out, "..%u", request->nodes_max);
}

/* The shorter of two lists: those that are enabled, or all without the others. */
static void add_checks(struct text *out, uint32_t enabled) {
    if (enabled == CHECK_ALL) return;
    bool is_most = __builtin_popcount(enabled) > CHECK_COUNT / 2;
    const char *before = is_most ? "all,-" : "";
    text_add(out, " --check ");
    for (int i = 0; i < CHECK_COUNT; i++) {
        if ((enabled >> i & 1) == is_most) continue;
        text_add(out, "%s%s", before, check_table[i].name);
        before = is_most ? ",-" : ",";
    }
}

static void add_overrides(struct text *out, const struct campaign *c) {
    for (uint32_t i = 0; i < c->override_count; i++)
        text_add(out, " --set %s=%u", c->overrides[i].field->name, c->overrides[i].value);
}

void again_command(const struct campaign *campaign, const char *program, uint64_t seed,
                   struct text *out) {
    text_add_quoted(out, program);
    text_add(out, " run --seed %" PRIu64, seed);
    add_nodes(out, &campaign->request);
    text_add(out, " --steps %u --profile %s --node ", campaign->request.steps,
             profile_table[campaign->request.profile].name);
    text_add_quoted(out, campaign->impl->name);
    add_checks(out, campaign->enabled);
    add_overrides(out, campaign);
    if (campaign->check_determinism) text_add(out, " --check-determinism");
    if (campaign->hang_seconds != CAMPAIGN_HANG_SECONDS)
        text_add(out, " --hang-after %us", campaign->hang_seconds);
}

void again_stem(const struct campaign *campaign, const struct finding *finding, struct text *out) {
    enum { NAME_MAX_LENGTH = 40 };
    static const char mutant[] = "mutant:";
    const char *name = campaign->impl->name;
    if (strncmp(name, mutant, strlen(mutant)) == 0) name += strlen(mutant);
    text_add_file_name(out, name, NAME_MAX_LENGTH);
    if (campaign->request.profile != PROFILE_SWARM)
        text_add(out, "-%s", profile_table[campaign->request.profile].name);
    text_add(out, "-seed-%" PRIu64 "-%s", finding->seed, finding_name(finding));
}
