/* append.c - log replication (5.3), the follower's side. */
#include <assert.h>

#include "members.h"
#include "state.h"

static raft_index min_index(raft_index a, raft_index b) { return a < b ? a : b; }

bool raft_accept_leader(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    assert(m->term >= r->term);
    if (m->term == r->term && r->role == RAFT_LEADER) return false; /* There cannot be another. */
    if (m->term > r->term || r->role != RAFT_FOLLOWER) raft_become_follower(r, m->term, out);
    r->leader = m->source;
    r->has_live_leader = true;
    r->has_better_log = false;
    out->timer = RAFT_TIMER_ELECTION;
    return true;
}

/* A leader counts its rounds anew in each term, and the reply has the receiver's term. A message of
 * an older term must not answer a round of the newer one:
 *   1. A leads term 1, and what it sends to B in round 2 is late. A is deposed, and leads term 3.
 *   2. B, in term 3 by now, receives that message. Its reply says term 3, and is late, too.
 *   3. C is elected in term 4 by the vote of B, and commits an entry.
 *   4. A, which knows nothing of that, begins round 2 of term 3 for a read, and gets the reply of
 *      step 2: as an answer to that round, it would let A serve a read without the entry. */
uint64_t raft_reply_round(const struct raft *r, const struct raft_message *m) {
    return m->term == r->term ? m->tag : 0;
}

/* Rejects an AppendEntries of an older term, or one whose previous entry the log does not have. */
static void reject(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_message *reply = raft_send(r, RAFT_APPEND_REPLY, m->source, r->vote_write, out);
    reply->index = m->index;
    reply->tag = raft_reply_round(r, m);
    if (m->term < r->term) return; /* A stale leader: the term is the answer. */
    reply->hint =
        raft_log_match_hint(r, r->commit, min_index(m->index - 1, r->last), m->index_term);
    reply->index_term = raft_log_term(r, reply->hint);
}

void raft_accept(struct raft *r, const struct raft_message *m, raft_index index, raft_term term,
                 struct raft_effects *out) {
    raft_write after = raft_log_write(r, index);
    if (after < r->vote_write) after = r->vote_write;
    enum raft_message_type type = m->type == RAFT_APPEND ? RAFT_APPEND_REPLY : RAFT_CHUNK_REPLY;
    struct raft_message *reply = raft_send(r, type, m->source, after, out);
    reply->accepted = true;
    reply->index = index;
    reply->index_term = term;
    reply->tag = m->tag;
}

/* Of clients' entries not the whole log, also if the leader, which has compacted more, sends them:
 * a node that restarts with a full log knows neither what of it is committed nor may it campaign.
 */
static bool has_room(const struct raft *r, const struct raft_entry *entry, raft_index index) {
    enum { CLIENTS_MAX = RAFT_LOG_MAX - RAFT_TAIL_MAX };
    bool is_client = entry->type == RAFT_COMMAND || entry->type == RAFT_SESSION;
    return index - r->snapshot.index <= (is_client ? CLIENTS_MAX : RAFT_LOG_MAX);
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
        if (!has_it && !has_room(r, &m->entries[i], index)) return true;
        if (!has_it) raft_log_put(r, &m->entries[i], index, out);
        *verified = index;
    }
    return true;
}

static bool are_valid(const struct raft_message *m) {
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->type > RAFT_MEMBERS) return false;
        if (e->type == RAFT_MEMBERS && !raft_members_are_valid(&e->members)) return false;
    }
    return true;
}

void raft_receive_append(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (!are_valid(m)) return;
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
