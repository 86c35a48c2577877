/* election.c - leader election (5.2) and its restriction (5.4.1). */
#include <assert.h>

#include "state.h"

/* "Raft determines which of two logs is more up-to-date by comparing the index and term of the last
 * entries in the logs" (5.4.1). */
static bool is_up_to_date(const struct raft *r, raft_term last_term, raft_index last) {
    raft_term own_term = raft_log_term(r, r->last);
    if (last_term != own_term) return last_term > own_term;
    return last >= r->last;
}

/* "Increment currentTerm, vote for self, reset election timer, send RequestVote RPCs to all other
 * servers" (figure 2). A node whose log has no room for the no-op that it would have to append
 * could never commit anything as leader: it leaves the election to others. */
void raft_election_start(struct raft *r, struct raft_effects *out) {
    assert(r->role != RAFT_LEADER);
    out->timer = RAFT_TIMER_ELECTION;
    if (raft_log_full(r) || !(r->voters >> r->self & 1)) return;
    r->role = RAFT_CANDIDATE;
    r->term++;
    r->vote = r->self;
    r->leader = 0;
    r->granted = 0;
    raft_save_vote(r, out);
    for (raft_set rest = r->voters & ~((raft_set)1 << r->self); rest != 0; rest &= rest - 1) {
        raft_id target = (raft_id)__builtin_ctzll(rest);
        struct raft_message *m = raft_send(r, RAFT_VOTE, target, r->vote_write, out);
        m->index = r->last;
        m->index_term = raft_log_term(r, r->last);
    }
}

void raft_election_count(struct raft *r, raft_id voter, struct raft_effects *out) {
    assert(r->role == RAFT_CANDIDATE);
    r->granted |= (raft_set)1 << voter;
    if (__builtin_popcountll(r->granted & r->voters) < r->quorum) return;
    r->role = RAFT_LEADER;
    r->leader = r->self;
    raft_replicate_start(r, out);
}

void raft_receive_vote(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    bool granted = m->term == r->term && (r->vote == 0 || r->vote == m->source) &&
                   is_up_to_date(r, m->index_term, m->index);
    if (granted && r->vote == 0) {
        r->vote = m->source;
        raft_save_vote(r, out);
    }
    if (granted) out->timer = RAFT_TIMER_ELECTION;
    raft_send(r, RAFT_VOTE_REPLY, m->source, r->vote_write, out)->accepted = granted;
}

void raft_receive_vote_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out) {
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    if (m->term < r->term || r->role != RAFT_CANDIDATE || !m->accepted) return;
    raft_election_count(r, m->source, out);
}
