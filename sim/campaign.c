/* campaign.c - the parent's side: hands out seeds, merges results in their order, watches workers.
 */
#include "campaign.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

const char *finding_kind_name(enum finding_kind kind) {
    static const char *const names[] = {
        [FINDING_VIOLATED] = "violation",  [FINDING_STALLED] = "stalled",
        [FINDING_UNDECIDED] = "undecided", [FINDING_NONDETERMINISTIC] = "nondeterminism",
        [FINDING_ABORTED] = "aborted",     [FINDING_HUNG] = "hung",
    };
    return names[kind];
}

const char *finding_name(const struct finding *finding) {
    const struct violation *v = &finding->result.violation;
    bool is_of_check = v->is_found && finding->kind != FINDING_NONDETERMINISTIC;
    return is_of_check ? check_table[v->check].name : finding_kind_name(finding->kind);
}

volatile sig_atomic_t campaign_interrupted;

static void interrupt(int signal_number) {
    (void)signal_number;
    campaign_interrupted = 1;
}

/* Chunks that are handed out but not merged: a ring by number. */
struct dispatcher {
    const struct campaign *campaign;
    const struct campaign_watcher *watcher;
    struct campaign_result *result;
    struct worker workers[CAMPAIGN_WORKERS_MAX];
    struct chunk *chunks;
    uint32_t window;      /* Chunks in the ring. */
    uint64_t merged;      /* Chunks before it are merged. */
    uint64_t next;        /* The next to hand out. */
    uint64_t next_seed;   /* Its first seed. */
    uint64_t chunk_seeds; /* Seeds in a chunk. */
    bool is_out_of_seeds;
    uint32_t idle_deaths; /* Of workers that had nothing to do. */
    bool is_over; /* A finding ended it, or time, or Ctrl-C: what is not merged does not count. */
    double start_time, deadline, progress_time;
};

static struct chunk *chunk_at(struct dispatcher *d, uint64_t number) {
    return &d->chunks[number % d->window];
}

/* ---- seeds ---- */

/* Small enough that all workers have work to the end, and that `seconds` is kept. */
static void choose_chunk_size(struct dispatcher *d) {
    enum { CHUNK_STEPS = 200000 };
    const struct campaign *c = d->campaign;
    uint64_t seeds = (c->last - c->first) / c->shards + 1;
    uint64_t share = seeds / ((uint64_t)c->workers * 8);
    uint64_t short_enough = CHUNK_STEPS / ((uint64_t)c->request.steps + 1);
    d->chunk_seeds = share < short_enough ? share : short_enough;
    if (d->chunk_seeds > CHUNK_SEEDS_MAX) d->chunk_seeds = CHUNK_SEEDS_MAX;
    if (d->chunk_seeds < 1) d->chunk_seeds = 1;
}

static void next_chunk(struct dispatcher *d, struct chunk *chunk) {
    const struct campaign *c = d->campaign;
    assert(!d->is_out_of_seeds);
    uint64_t left = (c->last - d->next_seed) / c->shards;
    uint64_t more = left < d->chunk_seeds - 1 ? left : d->chunk_seeds - 1;
    chunk->begin = d->next_seed;
    chunk->last = d->next_seed + more * c->shards;
    chunk->kills = 0;
    d->is_out_of_seeds = left == more;
    d->next_seed = chunk->last + c->shards;
}

static void restart_chunk(struct chunk *chunk) {
    chunk->first = chunk->begin;
    chunk->is_done = false;
    chunk->tally = (struct tally){0};
    chunk->finding_count = 0;
}

/* Ends the chunk, and the campaign, before the first seed whose configuration is invalid with the
 * overrides. False when nothing is left of it. */
static bool fit_chunk(struct dispatcher *d, struct chunk *chunk) {
    const struct campaign *c = d->campaign;
    if (c->override_count == 0) return true;
    for (uint64_t seed = chunk->begin; seed <= chunk->last; seed += c->shards) {
        struct cluster_config config;
        struct choices choices;
        campaign_draw(c, seed, NULL, &config, &choices);
        const char *problem = config_problem(&config);
        if (problem == NULL) continue;
        d->is_out_of_seeds = d->result->has_misfit = true;
        d->result->misfit_seed = seed;
        snprintf(d->result->misfit, sizeof d->result->misfit, "%s", problem);
        chunk->last = seed - c->shards;
        return seed != chunk->begin;
    }
    return true;
}

