/* test_joint.c - changes of several servers at once through a joint configuration (6, D 4.3).
 *
 *     6   entries are replicated to all servers in both configurations
 *         any server from either may serve as leader
 *         agreement, for elections and commitment, needs a majority of each
 *         once C_old,new is committed, the leader - any leader - appends C_new
 *         a leader that is not in C_new steps down when that is committed */
#include <criterion/criterion.h>

#include "cluster.h"

static const struct raft_members joint = {.voters = 0x32, .outgoing = 0x0e}; /* 145 and 123 */

static void change_jointly(struct node *n, raft_set voters, raft_set learners) {
    struct raft_event event = {.type = RAFT_CHANGE, .u.change = {voters, learners, true}};
    node_step(n, &event);
}

/* A leader of 1, 2 and 3 that has appended the way to 1, 4 and 5, at index 2. */
static void start_joint(struct node *n) {
    node_lead(n, (struct start){0});
    node_change(n, ids("145"), 0);
    cr_assert_eq(n->effects.refusal, RAFT_ACCEPTED);
    assert_members(&n->raft.members, "145", "123", "");
    node_save(n);
}

/* "Log entries are replicated to all servers in both configurations." */
Test(section_6, entries_go_to_both_configurations) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_change(&n, ids("145"), ids("6"));
    cr_assert_eq(n.effects.message_count, 5);
    for (raft_id peer = 2; peer <= 6; peer++) sent_to(&n, RAFT_APPEND, peer);
}

/* Commitment needs both majorities: every set of answers. */
Test(section_6, commitment_needs_both_majorities) {
    for (raft_set answers = 0; answers < 64; answers += 4) {
        struct node n;
        start_joint(&n);
        for (raft_id peer = 2; peer <= 5; peer++)
            if (answers >> peer & 1) node_receive(&n, message_accepted(peer, 1, 2));
        bool old = answers & ids("23"), new = answers &ids("45");
        cr_assert_eq(n.raft.commit, old && new ? 2 : 1, "answers %u", (unsigned)answers);
    }
}

/* So do elections, of any server from either configuration. */
Test(section_6, election_needs_both_majorities) {
    for (raft_id self = 1; self <= 5; self++) {
        for (raft_set votes = 0; votes < 64; votes += 2) {
            struct node n;
            struct raft_config config = {.self = self};
            if (votes >> self & 1) continue;
            node_start(
                &n, (struct start){.config = config, .term = 1, .log = "1a", .changes = {joint}});
            node_campaign(&n);
            for (raft_id peer = 1; peer <= 5; peer++)
                if (votes >> peer & 1) node_receive(&n, message_grant(peer, 2));
            raft_set all = votes | (raft_set)1 << self;
            bool wins = __builtin_popcountll(all & joint.voters) >= 2 &&
                        __builtin_popcountll(all & joint.outgoing) >= 2;
            cr_assert_eq(n.raft.role == RAFT_LEADER, wins, "%u by %u", self, (unsigned)votes);
        }
    }
}

/* "Once C_old,new has been committed ... it is safe for the leader to create a log entry describing
 * C_new": at once, without being asked, and before that not. Meanwhile no other change. */
Test(section_6, committed_joint_configuration_is_left) {
    struct node n;
    start_joint(&n);
    node_timeout(&n);
    assert_log(&n, "1a");
    node_receive(&n, message_accepted(2, 1, 2));
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    node_receive(&n, message_accepted(4, 1, 2));
    assert_log(&n, "1aa");
    assert_members(&n.raft.members, "145", "", "");
    cr_assert_eq(sent_alone(&n, RAFT_APPEND, 4)->message.entries[0].term, 1, "5 has not answered");
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    node_save(&n);
    cr_assert_eq(n.raft.commit, 2);
    node_receive(&n, message_accepted(2, 1, 3));
    cr_assert_eq(n.raft.commit, 2, "it has no say any more");
    node_receive(&n, message_accepted(5, 1, 3));
    cr_assert_eq(n.raft.commit, 3);
    node_timeout(&n);
    assert_log(&n, "1aa");
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
}

/* Also where one server differs, if so wished; and where only learners do. */
Test(section_D_4_3, joint_configuration_may_be_wished) {
    struct node n;
    node_lead(&n, (struct start){0});
    change_jointly(&n, ids("1234"), 0);
    assert_members(&n.raft.members, "1234", "123", "");
    node_agree(&n);
    assert_members(&n.raft.members, "1234", "", "");
    change_jointly(&n, ids("1234"), ids("5"));
    assert_members(&n.raft.members, "1234", "1234", "5");
    node_agree(&n);
    assert_members(&n.raft.members, "1234", "", "5");
    change_jointly(&n, ids("1234"), ids("5"));
    cr_assert_eq(n.effects.refusal, RAFT_NOT_VALID, "nothing to change");
}

/* Voters that become learners count until it is left: they are in the old half (D 4.3). */
Test(section_D_4_3, outgoing_voter_may_become_a_learner) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 5});
    node_change(&n, ids("123"), ids("45"));
    assert_members(&n.raft.members, "123", "12345", "45");
    node_save(&n);
    node_receive(&n, message_accepted(4, 1, 2));
    node_receive(&n, message_accepted(5, 1, 2));
    cr_assert_eq(n.raft.commit, 1, "three of the old, one of the new");
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.raft.commit, 2);
    assert_members(&n.raft.members, "123", "", "45");
}

/* A new leader ends what an old one has begun: when it has committed an entry of its own term,
 * which commits the joint configuration. */
