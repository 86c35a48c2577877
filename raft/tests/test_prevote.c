/* test_prevote.c - pre-vote (D 9.6), rule by rule.
 *
 *     the term is raised only after a majority would vote
 *     a server would vote for an up-to-date log, if it hears from no leader
 *     the answer changes nothing; it tells a higher term
 *
 * Who hears from a leader is in test_loyalty.c. */
#include <criterion/criterion.h>

#include "support.h"

static const struct raft_config guarded = {.pre_vote = true, .check_quorum = true};
static const struct raft_config asking = {.pre_vote = true};

/* ---- D 9.6: the asker ---- */

/* "A candidate only increments its term if it first learns from a majority of the cluster that they
 * would be willing": a timeout saves nothing, raises nothing, and asks all other voters. */
Test(section_D_9_6, timeout_asks_before_anything_is_changed) {
    struct raft_members joint = {ids("123"), ids("145"), ids("6")};
    struct node n;
    node_start(&n, (struct start){.config = asking, .members = joint, .term = 4, .log = "114"});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE);
    cr_assert_eq(n.raft.term, 4);
    cr_assert_eq(n.effects.write, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
    cr_assert_eq(n.effects.message_count, 4, "the learner is not asked");
    for (raft_id peer = 2; peer <= 5; peer++) {
        const struct raft_message *m = &sent_to(&n, RAFT_PREVOTE, peer)->message;
        cr_assert_eq(m->index, 3);
        cr_assert_eq(m->index_term, 4);
        cr_assert_eq(m->tag, 4);
    }
}

/* The majority counts the asker itself; then comes the election, with all that belongs to it. */
Test(section_D_9_6, majority_of_would_be_votes_starts_the_election) {
    for (uint8_t count = 2; count <= RAFT_NODES_MAX; count++) {
        struct node n;
        node_start(&n, (struct start){.config = asking, .voter_count = count, .term = 3});
        node_timeout(&n);
        for (raft_id peer = 2; peer <= count / 2; peer++) {
            node_receive(&n, message_pregrant(peer, 3));
            cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE, "%u of %u", peer, count);
        }
        node_receive(&n, message_pregrant(count, 3));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "of %u", count);
        cr_assert_eq(n.raft.term, 4);
        cr_assert(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        for (raft_id peer = 2; peer <= count; peer++)
            cr_assert_eq(sent_to(&n, RAFT_VOTE, peer)->after, n.effects.write);
        node_save(&n);
        if (count > 2) cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "would-be votes are no votes");
    }
}

/* A cluster of one asks nobody. */
Test(section_D_9_6, single_server_campaigns_at_once) {
    struct node n;
    node_start(&n, (struct start){.config = guarded, .voter_count = 1});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.raft.term, 1);
}

/* Refusals, copies, answers to an earlier term, and who has no vote: none of them counts. */
Test(section_D_9_6, other_answers_do_not_count) {
    struct raft_message refusal = message_pregrant(2, 3), vote = message_grant(2, 3);
    refusal.accepted = false;
    const struct raft_message rows[] = {refusal, vote, message_pregrant(2, 2),
                                        message_pregrant(6, 3), message_pregrant(7, 3)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct raft_members members = {ids("12345"), 0, ids("6")};
        struct node n;
        node_start(&n, (struct start){.config = asking, .members = members, .term = 3});
        node_timeout(&n);
        node_receive(&n, message_pregrant(3, 3));
        for (int copy = 0; copy < 2; copy++) {
            node_receive(&n, message_pregrant(3, 3));
            node_receive(&n, rows[i]);
            cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE, "row %zu", i);
            assert_no_effects(&n);
        }
        node_receive(&n, message_pregrant(4, 3));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "row %zu", i);
    }
}

/* A second timeout begins anew, without the answers to the first; a candidate that fails asks
 * again, and keeps its term. */
Test(section_D_9_6, another_timeout_asks_again) {
    struct node n;
    node_start(&n, (struct start){.config = asking, .voter_count = 5, .term = 3});
    node_timeout(&n);
    node_receive(&n, message_pregrant(2, 3));
    node_timeout(&n);
    node_receive(&n, message_pregrant(3, 3));
    cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE);
    node_receive(&n, message_pregrant(4, 3));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_save(&n);
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE);
    cr_assert_eq(n.raft.term, 4);
    node_receive(&n, message_grant(2, 4));
    node_receive(&n, message_grant(3, 4));
    cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE, "the campaign is over");
}

/* It follows a leader of its term, and what would have been its votes is void. */
Test(section_D_9_6, pre_candidate_follows_a_leader) {
    struct node n;
    node_start(&n, (struct start){.config = asking, .term = 3});
    node_timeout(&n);
    node_receive(&n, message_append(2, 3, "", 1, 0));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.leader, 2);
    node_receive(&n, message_pregrant(3, 3));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    assert_no_effects(&n);
}

