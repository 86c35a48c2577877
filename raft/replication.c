/* replication.c - log replication (5.3) and commitment (5.4.2). */
#include <assert.h>
#include <string.h>

#include "state.h"

static raft_index min_index(raft_index a, raft_index b) { return a < b ? a : b; }

/* Sends the entries from `next` on, or the snapshot where the log no longer reaches back that far.
 * `next` moves only with the answer, so whatever got lost is sent again with the next heartbeat. */
static void send_append(struct raft *r, raft_id target, struct raft_effects *out) {
    const struct raft_progress *peer = &r->peers[target];
    assert(peer->next >= 1 && peer->next <= r->last + 1);
    raft_index previous = peer->next - 1;
    if (previous < r->snapshot.index) {
        raft_snapshot_send(r, target, out);
        return;
    }
    struct raft_message *m = raft_send(r, RAFT_APPEND, target, 0, out);
    m->index = previous;
    m->index_term = raft_log_term(r, previous);
    m->commit = r->commit;
    m->entry_count = (uint8_t)min_index(r->last - previous, r->batch_max);
    if (m->entry_count > 0)
        memcpy(m->entries, raft_entry_at(r, previous + 1), m->entry_count * sizeof m->entries[0]);
}

void raft_replicate_all(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    for (raft_set rest = r->voters & ~((raft_set)1 << r->self); rest != 0; rest &= rest - 1)
        send_append(r, (raft_id)__builtin_ctzll(rest), out);
}

static bool is_on_quorum(const struct raft *r, raft_index index) {
    uint32_t count = r->saved >= index && (r->voters >> r->self & 1);
    for (raft_set rest = r->voters & ~((raft_set)1 << r->self); rest != 0; rest &= rest - 1)
        count += r->peers[__builtin_ctzll(rest)].match >= index;
    return count >= r->quorum;
}

/* The no-op lets a leader find out what is committed (8). It comes at the start of the term, unless
 * the log is half full already: then as soon as a quorum holds what is there, so that it is likely
 * to be committed. Else leaders that fall one after the other would fill the log with no-ops that
 * none of them commits. */
static bool is_noop_due(const struct raft *r) {
    if (raft_log_term(r, r->last) == r->term || raft_log_full(r)) return false;
    return r->last - r->snapshot.index < RAFT_LOG_MAX / 2 || is_on_quorum(r, r->last);
}

/* "When a leader first comes to power, it initializes all nextIndex values to the index just after
 * the last one in its log" (5.3). */
void raft_replicate_start(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    assert(!raft_log_full(r));
    for (raft_set rest = r->voters; rest != 0; rest &= rest - 1) {
        struct raft_progress *peer = &r->peers[__builtin_ctzll(rest)];
        peer->next = r->last + 1;
        peer->match = 0;
    }
    struct raft_entry noop = {.term = r->term, .command = RAFT_NOOP};
    if (is_noop_due(r)) raft_log_put(r, noop, r->last + 1, out);
    raft_replicate_all(r, out);
    out->timer = RAFT_TIMER_HEARTBEAT;
}

/* A peer that has not answered yet gets the new entry with the answer, or with a heartbeat. */
void raft_replicate_command(struct raft *r, uint64_t command, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    raft_log_put(r, (struct raft_entry){.term = r->term, .command = command}, r->last + 1, out);
    for (raft_set rest = r->voters & ~((raft_set)1 << r->self); rest != 0; rest &= rest - 1) {
        raft_id target = (raft_id)__builtin_ctzll(rest);
        if (r->peers[target].next == r->last) send_append(r, target, out);
    }
}

/* "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
 * log[N].term == currentTerm: set commitIndex = N" (figure 2, 5.4.2). No N above `limit` has become
 * possible. */
static void commit_advance(struct raft *r, raft_index limit, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    assert(limit <= r->last);
    raft_index low = r->commit, high = limit; /* Invariant: low is on a quorum, or committed. */
    if (high <= low || !is_on_quorum(r, low + 1)) return;
    while (low < high) {
        raft_index middle = low + (high - low + 1) / 2;
        if (is_on_quorum(r, middle)) low = middle;
        else high = middle - 1;
    }
    if (raft_log_term(r, low) != r->term) return; /* Figure 8: never by counting replicas. */
    raft_index from = r->commit + 1;
    raft_commit_to(r, low, out);
    while (raft_log_term(r, from) != r->term) from++; /* Earlier terms' clients wait elsewhere. */
    out->answer_from = from;
}

