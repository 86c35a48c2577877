/* command_run.c - raftsim run: a campaign, and an artefact for what it finds. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artefact.h"
#include "commands.h"
#include "nodes.h"
#include "worker.h"

enum { ARTEFACTS_MAX = 100 }; /* A campaign that keeps going saves no more than that. */

struct watch {
    const struct options *options;
    enum exit_code code;
    uint32_t artefacts;
    bool is_terminal, has_line;
    double report_time;
};

/* Of two exit codes, the one that says more: 4 before 1 before 3. */
static enum exit_code worse(enum exit_code a, enum exit_code b) {
    static const int rank[] = {
        [EXIT_HELD] = 0,     [EXIT_UNREACHED] = 1, [EXIT_VIOLATED] = 2, [EXIT_NONDETERMINISTIC] = 3,
        [EXIT_INTERNAL] = 4, [EXIT_USAGE] = 4};
    return rank[a] >= rank[b] ? a : b;
}

static void clear_line(struct watch *w) {
    if (w->has_line) fprintf(stderr, "\r\033[K");
    w->has_line = false;
}

static void origin_of(const struct campaign *c, uint64_t seed, char *text, size_t size) {
    snprintf(text, size, "seed %" PRIu64 ", profile %s", seed,
             profile_table[c->request.profile].name);
}

static void again_of(const struct campaign *c, uint64_t seed, char *text, size_t size) {
    int n = snprintf(text, size, "raftsim run --seed %" PRIu64 " --nodes %u", seed,
                     c->request.nodes_min);
    if (c->request.nodes_max != c->request.nodes_min)
        n += snprintf(text + n, size - (size_t)n, "..%u", c->request.nodes_max);
    n += snprintf(text + n, size - (size_t)n, " --steps %u --profile %s --node %s",
                  c->request.steps, profile_table[c->request.profile].name, c->impl->name);
    if (c->check_determinism) n += snprintf(text + n, size - (size_t)n, " --check-determinism");
    for (int i = 0; i < CHECK_COUNT && c->enabled != CHECK_ALL; i++)
        if (c->enabled >> i & 1)
            n += snprintf(text + n, size - (size_t)n, " --check %s", check_table[i].name);
}

/* More choices than a run of the campaign can take; the memory is only reserved. */
static size_t record_capacity(const struct campaign *c) {
    const size_t most = (size_t)1 << 26; /* As much as the reader of artefacts takes. */
    size_t steps = (size_t)c->request.steps + 100000;
    size_t choices = steps * (16 + 8 * (size_t)c->request.nodes_max);
    return choices < most ? choices : most;
}

/* The record is shared with the process of the run, so that it survives it. One serves all
 * findings. */
static struct choice_list *record_memory(const struct campaign *c) {
    static struct choice_list *record;
    if (record == NULL) {
        size_t capacity = record_capacity(c);
        record = campaign_shared(sizeof *record + sizeof(struct choice) * capacity);
        if (record == NULL) return NULL;
        record->items = (struct choice *)(record + 1);
        record->capacity = capacity;
    }
    record->count = 0;
    return record;
}

/* The seed again, this time with a record. The same must come of it. */
static bool record_again(const struct campaign *c, const struct finding *finding,
                         struct choice_list *record, struct guarded_run *run,
                         struct finding *again) {
    *run = (struct guarded_run){
        .impl = c->impl, .enabled = c->enabled, .hang_seconds = c->hang_seconds};
    campaign_draw(c, finding->seed, record, &run->config, &run->choices);
    bool has_finding;
    if (!campaign_guarded(run, again, &has_finding)) return false;
    again->seed = finding->seed;
    if (finding->kind == FINDING_NONDETERMINISTIC) {
        *again = *finding; /* Whatever came of it this time: the two runs differed. */
        return true;
    }
    bool is_same = has_finding && again->kind == finding->kind &&
                   again->result.steps == finding->result.steps &&
                   again->result.digest == finding->result.digest;
    if (is_same) return true;
    if (finding->kind == FINDING_ABORTED || finding->kind == FINDING_HUNG)
        if (has_finding && again->kind == finding->kind) return true;
    again->kind = FINDING_NONDETERMINISTIC;
    snprintf(again->result.reason, sizeof again->result.reason,
             "the run failed at step %" PRIu64 ", its repetition at step %" PRIu64,
             finding->result.steps, again->result.steps);
    again->result.violation.is_found = false;
    return true;
}

