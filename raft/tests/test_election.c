/* test_election.c - leader election (5.1, 5.2) and its restriction (5.4.1). */
#include <criterion/criterion.h>

#include "cluster.h"

/* "When servers start up, they begin as followers" (5.2), in the term they had saved. */
Test(section_5_2, servers_start_as_followers) {
    for (raft_term term = 0; term < 4; term++) {
        struct node n;
        node_start(&n, (struct start){.term = term, .vote = term > 0 ? 2 : 0});
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
        cr_assert_eq(n.raft.term, term);
        cr_assert_eq(n.raft.leader, 0);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.effects.write, 0);
        cr_assert_eq(n.effects.message_count, 0);
    }
}

/* Stable storage first: a request for votes leaves when the term and the own vote are saved (5.1).
 */
Test(section_5_1, vote_requests_wait_for_the_write) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_timeout(&n);
    cr_assert_neq(n.effects.write, 0);
    for (raft_id peer = 2; peer <= 5; peer++)
        cr_assert_eq(sent_to(&n, RAFT_VOTE, peer)->after, n.effects.write);
}

/* A vote that a crash can take back does not count, the own one neither (5.2). */
Test(section_5_2, own_vote_counts_once_it_is_saved) {
    struct node n;
    node_start(&n, (struct start){0});
    node_timeout(&n);
    node_receive(&n, message_grant(2, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* The write of an earlier campaign says nothing about the vote of this one (5.2). */
Test(section_5_2, own_vote_waits_for_the_write_of_its_term) {
    struct node n;
    node_start(&n, (struct start){0});
    node_timeout(&n);
    raft_write first = n.effects.write;
    node_timeout(&n);
    node_receive(&n, message_grant(2, 2));
    node_saved(&n, first);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* A cluster of one elects itself, but not before its vote is saved (5.2). */
Test(section_5_2, single_server_leads_once_its_vote_is_saved) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 1});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.effects.message_count, 0);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    cr_assert_eq(n.raft.leader, 1);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_HEARTBEAT);
    cr_assert_eq(n.effects.message_count, 0);
}

/* Refused votes elect nobody (5.2). */
Test(section_5_2, refusals_do_not_count) {
    struct node n;
    node_start(&n, (struct start){0});
    node_campaign(&n);
    for (raft_id peer = 2; peer <= 3; peer++) {
        struct raft_message refusal = message_grant(peer, 1);
        refusal.accepted = false;
        node_receive(&n, refusal);
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
        assert_no_effects(&n);
    }
}

/* A network may deliver a vote twice; it stays one vote (5.2). */
Test(section_5_2, duplicate_votes_count_once) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_campaign(&n);
    for (int copy = 0; copy < 4; copy++) {
        node_receive(&n, message_grant(2, 1));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    }
    node_receive(&n, message_grant(3, 1));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* Votes that come after the election change nothing, for the leader and for the loser (5.2). */
Test(section_5_2, votes_after_the_election_are_ignored) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_elect(&n);
    node_receive(&n, message_grant(5, 1));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    assert_no_effects(&n);
    node_start(&n, (struct start){0});
    node_campaign(&n);
    node_receive(&n, message_append(3, 1, "", 1, 0));
    node_receive(&n, message_grant(2, 1));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    assert_no_effects(&n);
}

/* "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects
 * the RPC and continues in candidate state" (5.2). */
