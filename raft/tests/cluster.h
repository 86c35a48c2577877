/* cluster.h - a small cluster, for what takes more than one node. */
#ifndef RAFT_TESTS_CLUSTER_H
#define RAFT_TESTS_CLUSTER_H

#include "support.h"

enum { CLUSTER_NODES_MAX = 7, CLUSTER_QUEUE_MAX = 1024, CLUSTER_READS_MAX = 64 };

/* Nodes with a disk that is late only if it hangs, over one queue that loses only on cut links. The
 * state machine of each is a hash of the commands that were executed, each once and in order. */
struct cluster {
    unsigned rejection_count; /* Rejected appends that arrived. */
    unsigned chunk_count;     /* Chunks that arrived. */
    uint32_t head, tail;      /* Of the queue; they count up, and wrap around only as indexes. */
    raft_id node_count;
    raft_set cut;                         /* Nothing leaves or reaches these. */
    raft_set lost[CLUSTER_NODES_MAX + 1]; /* By source: these do not get its messages. */
    raft_set hung;                        /* Their writes, and what waits for one, stay pending. */
    raft_set told;                        /* Of which a leader has told that they lost entries. */
    uint64_t now_us;                      /* For all nodes. */
    enum raft_refusal refusal;            /* Of the last request. */
    uint32_t read_count;                  /* Of those that ended. */
    struct raft_read reads[CLUSTER_READS_MAX];
    struct node nodes[CLUSTER_NODES_MAX + 1]; /* By id. */
    uint64_t states[CLUSTER_NODES_MAX + 1];
    raft_index applied[CLUSTER_NODES_MAX + 1];
    uint64_t staged[CLUSTER_NODES_MAX + 1]; /* Bytes of the chunks that were kept. */
    struct raft_message queue[CLUSTER_QUEUE_MAX];
};

/* All nodes start as this, but for their id; those beyond the first members know none. 0: all are
 * first members. */
void cluster_start(struct cluster *c, raft_id node_count, struct start start);
void cluster_replace(struct cluster *c, raft_id id, struct start start); /* Starts it as this. */
void cluster_restart(struct cluster *c, raft_id id);                     /* From its disk. */
void cluster_timeout(struct cluster *c, raft_id id);
void cluster_propose(struct cluster *c, raft_id id, uint64_t command);
void cluster_step(struct cluster *c, raft_id id, const struct raft_event *event); /* Any other. */
void cluster_change(struct cluster *c, raft_id id, const char *voters, const char *learners);
void cluster_transfer(struct cluster *c, raft_id id, raft_id target);
void cluster_read(struct cluster *c, raft_id id, uint64_t handle);
void cluster_compact(struct cluster *c, raft_id id); /* All that is committed. */
void cluster_receive(struct cluster *c, raft_id id, struct raft_message m);
void cluster_settle(struct cluster *c); /* Until nothing is under way. */
/* A timeout, and all that comes of it: `count` times. */
void cluster_run(struct cluster *c, raft_id id, unsigned count);
/* The node becomes leader, though others may have been loyal to another one. */
void cluster_elect(struct cluster *c, raft_id id);
void cluster_link(struct cluster *c, raft_id a, raft_id b, bool is_up); /* Both ways. */
raft_id cluster_leader(const struct cluster *c); /* Of the highest term; 0: none. */
/* The read ended, and was served or not. */
void cluster_assert_read(const struct cluster *c, uint64_t handle, bool is_served);
/* All nodes that are not cut off hold the same entries above their snapshots, have committed all of
 * them, and have the same state; and no leader has told of lost entries. */
void cluster_assert_converged(const struct cluster *c);

#endif
