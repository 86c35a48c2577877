/* test_again.c - the command that is printed is the whole one, for any node, checks and settings,
 * and the name of an artefact tells runs apart. */
#include "again.h"

#include <criterion/criterion.h>
#include <string.h>

static struct campaign plain(const struct node_impl *impl) {
    return (struct campaign){
        .impl = impl,
        .request = {PROFILE_SWARM, 3, 3, 300, impl->log_max},
        .enabled = CHECK_ALL,
        .shard = 1,
        .shards = 1,
        .workers = 1,
        .hang_seconds = CAMPAIGN_HANG_SECONDS,
    };
}

static const char *command(const struct campaign *c, const char *program) {
    static char out[1 << 14];
    struct text t = text_begin(out, sizeof out);
    again_command(c, program, 42, &t);
    cr_assert(!t.is_cut);
    return out;
}

Test(again, tells_what_has_a_part_in_the_result) {
    struct campaign c = plain(&node_raft);
    cr_expect_str_eq(
        command(&c, "build/raftsim"),
        "build/raftsim run --seed 42 --nodes 3 --steps 300 --profile swarm --node raft");
    c.request.nodes_max = 7;
    c.enabled = 1u << CHECK_RECOVERY | 1u << CHECK_VOTE_ONCE;
    c.overrides[c.override_count++] = (struct campaign_override){config_find("lease"), 1000};
    c.overrides[c.override_count++] = (struct campaign_override){config_find("spares"), 0};
    c.check_determinism = true;
    c.hang_seconds = 7;
    cr_expect_str_eq(
        command(&c, "./a b/raftsim"),
        "'./a b/raftsim' run --seed 42 --nodes 3..7 --steps 300 --profile swarm --node "
        "raft --check vote-once,recovery --set lease=1000 --set spares=0 "
        "--check-determinism --hang-after 7s");
    c.enabled = CHECK_ALL & ~(1u << CHECK_PROGRESS) & ~(1u << CHECK_MONOTONIC);
    cr_expect(strstr(command(&c, "x"), "--check all,-monotonic,-progress --set") != NULL);
}

/* Goal: neither a long name nor many options overflow anything. Method: a name of 5,000 bytes, all
 * settings, all checks but one or half of them, into memory of every size with a guard behind. */
Test(again, is_cut_where_it_does_not_fit) {
    static char name[5001];
    memset(name, 'x', sizeof name - 1);
    struct node_impl impl = node_raft;
    impl.name = name;
    struct campaign c = plain(&impl);
    c.enabled = CHECK_ALL & ~1u;
    for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++)
        c.overrides[c.override_count++] =
            (struct campaign_override){&config_fields[i], config_fields[i].max};
    cr_expect(strstr(command(&c, name), name) != NULL);
    for (int i = 0; i < CHECK_COUNT; i += 2) c.enabled &= ~(1u << i);
    for (size_t size = 1; size < 12000; size += 97) {
        static char out[12000];
        memset(out, '#', sizeof out);
        struct text t = text_begin(out, size);
        again_command(&c, "raftsim", 1, &t);
        cr_assert(strlen(out) < size && out[size] == '#');
    }
}

static const char *stem(const struct campaign *c, const struct finding *finding) {
    static char out[256];
    struct text t = text_begin(out, sizeof out);
    again_stem(c, finding, &t);
    cr_assert(!t.is_cut);
    return out;
}

Test(again, names_artefacts) {
    struct node_impl impl = node_raft;
    impl.name = "mutant:C01";
    struct campaign c = plain(&impl);
    struct finding finding = {.seed = 3, .kind = FINDING_VIOLATED};
    finding.result.violation = (struct violation){.is_found = true, .check = CHECK_COMMIT_QUORUM};
    cr_expect_str_eq(stem(&c, &finding), "C01-seed-3-commit-quorum");
    c.request.profile = PROFILE_SPLIT;
    finding = (struct finding){.seed = 4, .kind = FINDING_ABORTED};
    impl.name = "../my raft";
    cr_expect_str_eq(stem(&c, &finding), "_._my_raft-split-seed-4-aborted");
}
