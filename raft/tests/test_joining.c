/* test_joining.c - servers that join and leave (D 4.2, D 4.4), rule by rule.
 *
 *     D 4.2.1  learners get the log and count for nothing
 *     D 4.2.2  a leader that is removed leads until that is committed, and does not count itself
 *              servers vote for, and obey, those whom they do not know
 *     D 4.4    a new server catches up by the log or by a snapshot */
#include <criterion/criterion.h>

#include "cluster.h"

/* ---- D 4.2.1: learners ---- */

/* They get the log, and neither their copies nor their votes count; they do not campaign unless
 * they are in the way. */
Test(section_D_4_2_1, learners_count_for_nothing) {
    struct raft_members members = {ids("123"), 0, ids("45")};
    struct node n;
    node_start(&n, (struct start){.members = members, .term = 1});
    node_campaign(&n);
    for (raft_id id = 4; id <= 5; id++) {
        node_receive(&n, message_grant(id, 2));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    }
    node_receive(&n, message_grant(2, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    for (raft_id id = 2; id <= 5; id++) sent_to(&n, RAFT_APPEND, id);
    node_save(&n);
    for (raft_id id = 4; id <= 5; id++) node_receive(&n, message_accepted(id, 2, 1));
    cr_assert_eq(n.raft.commit, 0);
    node_receive(&n, message_accepted(3, 2, 1));
    cr_assert_eq(n.raft.commit, 1);
    node_start(&n, (struct start){.config.self = 4, .members = members, .term = 1});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.effects.message_count, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
}

/* A learner is promoted when it has caught up; a voter is demoted, and keeps what it has. The
 * leader goes on sending where it was. */
Test(section_D_4_2_1, promotion_and_demotion) {
    struct node n;
    node_lead(&n, (struct start){.members = {ids("123"), 0, ids("4")}});
    cr_assert_eq(n.raft.peers[4].match, 1);
    node_change(&n, ids("1234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    assert_members(&n.raft.members, "1234", "", "");
    cr_assert_eq(n.raft.peers[4].match, 1, "what is known of it stays");
    node_agree(&n);
    node_change(&n, ids("134"), ids("2"));
    assert_members(&n.raft.members, "134", "", "2");
    cr_assert_eq(n.raft.peers[2].match, 2);
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 3));
    cr_assert_eq(n.raft.commit, 2, "it has no say any more");
    node_receive(&n, message_accepted(4, 1, 3));
    cr_assert_eq(n.raft.commit, 3);
}

/* A leader that is to be a learner steps down as one that is removed. */
Test(section_D_4_2_1, leader_may_be_demoted) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_change(&n, ids("23"), ids("1"));
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_receive(&n, message_accepted(3, 1, 2));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "it has no vote");
}

/* ---- D 4.2.2: removal of the leader ---- */

/* "It replicates log entries but does not count itself in majorities", leads until the entry is
 * committed, then tells the others so, and steps down. */
Test(section_D_4_2_2, removed_leader_leads_until_it_is_committed) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 4});
    node_change(&n, ids("234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.raft.commit, 1, "with its own copy it would be committed");
    node_propose(&n, 77);
    if (RAFT_TAIL_MAX > 1) cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED, "it leads still");
    node_save(&n);
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_receive(&n, message_accepted(3, 1, 2));
    cr_assert_eq(n.raft.commit, 2);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.leader, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
    cr_assert_eq(n.effects.answer_from, 2);
    for (raft_id peer = 2; peer <= 4; peer++)
        cr_assert_eq(sent_to(&n, RAFT_APPEND, peer)->message.commit, 2, "node %u", peer);
}

/* Then it does not stand for election again, unless it is asked for its vote, and refuses commands.
 */
Test(section_D_4_2_2, removed_leader_stays_out) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    cluster_change(&c, 1, "23", "");
    cluster_settle(&c);
    cr_assert_eq(cluster_leader(&c), 0);
    for (raft_id id = 2; id <= 3; id++) cr_assert_eq(c.nodes[id].raft.commit, 2, "they know");
    cluster_run(&c, 1, 3);
    cr_assert_eq(c.nodes[1].raft.term, 1);
    cluster_propose(&c, 1, 77);
    cr_assert_eq(c.refusal, RAFT_NOT_LEADER);
    cluster_run(&c, 2, 1);
    cr_assert_eq(cluster_leader(&c), 2);
    cluster_propose(&c, 2, 77);
    cluster_run(&c, 2, 2);
    c.cut = ids("1");
    cluster_assert_converged(&c);
}

