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
    chunk->number = d->next++;
    chunk->first = d->next_seed;
    chunk->last = d->next_seed + more * c->shards;
    chunk->is_done = false;
    chunk->tally = (struct tally){0};
    chunk->finding_count = 0;
    d->is_out_of_seeds = left == more;
    d->next_seed = chunk->last + c->shards;
}

static void dispatch(struct dispatcher *d) {
    for (uint32_t i = 0; i < d->campaign->workers; i++) {
        struct worker *w = &d->workers[i];
        if (w->is_busy || w->pid == 0) continue;
        if (d->is_out_of_seeds || d->next - d->merged >= d->window) return;
        next_chunk(d, &w->slot->chunk);
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

/* The worker died or was killed: that is a finding of the seed it was at. Another worker goes on
 * with the seeds after it. */
static void replace_worker(struct dispatcher *d, struct worker *w, enum finding_kind kind) {
    const struct campaign *c = d->campaign;
    struct chunk *chunk = &w->slot->chunk;
    bool was_busy = w->is_busy;
    int status = worker_reap(w);
    if (!was_busy || (WIFEXITED(status) && WEXITSTATUS(status) == 5)) {
        d->result->is_failed = d->is_over = true;
        return;
    }
    struct choices choices;
    struct cluster_config config;
    uint64_t seed = w->slot->seed;
    campaign_draw(c, seed, NULL, &config, &choices);
    chunk->findings[chunk->finding_count++] = (struct finding){
        .seed = seed,
        .kind = kind,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        .nodes = config.nodes,
    };
    chunk->tally.runs++;
    chunk->tally.failures++;
    if (!worker_start(w, c)) d->result->is_failed = d->is_over = true;
    if (seed == chunk->last || !c->keep_going || d->is_over) {
        chunk->is_done = true;
        finish_chunk(d, w);
        return;
    }
    chunk->first = seed + c->shards;
    worker_command(w);
}

static void hear(struct dispatcher *d, struct worker *w) {
    char byte;
    ssize_t count = read(w->done_fd, &byte, 1);
    if (count == 1) finish_chunk(d, w);
    else if (count == 0) replace_worker(d, w, FINDING_ABORTED);
}

static void watch_beat(struct dispatcher *d, struct worker *w, double now) {
    uint64_t beat = atomic_load(&w->slot->beat);
    if (!w->is_busy || beat != w->beat_seen) {
        w->beat_seen = beat;
        w->beat_time = now;
    } else if (now - w->beat_time > d->campaign->hang_seconds) {
        kill(w->pid, SIGKILL);
        replace_worker(d, w, FINDING_HUNG);
    }
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
        else watch_beat(d, &d->workers[i], now);
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
