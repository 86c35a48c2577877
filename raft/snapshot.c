/* snapshot.c - log compaction (7). The bytes of a snapshot are the caller's: a chunk names them. */
#include <assert.h>
#include <string.h>

#include "members.h"
#include "session.h"
#include "state.h"

void raft_snapshot_send(struct raft *r, raft_id target, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    struct raft_message *m = raft_send(r, RAFT_CHUNK, target, 0, out);
    uint64_t offset = r->peers[target].offset;
    uint64_t left = offset < r->snapshot.size ? r->snapshot.size - offset : 0;
    m->index = r->snapshot.index;
    m->index_term = r->snapshot.term;
    m->tag = r->round;
    m->chunk.offset = offset;
    m->chunk.length = left < r->config.chunk_max ? left : r->config.chunk_max;
    m->chunk.snapshot = r->snapshot;
}

/* A peer that gets the snapshot needs all of the same one. */
static bool is_under_way(const struct raft *r) {
    if (r->role != RAFT_LEADER || r->last - r->snapshot.index >= RAFT_LOG_MAX / 2) return false;
    for (raft_set rest = raft_replicate_peers(r); rest != 0; rest &= rest - 1)
        if (r->peers[__builtin_ctzll(rest)].flow == RAFT_INSTALL) return true;
    return false;
}

static void sessions_at(const struct raft *r, raft_index index, struct raft_session *out) {
    const struct raft_session *from = index == r->commit ? r->sessions : r->snapshot.sessions;
    memcpy(out, from, sizeof r->sessions);
    if (index == r->commit) return;
    for (raft_index i = r->snapshot.index + 1; i <= index; i++)
        raft_session_apply(out, raft_entry_at(r, i), i);
}

/* Only what is durable here is dropped: `saved` then counts entries, never a snapshot under way. */
void raft_snapshot_take(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    raft_index index = event->u.compact.index;
    assert(event->u.compact.size >= 1);
    if (index <= r->snapshot.index || index > r->commit || index > r->saved) return;
    if (is_under_way(r)) return;
    struct raft_snapshot snapshot = {.index = index,
                                     .term = raft_log_term(r, index),
                                     .state = event->u.compact.state,
                                     .size = event->u.compact.size};
    raft_members_at(r, index, &snapshot.members);
    if (snapshot.members.voters == 0) return; /* Whoever gets it would know no members. */
    sessions_at(r, index, snapshot.sessions);
    raft_log_compact(r, &snapshot, out);
}

/* Chunks of the same snapshot go on where the last one ended, whoever sends them and after whatever
 * time; one of another snapshot begins anew. True if this was the last one. */
static bool take_chunk(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    const struct raft_snapshot *s = &m->chunk.snapshot;
    bool is_same = r->incoming.index == s->index && r->incoming.term == s->term &&
                   r->incoming.state == s->state && r->incoming.size == s->size;
    if (!is_same) {
        r->incoming.index = s->index;
        r->incoming.term = s->term;
        r->incoming.state = s->state;
        r->incoming.size = s->size;
        r->incoming.offset = 0;
    }
    uint64_t left = s->size - r->incoming.offset;
    if (m->chunk.offset != r->incoming.offset || m->chunk.length > left) return false;
    out->save_chunk = true;
    r->incoming.offset += m->chunk.length;
    return r->incoming.offset == s->size;
}

static void install(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    raft_log_install(r, &m->chunk.snapshot, out);
    out->apply_snapshot = true;
}

static bool is_valid(const struct raft_message *m) {
    const struct raft_snapshot *s = &m->chunk.snapshot;
    return s->index == m->index && s->term == m->index_term && s->index > 0 && s->size >= 1 &&
           m->chunk.length >= 1 && raft_members_are_valid(&s->members);
}

static void reply_wants(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_message *reply = raft_send(r, RAFT_CHUNK_REPLY, m->source, r->vote_write, out);
    reply->index = m->index;
    reply->hint = r->incoming.offset;
    reply->tag = raft_reply_round(r, m);
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log
 * entries following it and reply" (figure 13): the entries up to there are committed, so they are
 * applied as they are. A snapshot at or below the commit index says nothing new. */
void raft_receive_chunk(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (!is_valid(m)) return;
    if (m->term < r->term) {
        reply_wants(r, m, out); /* A stale leader: the term is the answer. */
        return;
    }
    if (!raft_accept_leader(r, m, out)) return;
    if (m->index > r->commit) {
        if (raft_log_matches(r, m->index, m->index_term)) {
            raft_commit_to(r, m->index, out);
        } else if (take_chunk(r, m, out)) {
            install(r, m, out);
        } else {
            reply_wants(r, m, out);
            return;
        }
    }
    raft_accept(r, m, m->index, m->index_term, out);
}