/* Two servers: the leader has appended its own removal, and restarts. The other one does not have
 * that entry: its log is behind, and it cannot win. So the first one must campaign, by the vote of
 * the other, and finish what it began. */
Test(section_D_4_2_2, server_that_appended_its_own_removal_may_finish_it) {
    for (int pre_vote = 0; pre_vote <= 1; pre_vote++) {
        static struct cluster c;
        struct raft_config config = {.pre_vote = pre_vote, .check_quorum = pre_vote};
        cluster_start(&c, 2, (struct start){.config = config});
        cluster_elect(&c, 1);
        c.cut = ids("2");
        cluster_change(&c, 1, "2", "");
        cluster_settle(&c);
        c.cut = 0;
        cluster_restart(&c, 1);
        cluster_run(&c, 2, 2);
        cr_assert_eq(cluster_leader(&c), 0, "it cannot win");
        cluster_run(&c, 1, 2);
        cr_assert_eq(c.nodes[2].raft.commit, c.nodes[2].raft.last);
        assert_members(&c.nodes[2].raft.members, "2", "", "");
        cr_assert_neq(c.nodes[1].raft.role, RAFT_LEADER, "it is out");
        cluster_run(&c, 2, 2);
        cr_assert_eq(cluster_leader(&c), 2);
        cluster_run(&c, 1, 2);
        cr_assert_neq(c.nodes[1].raft.role, RAFT_LEADER);
    }
}

/* The vote of such a server is not one of its own configuration's: it needs the others'. */
Test(section_D_4_2_2, server_that_appended_its_own_removal_does_not_count_itself) {
    struct node n;
    struct raft_members without = {ids("23"), 0, 0};
    node_start(&n, (struct start){.term = 1, .log = "1a", .changes = {without}});
    node_campaign(&n);
    node_receive(&n, message_grant(2, 2));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_receive(&n, message_grant(3, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* Who has no vote campaigns once for each time that it stood in somebody's way, and not when a
 * leader was heard of since. */
Test(section_D_4_2_2, server_without_a_vote_stands_only_when_it_is_needed) {
    struct raft_message asks[] = {message_vote(2, 3, 1, 1), message_prevote(2, 3, 1, 1)};
    for (unsigned i = 0; i < 2; i++) {
        struct node n;
        node_start(&n, (struct start){.members = {ids("23"), 0, ids("1")}, .term = 3, .log = "12"});
        node_timeout(&n);
        cr_assert_eq(n.effects.message_count, 0);
        node_receive(&n, asks[i]);
        node_timeout(&n);
        sent_to(&n, RAFT_PREVOTE, 2);
        node_receive(&n, message_pregrant(2, 3));
        cr_assert_eq(n.raft.term, 3, "it does not count itself");
        node_receive(&n, message_pregrant(3, 3));
        cr_assert_eq(n.raft.term, 4);
        sent_to(&n, RAFT_VOTE, 3);
        node_timeout(&n);
        cr_assert_eq(n.effects.message_count, 0, "once");
        node_receive(&n, message_vote(2, 5, 1, 1));
        node_receive(&n, message_append(3, 5, "12", 3, 2));
        node_timeout(&n);
        cr_assert_eq(n.effects.message_count, 0, "there is a leader");
        node_receive(&n, message_vote(2, 6, 2, 2));
        cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
        node_timeout(&n);
        cr_assert_eq(n.effects.message_count, 0, "that log is as good");
    }
}

/* A removed server is the only one that one who has not heard of that reaches. It does not pass on
 * the disruption to the others, whatever their options. */
Test(section_D_4_2_3, removed_server_does_not_disrupt_for_another) {
    for (unsigned i = 0; i < 4; i++) {
        static struct cluster c;
        struct raft_config config = {.pre_vote = i & 1, .check_quorum = i >> 1};
        cluster_start(&c, 4, (struct start){.voter_count = 4, .config = config});
        cluster_elect(&c, 1);
        c.cut = ids("4");
        cluster_change(&c, 1, "234", "");
        cluster_settle(&c);
        c.cut = 0;
        cluster_link(&c, 4, 2, false);
        cluster_link(&c, 4, 3, false);
        cluster_elect(&c, 2);
        raft_term term = c.nodes[2].raft.term;
        for (int k = 0; k < 10; k++) {
            cluster_run(&c, 4, 1);
            cluster_run(&c, 2, 1);
            cluster_run(&c, 1, 1);
        }
        cr_assert_eq(cluster_leader(&c), 2);
        cr_assert_eq(c.nodes[2].raft.term, term, "case %u", i);
    }
}

/* ---- D 4.2.2: servers that do not know each other ---- */

/* "A server accepts AppendEntries requests from a leader that is not part of the server's latest
 * configuration", else a new one could never be added; "and grants its vote to a candidate that is
 * not". */
Test(section_D_4_2_2, unknown_leaders_and_candidates_are_obeyed) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "1"});
    node_receive(&n, message_append(9, 2, "12", 2, 2));
    cr_assert(sent_alone(&n, RAFT_APPEND_REPLY, 9)->message.accepted);
    cr_assert_eq(n.raft.leader, 9);
    node_receive(&n, message_vote(8, 3, 2, 2));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 8)->message.accepted);
    cr_assert_eq(n.raft.vote, 8);
    node_receive(&n, message_prevote(7, 3, 2, 2));
    cr_assert(sent_alone(&n, RAFT_PREVOTE_REPLY, 7)->message.accepted);
}

