/* command_replay.c - raftsim replay: a saved run, or an input of the fuzzer, again. */
#include <inttypes.h>
#include <string.h>

#include "artefact.h"
#include "commands.h"
#include "nodes.h"

/* The id that this program would save for the artefact's node. */
static const char *build_of(const struct artefact *a) { return node_build_id(node_find(a->node)); }

static void prepare(const struct artefact *a, const struct node_impl *impl,
                    struct guarded_run *run) {
    enum { HANG_SECONDS = 30 };
    *run = (struct guarded_run){
        .impl = impl, .config = a->config, .enabled = a->enabled, .hang_seconds = HANG_SECONDS};
    if (a->is_bytes) {
        size_t head = artefact_bytes_config(a->bytes, a->size, impl->log_max, &run->config);
        choices_bytes(&run->choices, a->bytes + head, a->size - head);
    } else {
        choices_replay(&run->choices, a->choices.items, a->choices.count);
    }
}

/* True if it came out as saved. A process that died told neither its step nor its digest. */
static bool is_same(const struct artefact *a, const struct finding *finding, const char *outcome) {
    if (strcmp(outcome, a->outcome) != 0) return false;
    if (finding->kind == FINDING_ABORTED || finding->kind == FINDING_HUNG) return true;
    return finding->result.steps == a->at_step && finding->result.digest == a->digest;
}

static enum exit_code differs(const struct options *o, const struct artefact *a,
                              const struct finding *finding, const char *outcome) {
    bool is_same_build = strcmp(a->build, build_of(a)) == 0;
    fprintf(stderr,
            "raftsim: %s: saved was '%s' at step %" PRIu64 ", digest %016" PRIx64
            "; now it is '%s' at step %" PRIu64 ", digest %016" PRIx64 "%s%s: %s\n",
            o->file, a->outcome, a->at_step, a->digest, outcome, finding->result.steps,
            finding->result.digest, finding->result.reason[0] != 0 ? ": " : "",
            finding->result.reason,
            is_same_build ? "the same build gave two results, a bug"
                          : "another build, on which this run no longer applies");
    return is_same_build ? EXIT_NONDETERMINISTIC : EXIT_UNREACHED;
}

static void show(const struct options *o, const struct artefact *a, const struct finding *finding,
                 bool has_finding, const struct description *description) {
    struct output_context about = {.node = a->node,
                                   .build = build_of(a),
                                   .origin = a->origin,
                                   .program = o->program,
                                   .artefact = o->file,
                                   .description = description};
    if (has_finding) output_finding(stdout, o->format, finding, &about);
    else if (o->format == OUTPUT_TEXT)
        printf("held: %" PRIu64 " steps, digest %016" PRIx64 "\n", finding->result.steps,
               finding->result.digest);
    else
        printf("{\"type\":\"held\",\"step\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\"}\n",
               finding->result.steps, finding->result.digest);
}

static enum exit_code replay(const struct options *o, const struct artefact *a) {
    const struct node_impl *impl = node_find(a->node);
    if (impl == NULL) {
        fprintf(stderr, "raftsim: %s: no node '%s'; expected one of 'raftsim list nodes'\n",
                o->file, a->node);
        return EXIT_USAGE;
    }
    if (!a->is_bytes && strcmp(a->build, build_of(a)) != 0)
        fprintf(stderr,
                "raftsim: %s was saved by build %s, this is %s: it may come out differently\n",
                o->file, a->build, build_of(a));
    struct guarded_run run;
    struct description description = {0};
    prepare(a, impl, &run);
    run.description = &description;
    struct finding finding;
    bool has_finding;
    bool is_done = o->no_fork ? campaign_unguarded(&run, &finding, &has_finding)
                              : campaign_guarded(&run, &finding, &has_finding);
    if (!is_done) {
        fprintf(stderr, "raftsim: no process or no memory\n");
        return EXIT_INTERNAL;
    }
    if (finding.kills > 0) fprintf(stderr, "raftsim: killed from outside; it was run again\n");
    char outcome[64], text[OUTPUT_TEXT_MAX];
    output_outcome(&finding, has_finding, outcome, sizeof outcome, text, sizeof text);
    if (!a->is_bytes && !is_same(a, &finding, outcome)) return differs(o, a, &finding, outcome);
    show(o, a, &finding, has_finding, &description);
    return has_finding ? output_exit_code(finding.kind) : EXIT_HELD;
}

enum exit_code command_replay(const struct options *o) {
    struct artefact a;
    struct artefact_error error;
    if (!artefact_load(o->file, &a, &error)) {
        fprintf(stderr, "raftsim: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (a.is_bytes) snprintf(a.origin, sizeof a.origin, "%zu bytes", a.size);
    enum exit_code code = replay(o, &a);
    artefact_free(&a);
    return code;
}
