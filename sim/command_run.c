/* command_run.c - raftsim run: a campaign, and an artefact for what it finds. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "again.h"
#include "artefact.h"
#include "commands.h"
#include "nodes.h"
#include "store.h"
#include "watchdog.h"

enum { ARTEFACTS_MAX = 100 }; /* A campaign that keeps going saves no more than that. */

struct watch {
    const struct options *options;
    enum exit_code code;
    uint32_t artefacts;
    bool is_terminal, has_line;
    struct description description; /* The run that was repeated last, in words. */
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

/* More choices than a run of the campaign can take; the memory is only reserved. */
static size_t record_capacity(const struct campaign *c) {
    const size_t most = (size_t)1 << 26; /* As much as the reader of artefacts takes. */
    struct cluster_config largest = {.nodes = c->request.nodes_max, .steps = c->request.steps};
    for (uint32_t i = 0; i < c->override_count; i++)
        config_set(&largest, c->overrides[i].field, c->overrides[i].value);
    size_t steps = (size_t)largest.steps + 100000;
    size_t choices = steps * (16 + 8 * (size_t)largest.nodes);
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

/* What came of the repetition is not what came of the run. */
static void tell_difference(const struct finding *finding, struct finding *again) {
    if (finding->kind == FINDING_ABORTED && finding_is_outside(finding->signal)) {
        *again = *finding;
        again->is_unrepeated = true;
        return;
    }
    again->kind = FINDING_NONDETERMINISTIC;
    snprintf(again->result.reason, sizeof again->result.reason,
             "the run failed at step %" PRIu64 ", its repetition at step %" PRIu64,
             finding->result.steps, again->result.steps);
    again->result.violation.is_found = false;
}

/* The seed again, this time with a record. The same must come of it. */
static bool record_again(const struct campaign *c, const struct finding *finding,
                         struct choice_list *record, struct guarded_run *run,
                         struct description *description, struct finding *again) {
    *run = (struct guarded_run){.impl = c->impl,
                                .enabled = c->enabled,
                                .hang_seconds = c->hang_seconds,
                                .is_quiet = true,
                                .description = description};
    campaign_draw(c, finding->seed, record, &run->config, &run->choices);
    bool has_finding;
    if (!campaign_guarded(run, again, &has_finding)) return false;
    if (again->kills > 0)
        fprintf(stderr, "raftsim: seed %" PRIu64 ": killed from outside; it was run again\n",
                finding->seed);
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
    tell_difference(finding, again);
    return true;
}

static bool make_directory(const char *path, struct artefact_error *error) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return true;
    snprintf(error->text, sizeof error->text, "%.200s: %s", path, strerror(errno));
    return false;
}

static bool save(const struct watch *w, const struct finding *finding,
                 const struct guarded_run *run, const struct choice_list *record, char *path,
                 size_t size) {
    const struct options *o = w->options;
    struct artefact a = {.enabled = run->enabled, .config = run->config, .choices = *record};
    snprintf(a.build, sizeof a.build, "%s", node_build_id(run->impl));
    struct text node = text_begin(a.node, sizeof a.node);
    text_add(&node, "%s", run->impl->name);
    origin_of(&o->campaign, finding->seed, a.origin, sizeof a.origin);
    output_outcome(finding, true, a.outcome, sizeof a.outcome, a.text, sizeof a.text);
    a.at_step = finding->result.steps;
    a.digest = finding->result.digest;
    char stem[256];
    struct text t = text_begin(stem, sizeof stem);
    again_stem(&o->campaign, finding, &t);
    struct artefact_error error = {"the name of the node is too long for an artefact"};
    if (!node.is_cut && make_directory(o->out_dir, &error) &&
        artefact_path(o->out_dir, stem, &a, path, size, &error) && artefact_save(path, &a, &error))
        return true;
    fprintf(stderr, "raftsim: %s\n", error.text);
    return false;
}

/* Runs the seed again and saves it. `path` is the artefact's, or empty. */
static void keep(struct watch *w, const struct campaign *c, const struct finding *finding,
                 struct finding *shown, char *path, size_t size) {
    struct guarded_run run;
    struct choice_list *record = record_memory(c);
    bool has_run = record != NULL && record_again(c, finding, record, &run, &w->description, shown);
    if (!has_run) *shown = *finding;
    if (!has_run && !campaign_interrupted)
        fprintf(stderr, "raftsim: no process or memory to run the seed again\n");
    if (has_run && shown->is_unrepeated) return; /* There is no run that ends so. */
    bool is_whole = has_run && record->count <= record->capacity;
    if (has_run && !is_whole) fprintf(stderr, "raftsim: too many choices for an artefact\n");
    if (is_whole && save(w, shown, &run, record, path, size)) return;
    *path = 0;
    w->code = worse(w->code, EXIT_INTERNAL);
}

static void on_finding(void *context, const struct campaign *c, const struct finding *finding) {
    struct watch *w = context;
    clear_line(w);
    char path[PATH_MAX] = "", origin[96], command[OUTPUT_COMMAND_MAX];
    origin_of(c, finding->seed, origin, sizeof origin);
    struct text again = text_begin(command, sizeof command);
    again_command(c, w->options->program, finding->seed, &again);
    struct finding shown = *finding;
    w->description.state[0] = 0;
    if (w->artefacts++ < ARTEFACTS_MAX) keep(w, c, finding, &shown, path, sizeof path);
    struct output_context about = {.node = c->impl->name,
                                   .build = node_build_id(c->impl),
                                   .origin = origin,
                                   .program = w->options->program,
                                   .artefact = path[0] != 0 ? path : NULL,
                                   .again = again.is_cut ? NULL : command,
                                   .description = &w->description};
    w->code = worse(w->code, output_exit_code(shown.kind));
    output_finding(stdout, w->options->format, &shown, &about);
    if (ferror(stdout)) campaign_interrupted = 1; /* Nobody reads it any more. */
}

static void on_killed(void *context, uint64_t seed, int signal_number) {
    clear_line(context);
    fprintf(stderr,
            "raftsim: seed %" PRIu64
            ": its worker was killed by %s from outside; it is run again\n",
            seed, output_signal_name(signal_number));
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

/* The configuration of a seed is invalid with the overrides. */
static enum exit_code misfit(const struct campaign_result *result) {
    fprintf(stderr, "raftsim: --set does not go with seed %" PRIu64 ": %s\n", result->misfit_seed,
            result->misfit);
    return EXIT_USAGE;
}

enum exit_code command_run(const struct options *o) {
    struct store_error error;
    if (!store_probe(o->out_dir, &error)) {
        fprintf(stderr, "raftsim: --out: %s\n", error.text);
        return EXIT_USAGE;
    }
    struct watch w = {.options = o, .is_terminal = isatty(STDERR_FILENO), .report_time = 30};
    struct campaign_watcher watcher = {
        .finding = on_finding, .killed = on_killed, .progress = on_progress, .context = &w};
    struct campaign_result result;
    double start = clock_seconds();
    campaign_run(&o->campaign, &watcher, &result);
    clear_line(&w);
    if (result.has_misfit && result.tally.runs == 0) return misfit(&result);
    double seconds = clock_seconds() - start;
    output_summary(stdout, o->format, &o->campaign, &result, seconds, o->sometimes);
    if (result.has_misfit && !result.is_failed && !result.is_interrupted) {
        bool is_ended = result.findings > 0 && !o->campaign.keep_going; /* Before that seed. */
        if (!is_ended) return misfit(&result);
    }
    if (result.is_failed) {
        fprintf(stderr, "raftsim: a worker process could not be started, or not go on\n");
        return EXIT_INTERNAL;
    }
    return result.is_interrupted ? EXIT_INTERRUPTED : w.code;
}