/* A server that is a voter only by an entry that it has not got must vote all the same: with two
 * servers and a third that is being added, of which one is dead, nobody else can make the quorum.
 */
Test(section_D_4_2_2, server_votes_though_it_does_not_know_that_it_may) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.voter_count = 2});
    cluster_run(&c, 1, 2);
    c.cut = ids("3");
    cluster_change(&c, 1, "123", "");
    cluster_settle(&c);
    cr_assert_eq(c.nodes[2].raft.last, 2);
    cr_assert_eq(c.nodes[3].raft.last, 0);
    c.cut = ids("1");
    cluster_run(&c, 2, 2);
    cr_assert_eq(cluster_leader(&c), 2);
    cluster_run(&c, 2, 2);
    cluster_assert_converged(&c);
}

/* A server without members waits: it elects nobody, and does not compact, for whoever got that
 * snapshot would know nobody. */
Test(section_D_4_2_2, server_that_joins_waits) {
    static const struct raft_config configs[] = {{0}, {.pre_vote = true, .check_quorum = true}};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.config = configs[i], .joins = true});
        for (int k = 0; k < 3; k++) {
            node_timeout(&n);
            cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
            cr_assert_eq(n.effects.message_count, 0);
            cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        }
        struct raft_message m = message_append(2, 1, "11", 1, 2);
        m.commit = 2;
        node_receive(&n, m);
        node_save(&n);
        cr_assert_eq(n.raft.commit, 2);
        node_compact(&n, 2);
        assert_no_effects(&n);
        m = message_append(2, 1, "111", 3, 3);
        m.entries[0] = (struct raft_entry){.term = 1, .type = RAFT_MEMBERS};
        m.entries[0].members.voters = ids("12");
        node_receive(&n, m);
        node_compact(&n, 2);
        assert_no_effects(&n);
    }
}

/* ---- D 4.4: new servers ---- */

/* An empty server is added: by the log where it reaches back, else by a snapshot. */
Test(section_D_4_4, new_server_catches_up) {
    for (int compacts = 0; compacts <= 1; compacts++) {
        static struct cluster c;
        cluster_start(&c, 4, (struct start){.voter_count = 3, .config.chunk_max = 30});
        cluster_run(&c, 1, 1);
        for (uint64_t command = 1; command <= 6; command++) {
            cluster_propose(&c, 1, command);
            cluster_run(&c, 1, 1);
        }
        if (compacts) cluster_compact(&c, 1);
        cluster_change(&c, 1, "123", "4");
        cluster_settle(&c);
        cluster_run(&c, 1, 2);
        cluster_assert_converged(&c);
        cr_assert_eq(c.chunk_count, compacts ? 4 : 0);
        cluster_change(&c, 1, "1234", "");
        cr_assert_eq(c.refusal, RAFT_ACCEPTED);
        cluster_run(&c, 1, 2);
        cluster_assert_converged(&c);
        for (raft_id id = 1; id <= 4; id++)
            assert_members(&c.nodes[id].raft.members, "1234", "", "");
    }
}

/* A server that was removed comes back: what the leader knew of it is forgotten, for it may have
 * lost everything. */
Test(section_D_4_4, server_is_added_again) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    cluster_change(&c, 1, "12", "");
    cluster_settle(&c);
    cluster_propose(&c, 1, 77);
    cluster_settle(&c);
    cluster_change(&c, 1, "12", "3");
    cr_assert_eq(c.nodes[1].raft.peers[3].match, 0);
    cr_assert_eq(c.nodes[1].raft.peers[3].flow, RAFT_PROBE);
    cluster_run(&c, 1, 2);
    cluster_change(&c, 1, "123", "");
    cluster_run(&c, 1, 2);
    cluster_assert_converged(&c);
    assert_members(&c.nodes[3].raft.members, "123", "", "");
}
