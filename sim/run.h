/* run.h - one run from its beginning to its verdict: a fault phase, then a calm phase. */
#ifndef RUN_H
#define RUN_H

#include <stdatomic.h>

#include "check.h"
#include "describe.h"

enum run_outcome {
    RUN_HELD,      /* Every check held, and the calm phase reached its goal. */
    RUN_VIOLATED,  /* A safety check found a violation. */
    RUN_STALLED,   /* The calm phase did not reach its goal: the check progress. */
    RUN_UNDECIDED, /* The checks' history is full, or the choice list that was to be recorded. */
    RUN_DIVERGED   /* A replay asked for another choice than the one recorded. */
};

struct run_result {
    enum run_outcome outcome;
    struct violation violation; /* RUN_VIOLATED, RUN_STALLED */
    char reason[80];            /* RUN_UNDECIDED, RUN_DIVERGED */
    uint64_t steps, events, digest;
    uint64_t calm_us; /* How long the calm phase took, in virtual time. */
    uint64_t counts[SOMETIMES_COUNT];
};

/* The faults end when there have been so many events for each of the steps that the nodes were to
 * take: faults that keep all nodes from taking steps could go on for ever. 100,000
 * seeds of 1 to 9 nodes need up to 35 of them. */
enum { RUN_FAULT_EVENTS = 100 };

/* A calm phase may take this many events for each node: one that takes more is a storm of messages,
 * which may need hours for its time. Correct nodes take up to 820 (20,000 seeds of 1 to 9 nodes),
 * those that stall until their time is over 11,000 (mutant T03). */
enum { RUN_CALM_EVENTS = 50000 };

/* The digests of a run after each event, to find the first at which its repetition differs. Of
 * longer runs only the beginning is kept. */
enum { RUN_WATCH_MAX = 1 << 20 };
struct run_watch {
    bool is_repeat, has_difference;
    uint64_t step; /* Of the first difference. */
    uint64_t digests[RUN_WATCH_MAX];
};

/* What a run needs, built once for many of them. */
struct simulator {
    struct cluster *cluster;
    struct checks *checks;
    uint32_t enabled;            /* Checks: bit i for check i. */
    _Atomic uint64_t *beat;      /* Grows while a run goes on; NULL: nobody looks. */
    struct run_watch *watch;     /* NULL: none. */
    struct cluster_place *place; /* Where to note what is under way; NULL: nowhere. */
    /* A calm phase that is given up is described here, else it is empty; NULL: nobody reads it. */
    struct description *description;
    bool is_storm; /* The calm phase was given up for its number of events. */
};

/* False when there is no memory. */
bool simulator_new(struct simulator *s, const struct node_impl *impl, uint32_t enabled);
void simulator_free(struct simulator *s);

void run_execute(struct simulator *s, const struct cluster_config *config, struct choices *choices,
                 struct run_result *out);

#endif
