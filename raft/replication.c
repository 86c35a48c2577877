/* replication.c - log replication (5.3) and commitment (5.4.2), the leader's side. */
#include <assert.h>
#include <string.h>

#include "members.h"
#include "progress.h"
#include "quorum.h"
#include "state.h"

raft_set raft_replicate_peers(const struct raft *r) {
    return raft_members_all(&r->members) & ~raft_set_of(r->config.self);
}

/* ---- sending ---- */

static void send_append(struct raft *r, raft_id target, raft_index previous, uint32_t count,
                        struct raft_effects *out) {
    assert(count <= r->config.batch_max);
    struct raft_message *m = raft_send(r, RAFT_APPEND, target, 0, out);
    m->index = previous;
    m->index_term = raft_log_term(r, previous);
    m->commit = r->commit;
    m->tag = r->round;
    m->entry_count = (uint8_t)count;
    if (count > 0) memcpy(m->entries, raft_entry_at(r, previous + 1), count * sizeof m->entries[0]);
}

/* How many of the entries from `next` on go into the next message. */
static uint32_t batch(const struct raft *r, const struct raft_progress *p) {
    uint32_t count = raft_progress_room(p, r->config.window);
    if (count > r->config.batch_max) count = r->config.batch_max;
    raft_index left = r->last + 1 - p->next;
    return left < count ? (uint32_t)left : count;
}

/* New entries, as far as there is room: two messages, so that a window opens up with the answers.
 */
static bool send_entries(struct raft *r, raft_id target, struct raft_effects *out) {
    enum { MESSAGES = 2 };
    struct raft_progress *p = &r->peers[target];
    uint32_t sent = 0;
    for (uint32_t count; sent < MESSAGES && (count = batch(r, p)) > 0; sent++) {
        send_append(r, target, p->next - 1, count, out);
        raft_progress_sent(p, count);
    }
    return sent > 0;
}

/* Without entries: a probe asks for the entry before `next`; else it names one that the peer is
 * known to have, since what is under way may still be late. */
static void send_heartbeat(struct raft *r, raft_id target, struct raft_effects *out) {
    struct raft_progress *p = &r->peers[target];
    raft_index previous = p->flow == RAFT_PROBE ? p->next - 1 : p->match;
    if (previous < r->snapshot.index) previous = r->snapshot.index;
    send_append(r, target, previous, 0, out);
    if (p->flow == RAFT_PROBE) raft_progress_sent(p, 0);
}

static void send_chunk(struct raft *r, raft_id target, struct raft_effects *out) {
    struct raft_progress *p = &r->peers[target];
    if (p->flow != RAFT_INSTALL || p->snapshot != r->snapshot.index)
        raft_progress_install(p, r->snapshot.index);
    if (p->is_paused) return;
    raft_snapshot_send(r, target, out);
    raft_progress_sent(p, 0);
}

static void send_due(struct raft *r, raft_id target, struct raft_effects *out) {
    struct raft_progress *p = &r->peers[target];
    bool is_due = r->due >> target & 1;
    assert(p->next >= 1);
    bool is_behind = p->flow == RAFT_INSTALL || p->next <= r->snapshot.index;
    if (is_behind) send_chunk(r, target, out);
    else if (!send_entries(r, target, out) && is_due) send_heartbeat(r, target, out);
}

static void send_all(struct raft *r, struct raft_effects *out) {
    raft_set rest = raft_replicate_peers(r) & (r->due | r->open);
    for (; rest != 0; rest &= rest - 1) send_due(r, (raft_id)__builtin_ctzll(rest), out);
    r->due = 0;
    r->open = 0;
}

/* ---- committing ---- */

/* All up to there is on a quorum. */
static raft_index quorum_index(const struct raft *r) {
    raft_index match[RAFT_NODES_MAX + 1];
    for (raft_set rest = raft_replicate_peers(r); rest != 0; rest &= rest - 1)
        match[__builtin_ctzll(rest)] = r->peers[__builtin_ctzll(rest)].match;
    match[r->config.self] = r->saved;
    return raft_quorum_index(&r->members, match);
}

/* "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
 * log[N].term == currentTerm: set commitIndex = N" (figure 2, 5.4.2). */
static void commit_advance(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    r->is_news = false;
    raft_index index = quorum_index(r);
    assert(index <= r->last);
    if (index <= r->commit) return;
    if (raft_log_term(r, index) != r->term) return; /* Figure 8: never by counting replicas. */
    raft_index from = r->commit + 1;
    raft_commit_to(r, index, out);
    while (raft_log_term(r, from) != r->term) from++; /* Earlier terms' clients wait elsewhere. */
    out->answer_from = from;
}

/* The no-op lets a leader find out what is committed (8). It comes at the start of the term, unless
 * the log is half full already: then as soon as a quorum holds what is there, so that it is likely
 * to be committed. Else leaders that fall one after the other would fill the log with no-ops that
 * none of them commits. */
static bool is_noop_due(const struct raft *r) {
    if (raft_log_term(r, r->last) == r->term || raft_log_full(r)) return false;
    return r->last - r->snapshot.index < RAFT_LOG_MAX / 2 || quorum_index(r) == r->last;
}

static void append_own(struct raft *r, struct raft_effects *out) {
    if (is_noop_due(r)) {
        struct raft_entry noop = {.term = r->term, .type = RAFT_NOOP};
        raft_log_put(r, &noop, r->last + 1, out);
    } else if (raft_members_is_leave_due(r)) {
        struct raft_entry leave = {.term = r->term, .type = RAFT_MEMBERS};
        leave.members = raft_members_leave(&r->members);
        raft_log_put(r, &leave, r->last + 1, out);
    }
}