static void dispatch(struct dispatcher *d) {
    for (uint32_t i = 0; i < d->campaign->workers; i++) {
        struct worker *w = &d->workers[i];
        if (w->is_busy || w->pid == 0) continue;
        if (d->is_out_of_seeds || d->next - d->merged >= d->window) return;
        next_chunk(d, &w->slot->chunk);
        if (!fit_chunk(d, &w->slot->chunk)) return;
        restart_chunk(&w->slot->chunk);
        w->slot->chunk.number = d->next++;
        chunk_at(d, w->slot->chunk.number)->is_done = false;
        worker_command(w);
    }
}

/* ---- merging ---- */

static void add_tally(struct tally *sum, const struct tally *tally) {
    sum->runs += tally->runs;
    sum->steps += tally->steps;
    sum->events += tally->events;
    sum->digest += tally->digest;
    sum->failures += tally->failures;
    sum->steps_to_failure += tally->steps_to_failure;
    for (int i = 0; i < SOMETIMES_COUNT; i++) sum->counts[i] += tally->counts[i];
}

static void merge_chunk(struct dispatcher *d, const struct chunk *chunk) {
    add_tally(&d->result->tally, &chunk->tally);
    d->result->seed_last = chunk->last;
    for (uint32_t i = 0; i < chunk->finding_count; i++) {
        const struct finding *finding = &chunk->findings[i];
        d->result->findings++;
        d->watcher->finding(d->watcher->context, d->campaign, finding);
        if (d->campaign->keep_going) continue;
        d->result->seed_last = finding->seed;
        d->is_over = true;
    }
}

static void merge(struct dispatcher *d) {
    while (!d->is_over && d->merged < d->next && chunk_at(d, d->merged)->is_done) {
        struct chunk *chunk = chunk_at(d, d->merged);
        merge_chunk(d, chunk);
        chunk->is_done = false;
        d->merged++;
    }
}

/* ---- workers ---- */

static bool start_workers(struct dispatcher *d) {
    for (uint32_t i = 0; i < d->campaign->workers; i++) {
        struct worker *w = &d->workers[i];
        w->slot = campaign_shared(sizeof *w->slot);
        if (w->slot == NULL || !worker_start(w, d->campaign)) return false;
    }
    return true;
}

static void finish_chunk(struct dispatcher *d, struct worker *w) {
    w->is_busy = false;
    *chunk_at(d, w->slot->chunk.number) = w->slot->chunk;
}

static void start_again(struct dispatcher *d, struct worker *w) {
    if (!worker_start(w, d->campaign)) d->result->is_failed = d->is_over = true;
}

/* The seed that the worker was at is a finding; another worker goes on with the seeds after it. */
static void note_death(struct dispatcher *d, struct worker *w, struct finding *finding) {
    const struct campaign *c = d->campaign;
    struct chunk *chunk = &w->slot->chunk;
    struct choices choices;
    struct cluster_config config;
    campaign_draw(c, finding->seed, NULL, &config, &choices);
    finding->nodes = config.nodes;
    chunk->findings[chunk->finding_count++] = *finding;
    chunk->tally.runs++;
    chunk->tally.steps += finding->result.steps;
    chunk->tally.failures++;
    chunk->tally.steps_to_failure += finding->result.steps;
    if (finding->seed == chunk->last || !c->keep_going || d->is_over) {
        chunk->is_done = true;
        finish_chunk(d, w);
        return;
    }
    chunk->first = finding->seed + c->shards;
    worker_command(w);
}

/* The worker died or was killed. When the signal came from outside, all of its chunk is run again:
 * the end may have come in the middle of a sum. */
