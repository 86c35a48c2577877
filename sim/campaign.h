/* campaign.h - many seeds, in worker processes, with one verdict.
 *
 *     parent -- "seeds 65..128" --> worker: run, run, run ...
 *            <-- tally, findings --          (shared memory; a byte through a pipe when done)
 *
 * The parent merges what the workers did in the order of the seeds, and stops at the first finding:
 * the result is the same for any number of workers. A worker that dies or hangs is a finding of the
 * seed it was at, and another one takes its place. */
#ifndef CAMPAIGN_H
#define CAMPAIGN_H

#include <signal.h>

#include "profile.h"
#include "run.h"

struct campaign {
    const struct node_impl *impl;
    struct profile_request request;
    uint32_t enabled;       /* Checks. */
    uint64_t first, last;   /* Seeds, both included. */
    uint32_t shard, shards; /* Only every shards-th seed, from the shard-th on; 1, 1: all. */
    uint32_t seconds;       /* Stop after that time; 0: when the seeds are done. */
    uint32_t workers;       /* 1..CAMPAIGN_WORKERS_MAX */
    uint32_t hang_seconds;  /* A run that does not move for so long hangs. */
    bool keep_going;        /* Do not stop at the first finding. */
    bool check_determinism; /* Run each seed twice. */
};
enum { CAMPAIGN_WORKERS_MAX = 256 };

/* What the runs of some seeds add up to. */
struct tally {
    uint64_t runs, steps, events;
    uint64_t digest; /* Sum over all runs: the same however the seeds are split. */
    uint64_t counts[SOMETIMES_COUNT];
    uint64_t failures, steps_to_failure; /* Runs that failed, and their steps until then. */
};

enum finding_kind {
    FINDING_VIOLATED,
    FINDING_STALLED,
    FINDING_UNDECIDED,
    FINDING_NONDETERMINISTIC, /* The two runs of a seed differ. */
    FINDING_ABORTED,          /* The process died: an assertion, a signal. */
    FINDING_HUNG
};
const char *finding_kind_name(enum finding_kind kind);

struct finding {
    uint64_t seed;
    enum finding_kind kind;
    int signal; /* FINDING_ABORTED */
    uint32_t nodes;
    struct run_result result; /* As far as there is one. */
};

struct campaign_result {
    struct tally tally;
    uint64_t seed_last; /* The last seed that counts. */
    uint64_t findings;
    bool is_interrupted; /* Ctrl-C, or SIGTERM. */
    bool is_failed;      /* No memory, no process. */
};

/* Told about findings in the order of the seeds, and now and then about progress. */
struct campaign_watcher {
    void (*finding)(void *context, const struct campaign *, const struct finding *);
    void (*progress)(void *context, const struct campaign *, const struct tally *, double seconds);
    void *context;
};

void campaign_run(const struct campaign *campaign, const struct campaign_watcher *watcher,
                  struct campaign_result *out);

/* One run in a process of its own, so that it may die or hang. Where the record of its choices is
 * in shared memory, they are there even then. False when there is no process or no memory, or at
 * Ctrl-C. */
struct guarded_run {
    const struct node_impl *impl;
    struct cluster_config config;
    struct choices choices;
    uint32_t enabled;
    uint32_t hang_seconds;
};
bool campaign_guarded(const struct guarded_run *run, struct finding *out, bool *has_finding);

/* Set by Ctrl-C and SIGTERM while a campaign runs; whoever sets it ends the campaign. */
extern volatile sig_atomic_t campaign_interrupted;

/* Memory that worker processes share; NULL: there is none. Never given back. */
void *campaign_shared(size_t size);

/* The run of a seed. */
void campaign_draw(const struct campaign *campaign, uint64_t seed, struct choice_list *record,
                   struct cluster_config *config, struct choices *choices);

#endif
