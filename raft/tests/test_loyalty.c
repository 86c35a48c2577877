/* test_loyalty.c - loyalty to a live leader (D 4.2.3) and the leader's own check (D 6.2), rule by
 * rule.
 *
 *     D 4.2.3  a server that hears from a leader neither votes nor changes its term
 *              a vote that the leader asked for is an exception
 *     D 6.2    a leader that hears from no quorum for an election timeout steps down */
#include <criterion/criterion.h>

#include "cluster.h"

static const struct raft_config checking = {.check_quorum = true};

/* ---- D 4.2.3 ---- */

/* "If a server receives a RequestVote request within the minimum election timeout of hearing from a
 * current leader, it does not update its term or grant its vote": it is silent, and says no to the
 * question. When its own timer has run out it votes. */
Test(section_D_4_2_3, follower_of_a_live_leader_does_not_vote) {
    const struct raft_message contacts[] = {
        message_append(2, 4, "14", 3, 2), message_append(2, 4, "144", 4, 3), /* Rejected. */
        message_append(2, 4, "144", 3, 3), message_snapshot(2, 4, 9, 4)};
    for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.config = checking, .term = 4, .log = "14"});
        node_receive(&n, contacts[i]);
        node_save(&n);
        for (raft_term term = 4; term <= 9; term++) {
            node_receive(&n, message_vote(3, term, 99, 9));
            assert_no_effects(&n);
            cr_assert_eq(n.raft.term, 4);
            node_receive(&n, message_prevote(3, term, 99, 9));
            cr_assert_not(sent_alone(&n, RAFT_PREVOTE_REPLY, 3)->message.accepted);
        }
        node_timeout(&n);
        node_receive(&n, message_vote(3, 9, 99, 9));
        cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    }
}

