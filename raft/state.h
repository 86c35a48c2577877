/* state.h - what the files of the core share and nobody else sees: the log, roles and effects. */
#ifndef RAFT_STATE_H
#define RAFT_STATE_H

#include "raft.h"

/* log.c: the log above the snapshot, and which write holds what. */
raft_term raft_log_term(const struct raft *r,
                        raft_index index); /* snapshot.index <= index <= last */
bool raft_log_matches(const struct raft *r, raft_index index, raft_term term);
bool raft_log_full(const struct raft *r);
bool raft_log_is_tail_full(const struct raft *r); /* Too much of it is not committed. */
/* An entry of this term is committed: a leader knows what is (8). */
bool raft_log_is_ready(const struct raft *r);
/* The highest entry in [floor, index] whose term is at most `term`, or `floor` itself.
 * REQUIRES: snapshot.index <= floor. */
raft_index raft_log_match_hint(const struct raft *r, raft_index floor, raft_index index,
                               raft_term term);
/* Sets the entry at `index`, dropping those above it. REQUIRES: commit < index <= last + 1. */
void raft_log_put(struct raft *r, const struct raft_entry *entry, raft_index index,
                  struct raft_effects *out);
/* All up to `index` is committed: what becomes of it is decided. */
void raft_log_commit(struct raft *r, raft_index index);
/* Drops what the snapshot covers. REQUIRES: the log has its last entry, durable. */
void raft_log_compact(struct raft *r, const struct raft_snapshot *snapshot,
                      struct raft_effects *out);
/* Puts the snapshot in place of the whole log. REQUIRES: it ends above the commit index. */
void raft_log_install(struct raft *r, const struct raft_snapshot *snapshot,
                      struct raft_effects *out);
raft_write raft_log_write(const struct raft *r, raft_index index); /* That makes it durable. */
void raft_log_saved(struct raft *r);                               /* `durable` has grown. */

/* raft.c: roles and effects. */
raft_write raft_write_open(struct raft *r, struct raft_effects *out); /* The write of this step. */
void raft_save_vote(struct raft *r, struct raft_effects *out);
void raft_become_follower(struct raft *r, raft_term term, struct raft_effects *out);
void raft_commit_to(struct raft *r, raft_index index, struct raft_effects *out);
struct raft_message *raft_send(struct raft *r, enum raft_message_type type, raft_id target,
                               raft_write after, struct raft_effects *out);

/* election.c (5.2, 5.4.1, D 4.2.3, D 9.6) */
void raft_election_timeout(struct raft *r, struct raft_effects *out);
/* Becomes a candidate. `is_transfer`: by the leader's wish. */
void raft_election_start(struct raft *r, bool is_transfer, struct raft_effects *out);
void raft_election_count(struct raft *r, raft_id voter, struct raft_effects *out);
void raft_receive_prevote(struct raft *r, const struct raft_message *m, struct raft_effects *out);
void raft_receive_prevote_reply(struct raft *r, const struct raft_message *m,
                                struct raft_effects *out);
void raft_receive_vote(struct raft *r, const struct raft_message *m, struct raft_effects *out);
void raft_receive_vote_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out);
/* Whether it may become leader at all. */
bool raft_election_may_start(const struct raft *r);

/* replication.c (5.3, 5.4.2): the leader's side. */
/* The node is the new leader. */
void raft_replicate_start(struct raft *r, struct raft_effects *out);
/* The leader's timer ran out. */
void raft_replicate_heartbeat(struct raft *r, struct raft_effects *out);
/* At the end of a leader's step: commits what has become possible, sends what is due. */
void raft_replicate_finish(struct raft *r, struct raft_effects *out);
void raft_receive_append_reply(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out);
raft_set raft_replicate_peers(const struct raft *r); /* All whom the leader sends to. */

/* append.c (5.3): the follower's side. */
/* True if the message comes from the leader of this node's term, who is then known. */
bool raft_accept_leader(struct raft *r, const struct raft_message *m, struct raft_effects *out);
/* The round that the reply to the message answers; 0: none, since the message is of an older term.
 */
uint64_t raft_reply_round(const struct raft *r, const struct raft_message *m);
/* Tells the leader that all up to `index`, an entry of `term`, matches: once it is durable. */
void raft_accept(struct raft *r, const struct raft_message *m, raft_index index, raft_term term,
                 struct raft_effects *out);
void raft_receive_append(struct raft *r, const struct raft_message *m, struct raft_effects *out);

/* snapshot.c (7) */
void raft_snapshot_send(struct raft *r, raft_id target, struct raft_effects *out);
void raft_snapshot_take(struct raft *r, const struct raft_event *event, struct raft_effects *out);
void raft_receive_chunk(struct raft *r, const struct raft_message *m, struct raft_effects *out);

/* read.c (8, D 6.4) */
void raft_read_begin(struct raft *r, uint64_t handle, struct raft_effects *out);
void raft_receive_read_request(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out);
void raft_receive_read_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out);
/* A new round: its number goes out to all peers. */
void raft_read_round(struct raft *r);
/* At the end of a leader's step: ends the round if a quorum has answered, begins another if reads
 * wait for it. */
void raft_read_lead(struct raft *r, struct raft_effects *out);
/* At the end of the step of any other node: serves what it has applied. */
void raft_read_follow(struct raft *r, struct raft_effects *out);
/* Gives up all that wait. */
void raft_read_refuse(struct raft *r, struct raft_effects *out);

/* transfer.c (D 3.10) */
void raft_transfer_begin(struct raft *r, raft_id target, struct raft_effects *out);
/* At each heartbeat. */
void raft_transfer_tick(struct raft *r);
/* At the end of a leader's step: tells the target, if it has caught up. */
void raft_transfer_lead(struct raft *r, struct raft_effects *out);
void raft_receive_timeout_now(struct raft *r, const struct raft_message *m,
                              struct raft_effects *out);

#endif
