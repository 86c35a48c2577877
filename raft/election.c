/* election.c - leader election (5.2) and its restriction (5.4.1), pre-vote (D 9.6), and that nobody
 * votes while a leader is live (D 4.2.3). */
#include <assert.h>

#include "members.h"
#include "quorum.h"
#include "state.h"

/* "Raft determines which of two logs is more up-to-date by comparing the index and term of the last
 * entries in the logs" (5.4.1). */
static bool is_up_to_date(const struct raft *r, raft_term last_term, raft_index last) {
    raft_term own_term = raft_log_term(r, r->last);
    if (last_term != own_term) return last_term > own_term;
    return last >= r->last;
}

/* "If a server receives a RequestVote request within the minimum election timeout of hearing from a
 * current leader, it does not update its term or grant its vote" (D 4.2.3). No clock is needed: the
 * election timer, which the leader's messages restart, has not run out since. */
static bool is_loyal(const struct raft *r) {
    return r->config.check_quorum && (r->has_live_leader || r->role == RAFT_LEADER);
}

/* A node whose log has no room for the no-op that it would have to append could never commit
 * anything as leader: it leaves elections to others. So does one that has stepped down since its
 * disk hung, until the disk completes a write. One that is not a voter by its last
 * configuration still campaigns while that may not be committed, if it was one before, and does not
 * count itself (D 4.2.2):
 *   1. Two nodes, A and B. A, the leader, appends its own removal, and restarts.
 *   2. B does not have that entry: A's log is more up-to-date, and A does not vote for B.
 *   3. Only A can win: by the vote of B, which is the majority of A's configuration {B}.
 * So does one who stands in the way of others, a learner, say:
 *   1. A leads A, B, C and the learner D. It appends D's promotion, which nobody else gets.
 *   2. B is elected by C. Its no-op reaches only D; then B is gone.
 *   3. A needs the votes of C and D, C that of A; D's log is better than A's, and A's than C's.
 *   4. Only D can win: by the votes of A and C. */
bool raft_election_may_start(const struct raft *r) {
    if (raft_log_full(r) || r->hung > r->durable || r->members.voters == 0) return false;
    if (raft_members_has_voter(&r->members, r->config.self) || r->has_better_log) return true;
    if (r->members_index <= r->commit) return false;
    struct raft_members before;
    raft_members_at(r, r->members_index - 1, &before);
    return raft_members_has_voter(&before, r->config.self);
}

static raft_set other_voters(const struct raft *r) {
    return (r->members.voters | r->members.outgoing) & ~raft_set_of(r->config.self);
}

static void ask(struct raft *r, enum raft_message_type type, bool is_transfer,
                struct raft_effects *out) {
    for (raft_set rest = other_voters(r); rest != 0; rest &= rest - 1) {
        raft_id target = (raft_id)__builtin_ctzll(rest);
        struct raft_message *m = raft_send(r, type, target, r->vote_write, out);
        m->index = r->last;
        m->index_term = raft_log_term(r, r->last);
        m->transfer = is_transfer;
        if (type == RAFT_PREVOTE) m->tag = r->term;
    }
}

/* "Increment currentTerm, vote for self, reset election timer, send RequestVote RPCs to all other
 * servers" (figure 2). */
void raft_election_start(struct raft *r, bool is_transfer, struct raft_effects *out) {
    assert(r->role != RAFT_LEADER);
    raft_read_refuse(r, out);
    out->timer = RAFT_TIMER_ELECTION;
    r->role = RAFT_CANDIDATE;
    r->term++;
    r->vote = r->config.self;
    r->leader = 0;
    r->granted = 0;
    raft_save_vote(r, out);
    ask(r, RAFT_VOTE, is_transfer, out);
}

/* "A candidate only increments its term if it first learns from a majority of the cluster that they
 * would be willing to grant the candidate their votes" (D 9.6). Nothing is saved. */
