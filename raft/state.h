/* state.h - what the files of the core share and nobody else sees: the log, roles and effects. */
#ifndef RAFT_STATE_H
#define RAFT_STATE_H

#include "raft.h"

/* log.c: the log above the snapshot, and which write holds what. */
raft_term raft_log_term(const struct raft *r,
                        raft_index index); /* snapshot.index <= index <= last */
bool raft_log_matches(const struct raft *r, raft_index index, raft_term term);
bool raft_log_full(const struct raft *r);
/* The highest entry in [floor, index] whose term is at most `term`, or `floor` itself.
 * REQUIRES: snapshot.index <= floor. */
raft_index raft_log_match_hint(const struct raft *r, raft_index floor, raft_index index,
                               raft_term term);
/* Sets the entry at `index`, dropping those above it. REQUIRES: commit < index <= last + 1. */
void raft_log_put(struct raft *r, struct raft_entry entry, raft_index index,
                  struct raft_effects *out);
/* Drops what the snapshot covers. REQUIRES: the log has its last entry, durable. */
void raft_log_compact(struct raft *r, struct raft_snapshot snapshot, struct raft_effects *out);
/* Puts the snapshot in place of the whole log. REQUIRES: it ends above the commit index. */
void raft_log_install(struct raft *r, struct raft_snapshot snapshot, struct raft_effects *out);
raft_write raft_log_write(const struct raft *r, raft_index index); /* That makes it durable. */
void raft_log_saved(struct raft *r);                               /* `durable` has grown. */

/* raft.c: roles and effects. */
raft_write raft_write_open(struct raft *r, struct raft_effects *out); /* The write of this step. */
void raft_save_vote(struct raft *r, struct raft_effects *out);
void raft_become_follower(struct raft *r, raft_term term, struct raft_effects *out);
void raft_commit_to(struct raft *r, raft_index index, struct raft_effects *out);
struct raft_message *raft_send(struct raft *r, enum raft_message_type type, raft_id target,
                               raft_write after, struct raft_effects *out);

/* election.c (5.2, 5.4.1) */
void raft_election_start(struct raft *r, struct raft_effects *out);
void raft_election_count(struct raft *r, raft_id voter, struct raft_effects *out);
void raft_receive_vote(struct raft *r, const struct raft_message *m, struct raft_effects *out);
void raft_receive_vote_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out);

/* replication.c (5.3, 5.4.2) */
/* The node is the new leader. */
void raft_replicate_start(struct raft *r, struct raft_effects *out);
void raft_replicate_all(struct raft *r, struct raft_effects *out);
void raft_replicate_command(struct raft *r, uint64_t command, struct raft_effects *out);
/* More of the leader's own log is durable. */
void raft_replicate_saved(struct raft *r, struct raft_effects *out);
/* True if the message comes from the leader of this node's term, who is then known. */
bool raft_accept_leader(struct raft *r, const struct raft_message *m, struct raft_effects *out);
/* Tells the leader that all up to `index`, an entry of `term`, matches: once it is durable. */
void raft_accept(struct raft *r, const struct raft_message *m, raft_index index, raft_term term,
                 struct raft_effects *out);
void raft_receive_append(struct raft *r, const struct raft_message *m, struct raft_effects *out);
void raft_receive_append_reply(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out);

/* snapshot.c (7) */
void raft_snapshot_send(struct raft *r, raft_id target, struct raft_effects *out);
void raft_snapshot_take(struct raft *r, raft_index index, uint64_t state, struct raft_effects *out);
void raft_receive_snapshot(struct raft *r, const struct raft_message *m, struct raft_effects *out);

#endif