/* ---- a leader's steps ---- */

/* "When a leader first comes to power, it initializes all nextIndex values to the index just after
 * the last one in its log" (5.3). */
void raft_replicate_start(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    assert(!raft_log_full(r));
    r->is_lease_lost = false;
    r->ticks = 0;
    r->awaited = 0;
    r->heard = r->granted;
    r->round = 0;
    r->round_done = 0;
    r->read_count = 0;
    raft_read_round(r);
    for (raft_set rest = raft_replicate_peers(r); rest != 0; rest &= rest - 1)
        raft_progress_reset(&r->peers[__builtin_ctzll(rest)], r->last + 1);
    r->is_news = true;
    out->timer = RAFT_TIMER_HEARTBEAT;
}

/* The oldest pending write is the same at two looks: nothing became durable in between. A leader
 * whose disk hangs would otherwise keep its office and lose its use:
 *   1. The leader's disk hangs. Its messages do not wait for it, and the followers store and
 *      acknowledge entries, which are committed without the leader's own copy (D 10.2.1).
 *   2. The log cannot be compacted, since only what is durable here may be dropped.
 *   3. The log fills up, and from then on every command is refused.
 *   4. Heartbeats go on. All followers stay loyal, and nobody is elected in its place. */
static bool is_disk_hung(struct raft *r) {
    raft_write pending = r->written > r->durable ? r->durable + 1 : 0;
    bool is_same = pending != 0 && pending == r->awaited;
    r->awaited = pending;
    return is_same;
}

/* "A leader steps down if an election timeout elapses without a successful round of heartbeats to a
 * majority of its cluster" (D 6.2): such a leader only delays clients, and so does one whose disk
 * hangs. False: it has stepped down. */
static bool leader_is_fit(struct raft *r, struct raft_effects *out) {
    if (++r->ticks < r->config.patience) return true;
    bool has_quorum = raft_quorum(&r->members, r->heard | raft_set_of(r->config.self));
    bool is_hung = is_disk_hung(r);
    r->ticks = 0;
    r->heard = 0;
    if (!r->config.check_quorum || (has_quorum && !is_hung)) return true;
    if (is_hung) r->hung = r->awaited;
    raft_become_follower(r, r->term, out);
    return false;
}

void raft_replicate_heartbeat(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    if (!leader_is_fit(r, out)) return;
    raft_transfer_tick(r);
    if (r->round_done == r->round) raft_read_round(r);
    r->due = raft_replicate_peers(r);
    for (raft_set rest = r->due; rest != 0; rest &= rest - 1)
        raft_progress_heartbeat(&r->peers[__builtin_ctzll(rest)]);
    out->timer = RAFT_TIMER_HEARTBEAT;
}

void raft_replicate_finish(struct raft *r, struct raft_effects *out) {
    assert(r->role == RAFT_LEADER);
    if (r->is_news) commit_advance(r, out);
    append_own(r, out);
    raft_read_lead(r, out);
    raft_transfer_lead(r, out);
    bool is_removed = raft_members_is_removed(r);
    if (is_removed) r->due = raft_replicate_peers(r); /* They hear that it is committed. */
    send_all(r, out);
    if (is_removed) raft_become_follower(r, r->term, out);
}

/* ---- answers ---- */

static void peer_matches(struct raft *r, const struct raft_message *m) {
    struct raft_progress *p = &r->peers[m->source];
    if (!raft_progress_accepted(p, m->index)) return;
    p->round = r->round;
    r->is_news = true;
}

/* The peer lacks what it acknowledged. A log that equals the leader's up to `match` rejects nothing
 * below, and a rejection of what is above has a hint that is not below: the terms up to `match` are
 * not higher than that of the entry that was asked for. A rejection that is only late answers a
 * message that was sent before the acknowledgement came, and so in no later round. In an earlier
 * term, or after another leader, the peer may have dropped entries by right: but `match` is of this
 * term, and so is the round, or it is 0 (raft_reply_round). */
static bool peer_has_lost(const struct raft_progress *p, const struct raft_message *m) {
    return m->hint < p->match && m->tag > p->round;
}

/* "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry" (5.3), over
 * whole terms at a time: the peer said how far back its log has terms above that of the entry it
 * was asked for, and the leader goes back over its own terms above that one. */
static void peer_conflicts(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_progress *p = &r->peers[m->source];
    if (peer_has_lost(p, m)) out->lost_peer = m->source;
    if (!raft_progress_is_rejected(p, m->index) || m->hint >= m->index) return;
    raft_index hint = m->hint, floor = r->snapshot.index;
    if (hint > floor) hint = raft_log_match_hint(r, floor, hint, m->index_term);
    raft_progress_back_off(p, hint);
}

/* The peer is there, and takes this node for the leader. */
static void note_contact(struct raft *r, const struct raft_message *m) {
    r->heard |= raft_set_of(m->source);
    if (m->tag == r->round) r->answered |= raft_set_of(m->source);
}

void raft_receive_append_reply(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out) {
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    if (m->term < r->term || r->role != RAFT_LEADER || m->index > r->last) return;
    if (!(raft_replicate_peers(r) >> m->source & 1)) return;
    note_contact(r, m);
    r->open |= raft_set_of(m->source);
    if (m->accepted) peer_matches(r, m);
    else if (m->type == RAFT_APPEND_REPLY) peer_conflicts(r, m, out);
    else if (m->hint < r->snapshot.size)
        raft_progress_wants(&r->peers[m->source], m->index, m->hint);
}
