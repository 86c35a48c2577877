/* check.h - the invariants, as observers of every step.
 *
 *     cluster_step() --> change --> checks_observe() --> violation, or none
 *
 * A check reads the cluster and what changed, and keeps a history of its own. It judges any
 * implementation: it sees nodes only as node.h shows them. What each one demands is meant to hold
 * in every legal execution, with crashes between effects and asynchronous writes. */
#ifndef CHECK_H
#define CHECK_H

#include "cluster.h"

enum check_id { /* Where two fire at the same step, the first of this order is reported. */
                CHECK_CONTRACT,
                CHECK_ELECTION_SAFETY,
                CHECK_LEADER_APPEND_ONLY,
                CHECK_LOG_MATCHING,
                CHECK_LEADER_COMPLETENESS,
                CHECK_STATE_MACHINE_SAFETY,
                CHECK_COMMIT_QUORUM,
                CHECK_COMMITTED_DURABILITY,
                CHECK_VOTE_ONCE,
                CHECK_PROMISE_DURABLE,
                CHECK_MONOTONIC,
                CHECK_NEXT_ABOVE_MATCH,
                CHECK_MATCH_TRUTH,
                CHECK_CONFIGURATION,
                CHECK_RECOVERY,
                CHECK_ACKNOWLEDGED,
                CHECK_CLIENT_ORDER,
                CHECK_EXACTLY_ONCE,
                CHECK_LINEARIZABLE_READS,
                CHECK_PREVOTE,
                CHECK_SHADOW,
                CHECK_TRANSFER,
                CHECK_STABILITY,
                CHECK_PROGRESS,
                CHECK_COUNT
};
enum { CHECK_ALL = (1 << CHECK_COUNT) - 1 };

struct check {
    const char *name;
    const char *section; /* Of the paper; or "node.h". */
    const char *holds;   /* When, in one sentence. */
};
extern const struct check check_table[CHECK_COUNT];

bool check_find(const char *name, enum check_id *out);

struct violation {
    bool is_found;
    enum check_id check;
    uint64_t step;
    char text[200]; /* One sentence with the nodes, terms and indexes. */
};

struct checks;

/* NULL when there is no memory. Nothing is allocated after. */
struct checks *checks_new(void);
void checks_free(struct checks *k);
size_t checks_size(void); /* Bytes. */

/* Begins a run. `enabled` has bit i for the check i. */
void checks_reset(struct checks *k, uint32_t enabled, const struct cluster_config *config);

/* Looks at what changed. Costs as much as changed; every 1,024 steps all logs are compared with the
 * shadow that the declared changes have left. */
void checks_observe(struct checks *k, const struct cluster *c, const struct change *change);
/* The comparison of all logs, as at the end of a run. */
void checks_compare(struct checks *k, const struct cluster *c);
/* The calm phase did not reach its goal. */
void checks_stalled(struct checks *k, const struct cluster *c);

const struct violation *checks_violation(const struct checks *k);
/* NULL, or why the checks can judge no further: the run ends undecided. */
const char *checks_undecided(const struct checks *k);

#endif