static bool save(const struct watch *w, const struct finding *finding,
                 const struct guarded_run *run, const struct choice_list *record, char *path,
                 size_t size) {
    const struct options *o = w->options;
    struct artefact a = {.enabled = run->enabled, .config = run->config, .choices = *record};
    snprintf(a.build, sizeof a.build, "%s", node_build_id(run->impl));
    snprintf(a.node, sizeof a.node, "%s", run->impl->name);
    origin_of(&o->campaign, finding->seed, a.origin, sizeof a.origin);
    output_outcome(finding, true, a.outcome, sizeof a.outcome, a.text, sizeof a.text);
    a.at_step = finding->result.steps;
    a.digest = finding->result.digest;
    struct artefact_error error;
    if (mkdir(o->out_dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "raftsim: %s: %s\n", o->out_dir, strerror(errno));
        return false;
    }
    int length = snprintf(path, size, "%s/seed-%" PRIu64 ".run", o->out_dir, finding->seed);
    if (length >= (int)size) snprintf(error.text, sizeof error.text, "the path is too long");
    else if (artefact_save(path, &a, &error)) return true;
    fprintf(stderr, "raftsim: %s\n", error.text);
    return false;
}

static void on_finding(void *context, const struct campaign *c, const struct finding *finding) {
    struct watch *w = context;
    clear_line(w);
    char path[4096], origin[96], again_text[512];
    origin_of(c, finding->seed, origin, sizeof origin);
    again_of(c, finding->seed, again_text, sizeof again_text);
    struct output_context about = {.node = c->impl->name,
                                   .build = node_build_id(c->impl),
                                   .origin = origin,
                                   .again = again_text};
    struct finding shown = *finding;
    if (w->artefacts < ARTEFACTS_MAX) {
        w->artefacts++;
        struct guarded_run run;
        struct choice_list *record = record_memory(c);
        bool has_run = record != NULL && record_again(c, finding, record, &run, &shown);
        if (!has_run) shown = *finding;
        if (!has_run && !campaign_interrupted)
            fprintf(stderr, "raftsim: no process or memory to run the seed again\n");
        bool is_whole = has_run && record->count <= record->capacity;
        if (has_run && !is_whole) fprintf(stderr, "raftsim: too many choices for an artefact\n");
        if (is_whole && save(w, &shown, &run, record, path, sizeof path)) about.artefact = path;
        else w->code = worse(w->code, EXIT_INTERNAL);
    }
    w->code = worse(w->code, output_exit_code(shown.kind));
    output_finding(stdout, w->options->format, &shown, &about);
    if (ferror(stdout)) campaign_interrupted = 1; /* Nobody reads it any more. */
}

static void on_progress(void *context, const struct campaign *c, const struct tally *tally,
                        double seconds) {
    struct watch *w = context;
    enum { LINE_SECONDS = 30 };
    if (!w->is_terminal && seconds < w->report_time) return;
    w->report_time = seconds + (double)LINE_SECONDS;
    uint64_t total = (c->last - c->first) / c->shards + 1;
    fprintf(stderr, "%s%" PRIu64, w->is_terminal ? "\r\033[K" : "", tally->runs);
    if (c->seconds > 0) fprintf(stderr, " runs, %.0f of %u s", seconds, c->seconds);
    else fprintf(stderr, " of %" PRIu64 " runs, %.0f s", total, seconds);
    if (tally->failures > 0) fprintf(stderr, ", %" PRIu64 " failed", tally->failures);
    if (!w->is_terminal) fputc('\n', stderr);
    w->has_line = w->is_terminal;
    fflush(stderr);
}

enum exit_code command_run(const struct options *o) {
    struct watch w = {.options = o, .is_terminal = isatty(STDERR_FILENO), .report_time = 30};
    struct campaign_watcher watcher = {
        .finding = on_finding, .progress = on_progress, .context = &w};
    struct campaign_result result;
    double start = clock_seconds();
    campaign_run(&o->campaign, &watcher, &result);
    clear_line(&w);
    output_summary(stdout, o->format, &o->campaign, &result, clock_seconds() - start);
    if (result.is_failed) {
        fprintf(stderr, "raftsim: a worker process could not be started, or not go on\n");
        return EXIT_INTERNAL;
    }
    return result.is_interrupted ? EXIT_INTERRUPTED : w.code;
}