static void prevote_start(struct raft *r, struct raft_effects *out) {
    r->role = RAFT_PRECANDIDATE;
    r->leader = 0;
    r->granted = raft_set_of(r->config.self);
    if (raft_quorum(&r->members, r->granted)) raft_election_start(r, false, out);
    else ask(r, RAFT_PREVOTE, false, out);
}

/* Who has no vote asks first, whatever its options are: it may be a removed server, and pass on the
 * disruption by one that has not heard of that to nodes that the other one does not reach. */
void raft_election_timeout(struct raft *r, struct raft_effects *out) {
    r->has_live_leader = false;
    out->timer = RAFT_TIMER_ELECTION;
    raft_read_refuse(r, out);
    bool may_start = raft_election_may_start(r);
    r->has_better_log = false;
    if (!may_start) return;
    bool has_vote = raft_members_has_voter(&r->members, r->config.self);
    if (r->config.pre_vote || !has_vote) prevote_start(r, out);
    else raft_election_start(r, false, out);
}

void raft_election_count(struct raft *r, raft_id voter, struct raft_effects *out) {
    assert(r->role == RAFT_CANDIDATE);
    r->granted |= raft_set_of(voter);
    if (!raft_quorum(&r->members, r->granted)) return;
    r->role = RAFT_LEADER;
    r->leader = r->config.self;
    raft_replicate_start(r, out);
}

/* The log of whoever asks. If not, this node may be the only one that can win. */
static bool is_good_enough(struct raft *r, const struct raft_message *m) {
    bool is_good = is_up_to_date(r, m->index_term, m->index);
    if (!is_good) r->has_better_log = true;
    return is_good;
}

/* The answer costs nothing: no term, no vote, no timer changes. A higher term in it, which is the
 * receiver's real one, lets an asker with a long log and a low term catch up: else two nodes, one
 * ahead by its term and the other by its log, would refuse each other for ever. */
void raft_receive_prevote(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    struct raft_message *reply = raft_send(r, RAFT_PREVOTE_REPLY, m->source, r->vote_write, out);
    bool is_in_time = m->term >= r->term && !is_loyal(r);
    reply->accepted = is_in_time && is_good_enough(r, m);
    reply->tag = m->term;
}

void raft_receive_prevote_reply(struct raft *r, const struct raft_message *m,
                                struct raft_effects *out) {
    bool is_asking = r->role == RAFT_PRECANDIDATE;
    if (!m->accepted && m->term > r->term) {
        raft_become_follower(r, m->term, out);
        if (is_asking) prevote_start(r, out); /* At once: that node may raise its term again. */
        return;
    }
    if (!is_asking || !m->accepted || m->tag != r->term) return;
    r->granted |= raft_set_of(m->source);
    if (raft_quorum(&r->members, r->granted)) raft_election_start(r, false, out);
}

/* Votes for whoever asks, also for a node that is not in the configuration here: the entry that
 * adds it may not have come yet (D 4.2.2). */
void raft_receive_vote(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (m->term >= r->term && !m->transfer && is_loyal(r)) return;
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    bool granted =
        m->term == r->term && (r->vote == 0 || r->vote == m->source) && is_good_enough(r, m);
    if (granted && r->vote == 0) {
        r->vote = m->source;
        raft_save_vote(r, out);
    }
    if (granted) {
        out->timer = RAFT_TIMER_ELECTION;
        if (r->role == RAFT_PRECANDIDATE) r->role = RAFT_FOLLOWER; /* It wants another to win. */
    }
    raft_send(r, RAFT_VOTE_REPLY, m->source, r->vote_write, out)->accepted = granted;
}

void raft_receive_vote_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out) {
    if (m->term > r->term) raft_become_follower(r, m->term, out);
    if (m->term < r->term || r->role != RAFT_CANDIDATE || !m->accepted) return;
    raft_election_count(r, m->source, out);
}