Test(section_6, new_leader_leaves_it) {
    static struct cluster c;
    cluster_start(&c, 5, (struct start){.voter_count = 3});
    cluster_run(&c, 1, 2);
    c.cut = ids("45");
    cluster_change(&c, 1, "145", "");
    cluster_settle(&c);
    cr_assert_eq(c.nodes[1].raft.commit, 1, "no majority of the new ones");
    cr_assert_eq(c.nodes[2].raft.members.outgoing, ids("123"));
    c.cut = ids("1");
    cluster_run(&c, 2, 1);
    cr_assert_eq(c.nodes[4].raft.vote, 2, "though it knows nobody");
    for (raft_id id = 4; id <= 5; id++) assert_members(&c.nodes[id].raft.members, "145", "", "");
    cr_assert_eq(c.nodes[2].raft.commit, 4, "after the no-op comes the end of the change");
    cr_assert_eq(c.nodes[2].raft.role, RAFT_FOLLOWER, "it is not one of them");
    cluster_run(&c, 4, 3);
    cr_assert_eq(cluster_leader(&c), 4);
    c.cut = ids("23");
    cluster_run(&c, 4, 3);
    cluster_assert_converged(&c);
}

/* But not before it has: that the joint configuration is committed, it knows from the old leader.
 */
Test(section_6, new_leader_leaves_it_when_it_has_committed) {
    struct node n;
    struct raft_message m = message_append(2, 1, "1a", 3, 2);
    m.commit = 2;
    node_start(&n, (struct start){.term = 1, .log = "1a", .changes = {joint}});
    node_receive(&n, m);
    cr_assert_eq(n.raft.commit, 2);
    node_campaign(&n);
    for (raft_id peer = 2; peer <= 4; peer++) node_receive(&n, message_grant(peer, 2));
    node_save(&n);
    node_timeout(&n);
    assert_log(&n, "1a2");
    node_receive(&n, message_accepted(2, 2, 3));
    node_receive(&n, message_accepted(4, 2, 3));
    assert_log(&n, "1a2b");
}

/* A joint configuration that only a minority has goes with its leader. */
Test(section_6, uncommitted_joint_configuration_is_undone) {
    static struct cluster c;
    cluster_start(&c, 5, (struct start){.voter_count = 3});
    cluster_run(&c, 1, 2);
    c.cut = ids("1");
    cluster_change(&c, 1, "145", "");
    cluster_run(&c, 2, 1);
    cr_assert_eq(c.nodes[2].raft.role, RAFT_LEADER);
    cr_assert_eq(c.nodes[1].raft.role, RAFT_LEADER, "it does not know");
    cr_assert_neq(c.nodes[1].raft.members.outgoing, 0);
    c.cut = ids("45");
    cluster_run(&c, 2, 2);
    cluster_assert_converged(&c);
    for (raft_id id = 1; id <= 3; id++) assert_members(&c.nodes[id].raft.members, "123", "", "");
}

/* All servers are replaced at once. The old leader brings the new ones up, leads them until they
 * have C_new, and goes; the state is the same. */
Test(section_6, whole_cluster_is_replaced) {
    static struct cluster c;
    cluster_start(&c, 6, (struct start){.voter_count = 3, .config.chunk_max = 30});
    cluster_run(&c, 1, 1);
    for (uint64_t command = 1; command <= 6; command++) {
        cluster_propose(&c, 1, command);
        cluster_run(&c, 1, 1);
    }
    cluster_compact(&c, 1);
    uint64_t state = c.states[1];
    cluster_change(&c, 1, "456", "");
    cr_assert_eq(c.refusal, RAFT_ACCEPTED);
    cluster_run(&c, 1, 2);
    cr_assert_eq(cluster_leader(&c), 0);
    c.cut = ids("123");
    cluster_run(&c, 5, 3);
    cr_assert_eq(cluster_leader(&c), 5);
    cluster_assert_converged(&c);
    cr_assert_eq(c.states[5], state);
    assert_members(&c.nodes[5].raft.members, "456", "", "");
}

/* The log may be full when the joint configuration is committed: it is left when there is room. */
Test(section_D_4_3, full_log_leaves_it_later) {
    char log[RAFT_LOG_MAX + 1];
    struct node n;
    struct raft_members change = {ids("145"), ids("123"), 0};
    log_repeat(log, '1', RAFT_LOG_MAX - 1);
    log[RAFT_LOG_MAX - 3] = 'a';
    node_start(&n, (struct start){.term = 1, .log = log, .changes = {change}});
    node_elect(&n);
    node_agree(&n);
    cr_assert_eq(n.raft.commit, RAFT_LOG_MAX);
    assert_members(&n.raft.members, "145", "123", "");
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    node_compact(&n, 4);
    assert_members(&n.raft.members, "145", "", "");
    cr_assert_eq(n.raft.last, RAFT_LOG_MAX + 1);
}

/* A joint configuration travels in a snapshot, and is left by whoever leads then (7). */
Test(section_7, snapshot_may_hold_a_joint_configuration) {
    struct node n;
    struct raft_message m = message_snapshot(2, 1, 9, 1);
    m.chunk.snapshot.members = joint;
    node_start(&n, (struct start){.term = 1});
    node_receive(&n, m);
    node_save(&n);
    assert_members(&n.raft.members, "145", "123", "");
    node_campaign(&n);
    node_receive(&n, message_grant(4, 2));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "one majority");
    node_receive(&n, message_grant(2, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_save(&n);
    node_receive(&n, message_accepted(2, 2, 10));
    cr_assert_eq(n.raft.commit, 9);
    node_receive(&n, message_accepted(5, 2, 10));
    cr_assert_eq(n.raft.commit, 10);
    assert_members(&n.raft.members, "145", "", "");
}
