/* support.h - what the tests of the core share: nodes, logs and messages.
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
void node_answer(struct node *n, raft_id peer, uint64_t round); /* To a leader: a heartbeat's. */

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
/* The read of that handle, and no other, ended: served with what is applied up to `index`. */
void assert_served(const struct node *n, uint64_t handle, raft_index index);
void assert_no_effects(const struct node *n);

#endif