/* A pre-candidate that votes for another wants that one to win: it stops asking, and waits. A vote
 * that it refuses changes nothing. */
Test(section_D_9_6, pre_candidate_that_votes_stops_asking) {
    for (raft_index last = 1; last <= 2; last++) {
        struct node n;
        node_start_as(&n, RAFT_PRECANDIDATE);
        node_receive(&n, message_vote(2, 4, last, 4));
        bool granted = last == 2;
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, granted);
        cr_assert_eq(n.raft.role, granted ? RAFT_FOLLOWER : RAFT_PRECANDIDATE);
        node_receive(&n, message_pregrant(3, 4));
        cr_assert_eq(n.raft.role, granted ? RAFT_FOLLOWER : RAFT_CANDIDATE);
    }
}

/* ---- D 9.6: the answer ---- */

/* "A server would grant its vote only if the candidate's log is sufficiently up-to-date" and its
 * term is not behind: as a vote (5.4.1), with the term that the asker has now. */
Test(section_D_9_6, answer_looks_at_the_log_and_the_term) {
    static const struct {
        raft_term term;
        raft_index last;
        raft_term last_term;
        bool accepted;
    } rows[] = {{5, 3, 3, true},  {5, 4, 3, true},  {5, 2, 3, false},
                {5, 1, 4, true},  {5, 9, 2, false}, {4, 3, 3, false},
                {0, 9, 9, false}, {9, 3, 3, true},  {9, 2, 3, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.config = asking, .term = 5, .vote = 3, .log = "113"});
        node_receive(&n, message_prevote(2, rows[i].term, rows[i].last, rows[i].last_term));
        const struct raft_message *m = &sent_alone(&n, RAFT_PREVOTE_REPLY, 2)->message;
        cr_assert_eq(m->accepted, rows[i].accepted, "row %zu", i);
        cr_assert_eq(m->tag, rows[i].term, "row %zu", i);
    }
}

/* The answer changes nothing: not the term, the vote, the timer or the role, whatever they are. */
Test(section_D_9_6, answer_changes_nothing) {
    for (unsigned role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (raft_term term = 3; term <= 9; term++) {
            struct node n;
            node_start_as(&n, (enum raft_role)role);
            struct raft before = n.raft;
            node_receive(&n, message_prevote(2, term, 9, 9));
            sent_alone(&n, RAFT_PREVOTE_REPLY, 2);
            cr_assert_eq(n.effects.write, 0);
            cr_assert_eq(n.effects.timer, RAFT_TIMER_KEEP);
            cr_assert_eq(n.raft.role, role);
            cr_assert_eq(n.raft.term, before.term);
            cr_assert_eq(n.raft.vote, before.vote);
            cr_assert_eq(n.raft.leader, before.leader);
        }
    }
}

/* Would-be votes may be given to many: they are no promise. */
Test(section_D_9_6, many_may_be_answered_yes) {
    struct node n;
    node_start(&n, (struct start){.config = asking, .voter_count = 5, .term = 1});
    for (raft_id peer = 2; peer <= 5; peer++) {
        node_receive(&n, message_prevote(peer, 1, 0, 0));
        cr_assert(sent_alone(&n, RAFT_PREVOTE_REPLY, peer)->message.accepted);
    }
}

/* A refusal tells a higher term. The asker takes it over, and asks again at once: the other one may
 * go on raising its own. Who does not ask takes it over, too, and waits. */
Test(section_D_9_6, refusal_tells_a_higher_term) {
    for (int asks = 0; asks <= 1; asks++) {
        struct node n;
        node_start(&n, (struct start){.config = asking, .term = 3});
        if (asks) node_timeout(&n);
        struct raft_message refusal = message_pregrant(2, 3);
        refusal.accepted = false;
        refusal.term = 7;
        node_receive(&n, refusal);
        cr_assert_eq(n.raft.term, 7);
        cr_assert(n.effects.save_vote);
        cr_assert_eq(n.raft.role, asks ? RAFT_PRECANDIDATE : RAFT_FOLLOWER);
        cr_assert_eq(n.effects.message_count, asks ? 2 : 0);
        if (!asks) continue;
        for (raft_id peer = 2; peer <= 3; peer++)
            cr_assert_eq(sent_to(&n, RAFT_PREVOTE, peer)->after, n.effects.write);
        node_receive(&n, message_pregrant(3, 3));
        cr_assert_eq(n.raft.role, RAFT_PRECANDIDATE, "that was the answer to the first question");
        node_receive(&n, message_pregrant(3, 7));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    }
}
