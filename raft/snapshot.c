/* snapshot.c - log compaction (7). A snapshot is a handle and travels in one message. */
#include <assert.h>

#include "state.h"

void raft_snapshot_send(struct raft *r, raft_id target, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    struct raft_message *m = raft_send(r, RAFT_SNAPSHOT, target, 0, out);
    m->index = r->snapshot.index;
    m->index_term = r->snapshot.term;
    m->state = r->snapshot.state;
}

/* Only what is durable here is dropped: `saved` then counts entries, never a snapshot under way. */
void raft_snapshot_take(struct raft *r, raft_index index, uint64_t state,
                        struct raft_effects *out) {
    if (index <= r->snapshot.index || index > r->commit || index > r->saved) return;
    struct raft_snapshot snapshot = {index, raft_log_term(r, index), state};
    raft_log_compact(r, snapshot, out);
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log
 * entries following it and reply" (figure 13): the entries up to there are committed, so they are
 * applied as they are. A snapshot at or below the commit index says nothing new. */
void raft_receive_snapshot(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (m->term < r->term) {
        raft_send(r, RAFT_SNAPSHOT_REPLY, m->source, r->vote_write, out)->index = m->index;
        return;
    }
    if (!raft_accept_leader(r, m, out)) return;
    if (m->index > r->commit) {
        if (raft_log_matches(r, m->index, m->index_term)) {
            raft_commit_to(r, m->index, out);
        } else {
            struct raft_snapshot snapshot = {m->index, m->index_term, m->state};
            raft_log_install(r, snapshot, out);
            r->commit = m->index;
            out->apply_snapshot = true;
        }
    }
    raft_accept(r, m, m->index, m->index_term, out);
}
