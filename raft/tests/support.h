/* support.h - what the tests of the core share: nodes, messages, and a small cluster.
 *
 * A log is written as the terms of its entries, one digit each: "11144". The command of an entry
 * follows from its index and term, so that equal digits are equal entries. The checks in here fail
 * the test that calls them. */
#ifndef RAFT_TESTS_SUPPORT_H
#define RAFT_TESTS_SUPPORT_H

#include "raft.h"

struct node {
    struct raft raft;
    struct raft_effects effects; /* Of the last event. */
};

/* What a node starts from; zero means what the comment says. */
struct start {
    raft_id self;        /* 0: 1 */
    uint8_t voter_count; /* The voters are 1 to voter_count; 0: three. */
    uint8_t batch_max;   /* 0: RAFT_BATCH_MAX */
    raft_id vote;
    raft_term term;
    struct raft_snapshot snapshot;
    const char *log; /* Above the snapshot; NULL: empty. */
};

void node_start(struct node *n, struct start start);
void node_step(struct node *n, const struct raft_event *event);
void node_receive(struct node *n, struct raft_message m); /* Sets the target. */
void node_timeout(struct node *n);
void node_propose(struct node *n, uint64_t command);
void node_compact(struct node *n, raft_index index); /* The state is state_at(index). */
void node_saved(struct node *n, raft_write write);
void node_save(struct node *n);     /* All that was asked for. */
void node_campaign(struct node *n); /* A timeout, and the vote is saved. */
void node_elect(struct node *n);    /* A campaign, and all others grant their votes. */

uint64_t command_at(raft_index index, raft_term term);
uint64_t state_at(raft_index index);
char *log_repeat(char *log, char term, unsigned length); /* Room for length + 1. */

struct raft_message message_vote(raft_id source, raft_term term, raft_index last,
                                 raft_term last_term);
struct raft_message message_grant(raft_id source, raft_term term);
/* AppendEntries of the leader of `term` whose log this is, with the entries from `from` to `to`. */
struct raft_message message_append(raft_id source, raft_term term, const char *log, raft_index from,
                                   raft_index to);
struct raft_message message_accepted(raft_id source, raft_term term, raft_index index);
struct raft_message message_rejected(raft_id source, raft_term term, raft_index index,
                                     raft_index hint, raft_term hint_term);
struct raft_message message_snapshot(raft_id source, raft_term term, raft_index index,
                                     raft_term index_term);

/* The one message that the last event sent to `target`, which is of this type. */
const struct raft_outgoing *sent_to(const struct node *n, enum raft_message_type type,
                                    raft_id target);
/* The one message that the last event sent. */
const struct raft_outgoing *sent_alone(const struct node *n, enum raft_message_type type,
                                       raft_id target);
void assert_log(const struct node *n, const char *log); /* All above the snapshot. */
void assert_no_effects(const struct node *n);

enum { CLUSTER_NODES_MAX = 7, CLUSTER_QUEUE_MAX = 1024 };

/* Nodes with a disk that is never late, over one queue that loses nothing. */
struct cluster {
    unsigned rejection_count; /* Rejected appends that arrived. */
    uint32_t head, tail;      /* Of the queue; they count up, and wrap around only as indexes. */
    raft_id node_count;
    raft_set cut;                             /* Nothing leaves or reaches these. */
    struct node nodes[CLUSTER_NODES_MAX + 1]; /* By id. */
    struct raft_message queue[CLUSTER_QUEUE_MAX];
};

/* All nodes start with this term and log. */
void cluster_start(struct cluster *c, raft_id node_count, raft_term term, const char *log);
void cluster_replace(struct cluster *c, raft_id id, const char *log); /* Starts it with this log. */
void cluster_timeout(struct cluster *c, raft_id id);
void cluster_propose(struct cluster *c, raft_id id, uint64_t command);
void cluster_compact(struct cluster *c, raft_id id, raft_index index);
void cluster_receive(struct cluster *c, raft_id id, struct raft_message m);
void cluster_settle(struct cluster *c); /* Until nothing is under way. */
/* All nodes hold the same entries above their snapshots, and have committed all of them. */
void cluster_assert_converged(const struct cluster *c);

#endif