bool raft_accept_leader(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    assert(m->term >= r->term);
    if (m->term == r->term && r->role == RAFT_LEADER) return false; /* There cannot be another. */
    if (m->term > r->term || r->role == RAFT_CANDIDATE) raft_become_follower(r, m->term, out);
    r->leader = m->source;
    out->timer = RAFT_TIMER_ELECTION;
    return true;
}

/* Rejects an AppendEntries of an older term, or one whose previous entry the log does not have. */
static void reject(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_message *reply = raft_send(r, RAFT_APPEND_REPLY, m->source, r->vote_write, out);
    reply->index = m->index;
    if (m->term < r->term) return; /* A stale leader: the term is the answer. */
    reply->hint =
        raft_log_match_hint(r, r->commit, min_index(m->index - 1, r->last), m->index_term);
    reply->index_term = raft_log_term(r, reply->hint);
}

void raft_accept(struct raft *r, const struct raft_message *m, raft_index index, raft_term term,
                 struct raft_effects *out) {
    raft_write after = raft_log_write(r, index);
    if (after < r->vote_write) after = r->vote_write;
    enum raft_message_type type = m->type == RAFT_APPEND ? RAFT_APPEND_REPLY : RAFT_SNAPSHOT_REPLY;
    struct raft_message *reply = raft_send(r, type, m->source, after, out);
    reply->accepted = true;
    reply->index = index;
    reply->index_term = term;
}

/* "If an existing entry conflicts with a new one (same index but different terms), delete the
 * existing entry and all that follow it; append any new entries not already in the log" (figure 2).
 * What the log has already stays, and so does what comes after it: the message may be an old one.
 * `verified` is the last entry that the message is known to share with the log. False for a message
 * that no leader sends: it would rewrite a committed entry. */
static bool append_entries(struct raft *r, const struct raft_message *m, raft_index *verified,
                           struct raft_effects *out) {
    *verified = m->index;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        raft_index index = m->index + 1 + i;
        bool has_it = index <= r->snapshot.index || raft_log_matches(r, index, m->entries[i].term);
        if (!has_it && index <= r->commit) return false;
        if (!has_it && index == r->last + 1 && raft_log_full(r)) return true;
        if (!has_it) raft_log_put(r, m->entries[i], index, out);
        *verified = index;
    }
    return true;
}

void raft_receive_append(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (m->term < r->term) {
        reject(r, m, out);
        return;
    }
    if (!raft_accept_leader(r, m, out)) return;
    if (m->index >= r->snapshot.index && !raft_log_matches(r, m->index, m->index_term)) {
        if (m->index > r->commit) reject(r, m, out); /* What is committed, no leader contradicts. */
        return;
    }
    raft_index verified;
    if (!append_entries(r, m, &verified, out)) return;
    raft_commit_to(r, min_index(m->commit, verified), out);
    raft_term term =
        verified == m->index ? m->index_term : m->entries[verified - m->index - 1].term;
    raft_accept(r, m, verified, term, out);
}

void raft_replicate_saved(struct raft *r, struct raft_effects *out) {
    commit_advance(r, r->saved, out);
    if (is_noop_due(r)) raft_replicate_command(r, RAFT_NOOP, out);
}

/* The peer has everything up to m->index. Stop-and-wait: an answer that tells nothing new does not
 * send again, or every duplicate would start a stream of its own. */
static void peer_matches(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_progress *peer = &r->peers[m->source];
    if (m->index <= peer->match) return;
    peer->match = m->index;
    if (peer->next <= m->index) peer->next = m->index + 1;
    commit_advance(r, m->index, out);
    if (is_noop_due(r)) raft_replicate_command(r, RAFT_NOOP, out);
    else if (peer->next <= r->last) send_append(r, m->source, out);
}

/* "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry" (5.3), over
 * whole terms at a time: the peer said how far back its log has terms above that of the entry it
 * was asked for, and the leader goes back over its own terms above that one. An answer to anything
 * but the probe under way is late and says nothing. */
static void peer_conflicts(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_progress *peer = &r->peers[m->source];
    if (m->index != peer->next - 1 || m->index <= peer->match || m->hint >= m->index) return;
    raft_index hint = m->hint, floor = r->snapshot.index;
    if (hint > floor) hint = raft_log_match_hint(r, floor, hint, m->index_term);
    if (hint < peer->match) hint = peer->match;
    peer->next = hint + 1;
    send_append(r, m->source, out);
}

void raft_receive_append_reply(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out) {
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    if (m->term < r->term || r->role != RAFT_LEADER || m->index > r->last) return;
    if (m->accepted) peer_matches(r, m, out);
    else peer_conflicts(r, m, out);
}
