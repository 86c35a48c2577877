/* campaign.h - many seeds, in worker processes, with one verdict.
 *
 *     parent -- "seeds 65..128" --> worker: run, run, run ...
 *            <-- tally, findings --          (shared memory; a byte through a pipe when done)
 *
 * The parent merges what the workers did in the order of the seeds, and stops at the first finding:
 * the result is the same for any number of workers. A worker that dies or hangs is a finding of the
 * seed it was at, and another one takes its place. A worker that is killed by a signal that comes
 * from outside is none: its chunk is run again. */
#ifndef CAMPAIGN_H
#define CAMPAIGN_H

#include <signal.h>

#include "assertion.h"
#include "profile.h"
#include "run.h"

/* Takes the place of what the profile has drawn. */
struct campaign_override {
    const struct config_field *field;
    uint32_t value;
};

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
    uint32_t override_count;
    struct campaign_override overrides[CONFIG_FIELD_COUNT]; /* Each of another field. */
};
enum {
    CAMPAIGN_WORKERS_MAX = 256,
    CAMPAIGN_HANG_SECONDS = 30, /* Unless it is told otherwise. */
    CAMPAIGN_KILLS_MAX = 2      /* Killed once more, a run is taken to be the cause of it. */
};

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
    uint32_t nodes;
    struct run_result result; /* As far as there is one. */
    /* FINDING_ABORTED, FINDING_HUNG: what was under way. FINDING_ABORTED: how the process ended. */
    struct cluster_place place;
    int signal;                         /* 0: it exited, */
    int exit_status;                    /* with this. */
    char assertion[ASSERTION_TEXT_MAX]; /* "": none failed. */
    bool is_unrepeated;                 /* When the seed was run once more, nothing came of it. */
    uint32_t kills; /* So often a guarded run was killed from outside, and begun again. */
};
/* The name of its check, or of its kind where no check has found it. */
const char *finding_name(const struct finding *finding);
/* A signal that a process rarely gets by its own doing: kill(1), the kernel that is out of memory.
 */
bool finding_is_outside(int signal_number);

struct campaign_result {
    struct tally tally;
    uint64_t seed_last; /* The last seed that counts. */
    uint64_t findings;
    uint64_t kills;      /* Workers that were killed from outside, and replaced. */
    bool is_interrupted; /* Ctrl-C, or SIGTERM. */
    bool is_failed;      /* No memory, no process. */
    bool has_misfit;     /* A seed ended it whose configuration is invalid with the overrides. */
    uint64_t misfit_seed;
    char misfit[120]; /* What is wrong with it. */
};

/* Told about findings in the order of the seeds, about workers that were killed from outside, and
 * now and then about progress. */
struct campaign_watcher {
    void (*finding)(void *context, const struct campaign *, const struct finding *);
    void (*killed)(void *context, uint64_t seed, int signal_number);
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
    bool is_quiet; /* What the node prints was printed before: it is dropped. */
    /* As that of struct simulator; NULL: nobody reads it. */
    struct description *description;
};
bool campaign_guarded(const struct guarded_run *run, struct finding *out, bool *has_finding);

/* The same without a process of its own, for a debugger: no guard against what the node does. */
bool campaign_unguarded(const struct guarded_run *run, struct finding *out, bool *has_finding);

/* Set by Ctrl-C and SIGTERM while a campaign runs; whoever sets it ends the campaign. */
extern volatile sig_atomic_t campaign_interrupted;

/* Memory that worker processes share; NULL: there is none. Never given back. */
void *campaign_shared(size_t size);

/* The run of a seed. */
void campaign_draw(const struct campaign *campaign, uint64_t seed, struct choice_list *record,
                   struct cluster_config *config, struct choices *choices);

#endif