/* A leader of an older term is not current: hearing from it is nothing. */
Test(section_D_4_2_3, stale_leader_is_not_live) {
    struct node n;
    node_start(&n, (struct start){.config = checking, .term = 4, .log = "14"});
    node_receive(&n, message_append(2, 3, "13", 3, 2));
    node_receive(&n, message_snapshot(2, 3, 9, 3));
    node_receive(&n, message_vote(3, 5, 9, 4));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* An older request is answered as ever: its sender must hear of the term. */
Test(section_D_4_2_3, stale_requests_are_still_answered) {
    struct node n;
    node_start(&n, (struct start){.config = checking, .term = 4, .log = "14"});
    node_receive(&n, message_append(2, 4, "14", 3, 2));
    node_receive(&n, message_vote(3, 3, 9, 9));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* A leader hears from itself; when it has stepped down it votes. Only with the option. */
Test(section_D_4_2_3, leader_does_not_vote) {
    struct node n;
    node_lead(&n, (struct start){.config = checking});
    node_receive(&n, message_vote(3, 9, 99, 9));
    assert_no_effects(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_receive(&n, message_prevote(3, 9, 99, 9));
    cr_assert_not(sent_alone(&n, RAFT_PREVOTE_REPLY, 3)->message.accepted);
    node_receive(&n, message_rejected(3, 2, 1, 0, 0));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    node_receive(&n, message_vote(3, 3, 99, 9));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    node_lead(&n, (struct start){0});
    node_receive(&n, message_vote(3, 9, 99, 9));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* A leader that the old one had asked to lead, and so never waited for its timer, hears from no
 * leader when it steps down. */
Test(section_D_4_2_3, leader_that_steps_down_votes) {
    struct node n;
    node_start(&n, (struct start){.config = checking, .term = 4, .log = "14"});
    node_receive(&n, message_append(2, 4, "14", 3, 2));
    node_receive(&n, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 4});
    node_save(&n);
    node_receive(&n, message_grant(2, 5));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_receive(&n, message_rejected(2, 6, 2, 0, 0));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    node_receive(&n, message_vote(3, 7, 9, 9));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* "This does not conflict with leadership transfer: ... the candidate includes a flag to indicate
 * that the leader has asked for this election." */
Test(section_D_4_2_3, election_that_the_leader_asked_for_gets_votes) {
    struct node n;
    node_start(&n, (struct start){.config = checking, .term = 4, .log = "14"});
    node_receive(&n, message_append(2, 4, "14", 3, 2));
    struct raft_message m = message_vote(3, 5, 2, 4);
    m.transfer = true;
    node_receive(&n, m);
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    cr_assert_eq(n.raft.term, 5);
}

/* Servers that are removed get no more heartbeats, time out and ask for votes. The others have a
 * leader, and neither follow their terms nor elect anybody else. */
Test(section_D_4_2_3, removed_servers_do_not_disrupt) {
    static struct cluster c;
    cluster_start(&c, 5, (struct start){.config = checking});
    cluster_elect(&c, 1);
    raft_term term = c.nodes[1].raft.term;
    cluster_change(&c, 1, "1234", "");
    cluster_settle(&c);
    cluster_change(&c, 1, "123", "");
    cluster_settle(&c);
    cluster_run(&c, 1, 1);
    for (raft_id removed = 4; removed <= 5; removed++) {
        cluster_run(&c, removed, 5);
        cr_assert_gt(c.nodes[removed].raft.term, term, "it campaigns");
        cluster_run(&c, 1, 5);
        cr_assert_eq(cluster_leader(&c), 1);
        cr_assert_eq(c.nodes[1].raft.term, term);
    }
    cluster_propose(&c, 1, 77);
    cluster_run(&c, 1, 2);
    c.cut = ids("45");
    cluster_assert_converged(&c);
}

/* ---- D 6.2 ---- */

/* "A leader in Raft steps down if an election timeout elapses without a successful round of
 * heartbeats to a majority of its cluster": after `patience` heartbeats, no sooner. */
Test(section_D_6_2, leader_without_a_quorum_steps_down) {
    for (uint8_t patience = 1; patience <= 5; patience++) {
        struct raft_config config = {.check_quorum = true, .patience = patience};
        struct node n;
        node_lead(&n, (struct start){.config = config, .voter_count = 5});
        for (uint8_t i = 0; i < patience; i++) node_timeout(&n); /* All were heard of before. */
        for (uint8_t i = 1; i < patience; i++) {
            node_timeout(&n);
            cr_assert_eq(n.raft.role, RAFT_LEADER, "%u of %u", i, patience);
        }
        node_receive(&n, message_accepted(2, 1, 1));
        node_timeout(&n);
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "two of five");
        cr_assert_eq(n.raft.leader, 0);
        cr_assert_eq(n.raft.term, 1, "in the same term");
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.effects.message_count, 0);
    }
}

/* Any answer in its term shows that a peer is there: an acceptance, a rejection, a wish for another
 * chunk. An answer of an earlier term does not, and a learner has no say. */
Test(section_D_6_2, answers_of_voters_keep_the_leader) {
    const struct {
        struct raft_message message;
        bool counts;
    } rows[] = {{message_accepted(2, 4, 1), true},
                {message_rejected(2, 4, 1, 0, 0), true},
                {message_chunk_reply(2, 4, 1, false, 0), true},
                {message_accepted(2, 3, 1), false},
                {message_accepted(4, 4, 1), false},
                {message_accepted(5, 4, 1), false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        struct raft_members members = {ids("123"), 0, ids("4")};
        node_lead(&n, (struct start){.config = checking, .members = members, .term = 3});
        for (int k = 0; k < 3; k++) node_timeout(&n);
        node_receive(&n, rows[i].message);
        for (int k = 0; k < 3; k++) node_timeout(&n);
        cr_assert_eq(n.raft.role, rows[i].counts ? RAFT_LEADER : RAFT_FOLLOWER, "row %zu", i);
    }
}

/* A joint configuration needs both majorities. */
Test(section_D_6_2, joint_configuration_needs_both_majorities) {
    static const struct {
        const char *heard;
        bool leads;
    } rows[] = {{"2345", true}, {"24", true}, {"23", false}, {"45", false}, {"2", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        struct raft_members joint = {ids("123"), ids("145"), 0};
        node_start(&n,
                   (struct start){.config = checking, .log = "1a", .changes = {joint}, .term = 1});
        node_elect(&n);
        node_save(&n);
        for (int k = 0; k < 3; k++) node_timeout(&n);
        for (const char *id = rows[i].heard; *id != '\0'; id++)
            node_receive(&n, message_accepted((raft_id)(*id - '0'), 2, 1));
        for (int k = 0; k < 3; k++) node_timeout(&n);
        cr_assert_eq(n.raft.role, rows[i].leads ? RAFT_LEADER : RAFT_FOLLOWER, "row %zu", i);
    }
}

/* Without the option it leads on, alone; a cluster of one always does. */
Test(section_D_6_2, leader_without_the_check_stays) {
    struct node n;
    node_lead(&n, (struct start){0});
    for (int i = 0; i < 20; i++) node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_lead(&n, (struct start){.config = checking, .voter_count = 1});
    for (int i = 0; i < 20; i++) node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}