Test(section_5_2, candidate_ignores_the_leader_of_an_older_term) {
    struct node n;
    node_start(&n, (struct start){.term = 3});
    node_campaign(&n);
    node_receive(&n, message_append(2, 3, "3", 1, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.raft.leader, 0);
    assert_log(&n, "");
    cr_assert_not(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.accepted);
}

/* A candidate and a leader have voted for themselves (5.2). */
Test(section_5_2, candidate_and_leader_refuse_their_vote) {
    for (unsigned role = RAFT_CANDIDATE; role <= RAFT_LEADER; role++) {
        struct node n;
        node_start_as(&n, (enum raft_role)role);
        node_receive(&n, message_vote(2, 5, 99, 5));
        cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
        cr_assert_eq(n.raft.role, role);
        cr_assert_eq(n.raft.vote, 1);
    }
}

/* A vote leaves the node when it is saved, and so does its duplicate (5.1, figure 2: "updated on
 * stable storage before responding to RPCs"). */
Test(section_5_1, granted_vote_waits_for_the_write) {
    struct node n;
    node_start(&n, (struct start){.term = 1});
    node_receive(&n, message_vote(2, 1, 0, 0));
    raft_write write = n.effects.write;
    cr_assert(n.effects.save_vote);
    cr_assert_neq(write, 0);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, write);
    node_receive(&n, message_vote(2, 1, 0, 0));
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, write);
    node_saved(&n, write);
    node_receive(&n, message_vote(2, 1, 0, 0));
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, 0);
}

/* A refusal says the term, which must be saved as well: else a crash would take it back (5.1). */
Test(section_5_1, refused_vote_waits_for_the_write_of_its_term) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "2"});
    node_receive(&n, message_vote(2, 3, 0, 0));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    cr_assert_neq(n.effects.write, 0);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, n.effects.write);
}

/* A refused candidate does not use up the vote: a better one may have it (5.4.1). */
Test(section_5_4_1, refusal_leaves_the_vote_free) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "12"});
    node_receive(&n, message_vote(2, 3, 9, 1));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    node_receive(&n, message_vote(3, 3, 2, 2));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* The log that is compared goes on where the snapshot ends (5.4.1, 7). */
Test(section_5_4_1, snapshot_counts_as_log) {
    struct node n;
    struct start start = {.term = 5, .snapshot = {.index = 7, .term = 3}};
    for (raft_index last = 6; last <= 8; last++) {
        node_start(&n, start);
        node_receive(&n, message_vote(2, 6, last, 3));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, last >= 7);
    }
    node_start(&n, start);
    node_timeout(&n);
    cr_assert_eq(sent_to(&n, RAFT_VOTE, 2)->message.index, 7);
    cr_assert_eq(sent_to(&n, RAFT_VOTE, 2)->message.index_term, 3);
}

/* A full log has no room for the no-op, without which a leader cannot commit (8): the node leaves
 * the election to others until it has compacted (7). */
Test(section_8, full_log_does_not_campaign) {
    char log[RAFT_LOG_MAX + 1];
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = log_repeat(log, '1', RAFT_LOG_MAX)});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.term, 1);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
    cr_assert_eq(n.effects.message_count, 0);
    cr_assert_eq(n.effects.write, 0);
    struct raft_message heartbeat = message_append(2, 1, log, RAFT_LOG_MAX + 1, RAFT_LOG_MAX);
    heartbeat.commit = 1;
    node_receive(&n, heartbeat);
    node_compact(&n, 1);
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
}

/* Only a member of the configuration stands for election (5.2, 6). */
Test(section_5_2, server_without_a_vote_does_not_campaign) {
    struct node n;
    node_start(&n, (struct start){.config.self = 4, .voter_count = 3, .term = 2});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.term, 2);
    cr_assert_eq(n.effects.message_count, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
}

/* Split vote, then a new term that decides (5.2): four servers, two candidates. */
Test(section_5_2, split_vote_is_settled_in_a_later_term) {
    static struct cluster c;
    cluster_start(&c, 4, (struct start){0});
    c.cut = (raft_set)1 << 2 | (raft_set)1 << 4;
    cluster_timeout(&c, 1);
    cluster_settle(&c);
    c.cut = (raft_set)1 << 1 | (raft_set)1 << 3;
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    c.cut = 0;
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    cr_assert_eq(c.nodes[2].raft.role, RAFT_LEADER);
    cr_assert_eq(c.nodes[2].raft.term, 2);
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    cluster_assert_converged(&c);
}
