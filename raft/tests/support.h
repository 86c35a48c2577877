/* support.h - what the tests of the core share: nodes, messages, and a small cluster.
 *
 * A log is written as the terms of its entries, one digit each: "11144". These are commands, which
 * follow from index and term, so that equal digits are equal entries. A letter is an entry with a
 * configuration: 'a' of term 1, 'b' of term 2. A set of nodes is written by its digits: ids("123").
 * The checks in here fail the test that calls them. */
#ifndef RAFT_TESTS_SUPPORT_H
#define RAFT_TESTS_SUPPORT_H

#include "raft.h"

enum { CHANGES_MAX = 4, SNAPSHOT_SIZE = 100 };

struct node {
    struct raft raft;
    struct raft_effects effects; /* Of the last event. */
    uint64_t now_us;             /* Of the next one. */
};

/* What a node starts from; zero means what the comment says. */
struct start {
    struct raft_config config;   /* Self 1, RAFT_BATCH_MAX, patience 3, window RAFT_LOG_MAX, chunks
                                  * that hold a whole snapshot; no pre-vote, no quorum check. */
    uint8_t voter_count;         /* The first members are 1 to voter_count; 0: three. */
    struct raft_members members; /* In the place of these. */
    bool joins;                  /* It knows no members. */
    raft_id vote;
    raft_term term;
    struct raft_snapshot snapshot;            /* If it has an index: state_at(), SNAPSHOT_SIZE. */
    const char *log;                          /* Above the snapshot; NULL: empty. */
    struct raft_members changes[CHANGES_MAX]; /* Of the letters in the log, in order. */
};

void node_start(struct node *n, struct start start);
void node_start_as(struct node *n, enum raft_role role); /* With the log "14", from term 4. */
void node_restart(struct node *n); /* From what it asked to be saved, all of which was. */
void node_step(struct node *n, const struct raft_event *event); /* At now_us. */
void node_receive(struct node *n, struct raft_message m);       /* Sets the target. */
void node_timeout(struct node *n);
void node_propose(struct node *n, uint64_t command);
void node_open(struct node *n); /* Proposes a session. */
/* Proposes a command of a session. */
void node_retry(struct node *n, uint64_t command, raft_index session, uint64_t serial);
void node_read(struct node *n, uint64_t handle);
void node_change(struct node *n, raft_set voters, raft_set learners);
void node_transfer(struct node *n, raft_id target);
void node_compact(struct node *n, raft_index index); /* state_at(index), SNAPSHOT_SIZE. */
void node_saved(struct node *n, raft_write write);
void node_save(struct node *n);     /* All that was asked for. */
void node_campaign(struct node *n); /* A timeout, all would vote for it, and its vote is saved. */
void node_elect(struct node *n);    /* A campaign, and all others grant their votes. */
/* A leader: all is saved, and acknowledged by all peers, who answer its round. */
void node_agree(struct node *n);

/* A leader whose log is this with its no-op, all of it committed and known to be on all peers. */
void node_lead(struct node *n, struct start start);

raft_set ids(const char *digits);
raft_set ids_up_to(raft_id last);
uint64_t command_at(raft_index index, raft_term term);
uint64_t state_at(raft_index index);
char *log_repeat(char *log, char term, unsigned length); /* Room for length + 1. */

struct raft_message message_vote(raft_id source, raft_term term, raft_index last,
                                 raft_term last_term);
struct raft_message message_grant(raft_id source, raft_term term);
struct raft_message message_prevote(raft_id source, raft_term term, raft_index last,
                                    raft_term last_term);
struct raft_message message_pregrant(raft_id source, raft_term term); /* To a node of that term. */
/* AppendEntries of the leader of `term` whose log this is, with the entries from `from` to `to`. */
struct raft_message message_append(raft_id source, raft_term term, const char *log, raft_index from,
                                   raft_index to);
struct raft_message message_accepted(raft_id source, raft_term term, raft_index index);
struct raft_message message_rejected(raft_id source, raft_term term, raft_index index,
                                     raft_index hint, raft_term hint_term);
/* A snapshot of SNAPSHOT_SIZE bytes in one chunk, with the members 1 to 3. */
struct raft_message message_snapshot(raft_id source, raft_term term, raft_index index,
                                     raft_term index_term);
struct raft_message message_chunk(raft_id source, raft_term term, raft_index index,
                                  raft_term index_term, uint64_t offset, uint64_t length);
struct raft_message message_chunk_reply(raft_id source, raft_term term, raft_index index,
                                        bool accepted, uint64_t hint);
/* One of each type from votes to chunks, from node 2 of that term, for the log "14". The vote must
 * be refused. */
struct raft_message message_of(uint8_t type, raft_term term);

/* How many messages of this type the last event sent to `target`, and the one of them with this
 * number, from 0. */
unsigned sent_count(const struct node *n, enum raft_message_type type, raft_id target);
const struct raft_outgoing *sent_nth(const struct node *n, enum raft_message_type type,
                                     raft_id target, unsigned number);
/* The one message that the last event sent to `target`, which is of this type. */
const struct raft_outgoing *sent_to(const struct node *n, enum raft_message_type type,
                                    raft_id target);
/* The one message that the last event sent. */
const struct raft_outgoing *sent_alone(const struct node *n, enum raft_message_type type,
                                       raft_id target);
void assert_log(const struct node *n, const char *log); /* All above the snapshot. */
void assert_members(const struct raft_members *m, const char *voters, const char *outgoing,
                    const char *learners);
void assert_no_effects(const struct node *n);

enum { CLUSTER_NODES_MAX = 7, CLUSTER_QUEUE_MAX = 1024, CLUSTER_READS_MAX = 64 };

/* Nodes with a disk that is never late, over one queue that loses nothing but on cut links. The
 * state machine of each is a hash of the commands that were executed, each once and in order. */
struct cluster {
    unsigned rejection_count; /* Rejected appends that arrived. */
    unsigned chunk_count;     /* Chunks that arrived. */
    uint32_t head, tail;      /* Of the queue; they count up, and wrap around only as indexes. */
    raft_id node_count;
    raft_set cut;                         /* Nothing leaves or reaches these. */
    raft_set lost[CLUSTER_NODES_MAX + 1]; /* By source: these do not get its messages. */
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
 * them, and have the same state. */
void cluster_assert_converged(const struct cluster *c);

#endif