static void replace_worker(struct dispatcher *d, struct worker *w, enum finding_kind kind) {
    enum { IDLE_DEATHS_MAX = 100 };
    struct finding finding = {.seed = w->slot->seed, .kind = kind};
    bool was_busy = w->is_busy, has_no_memory = w->slot->witness.has_no_memory;
    int status = worker_reap(w);
    witness_report(&w->slot->witness, kind == FINDING_HUNG ? 0 : status, &finding);
    if (has_no_memory || (!was_busy && ++d->idle_deaths > IDLE_DEATHS_MAX)) {
        d->result->is_failed = d->is_over = true;
        return;
    }
    start_again(d, w);
    if (d->is_over || !was_busy) return;
    bool is_outside = finding_is_outside(finding.signal);
    if (!is_outside || w->slot->chunk.kills++ >= CAMPAIGN_KILLS_MAX) {
        note_death(d, w, &finding);
        return;
    }
    d->result->kills++;
    d->watcher->killed(d->watcher->context, finding.seed, finding.signal);
    restart_chunk(&w->slot->chunk);
    worker_command(w);
}

static void hear(struct dispatcher *d, struct worker *w) {
    char byte;
    ssize_t count = read(w->done_fd, &byte, 1);
    if (count == 1) finish_chunk(d, w);
    else if (count == 0) replace_worker(d, w, FINDING_ABORTED);
}

static void watch_beat(struct dispatcher *d, struct worker *w) {
    if (!w->is_busy) return;
    uint64_t beat = atomic_load(&w->slot->witness.beat);
    if (!watchdog_look(&w->watchdog, w->pid, beat, d->campaign->hang_seconds)) return;
    kill(w->pid, SIGKILL);
    replace_worker(d, w, FINDING_HUNG);
}

static void show_progress(struct dispatcher *d, double now) {
    if (now < d->progress_time) return;
    d->progress_time = now + 0.2;
    struct tally sum = d->result->tally;
    for (uint32_t i = 0; i < d->campaign->workers; i++)
        if (d->workers[i].is_busy) sum.runs += d->workers[i].slot->chunk.tally.runs;
    d->watcher->progress(d->watcher->context, d->campaign, &sum, now - d->start_time);
}

static void wait_for_workers(struct dispatcher *d) {
    struct pollfd fds[CAMPAIGN_WORKERS_MAX];
    for (uint32_t i = 0; i < d->campaign->workers; i++)
        fds[i] = (struct pollfd){.fd = d->workers[i].done_fd, .events = POLLIN};
    int ready = poll(fds, d->campaign->workers, 100);
    double now = clock_seconds();
    for (uint32_t i = 0; i < d->campaign->workers && !d->is_over; i++) {
        if (ready > 0 && fds[i].revents != 0) hear(d, &d->workers[i]);
        else watch_beat(d, &d->workers[i]);
    }
    show_progress(d, now);
}

static bool is_busy(const struct dispatcher *d) {
    for (uint32_t i = 0; i < d->campaign->workers; i++)
        if (d->workers[i].is_busy) return true;
    return false;
}

static void loop(struct dispatcher *d) {
    while (!d->is_over) {
        bool is_late = d->deadline > 0 && clock_seconds() > d->deadline;
        if (is_late)
            d->is_out_of_seeds = true; /* What is under way is finished, so that it counts. */
        dispatch(d);
        if (!is_busy(d)) break;
        wait_for_workers(d);
        if (!campaign_interrupted) merge(d);
        if (campaign_interrupted) d->is_over = d->result->is_interrupted = true;
    }
}

void campaign_run(const struct campaign *campaign, const struct campaign_watcher *watcher,
                  struct campaign_result *out) {
    assert(campaign->workers >= 1 && campaign->workers <= CAMPAIGN_WORKERS_MAX);
    assert(campaign->shard >= 1 && campaign->shard <= campaign->shards);
    *out = (struct campaign_result){.seed_last = campaign->first};
    struct dispatcher d = {.campaign = campaign, .watcher = watcher, .result = out};
    d.window = campaign->workers * 4;
    d.chunks = calloc(d.window, sizeof d.chunks[0]);
    choose_chunk_size(&d);
    d.next_seed = campaign->first + campaign->shard - 1;
    d.is_out_of_seeds = d.next_seed > campaign->last;
    d.start_time = clock_seconds();
    d.deadline = campaign->seconds > 0 ? d.start_time + campaign->seconds : 0;
    campaign_interrupted = 0;
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    signal(SIGPIPE, SIG_IGN);
    if (d.chunks != NULL && start_workers(&d)) loop(&d);
    else out->is_failed = true;
    for (uint32_t i = 0; i < campaign->workers; i++) worker_stop(&d.workers[i]);
    free(d.chunks);
}
