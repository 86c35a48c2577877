/* test_deadlock.c - deadlocks that others fell into, and that pre-vote (D 9.6), the leader's check
 * (D 6.2) and changes (D 4) must not run into, or must resolve. */
#include <criterion/criterion.h>

#include "cluster.h"

static const struct raft_config guarded = {.pre_vote = true, .check_quorum = true};

/* The timers of these nodes run out, one after the other, until one leads: a few times at most. */
static raft_id elect_one_of(struct cluster *c, const char *nodes) {
    for (int i = 0; i < 4; i++) {
        for (const char *id = nodes; *id != '\0'; id++) {
            cluster_run(c, (raft_id)(*id - '0'), 1);
            raft_id leader = cluster_leader(c);
            if (leader != 0 && ids(nodes) >> leader & 1) return leader;
        }
    }
    return 0;
}

/* A server that was away comes back with a higher term: the leader cannot convince it, and it has
 * no vote from those who follow the leader. Its term must reach them all the same. */
Test(deadlocks, rejoining_node_with_a_higher_term) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config = guarded});
    cluster_elect(&c, 1);
    c.cut = ids("3");
    cluster_propose(&c, 1, 77);
    cluster_run(&c, 1, 1);
    cluster_replace(&c, 3, (struct start){.config = guarded, .term = 9});
    c.cut = 0;
    cluster_run(&c, 3, 1);
    cr_assert_eq(cluster_leader(&c), 1, "its log is too old");
    cluster_run(&c, 1, 1);
    raft_id leader = elect_one_of(&c, "123");
    cr_assert(leader == 1 || leader == 2);
    cr_assert_gt(c.nodes[leader].raft.term, 9);
    cluster_run(&c, leader, 2);
    cluster_assert_converged(&c);
}

/* Of three, one is dead, one ahead by its term, the other by its log: each would refuse the other.
 * All pairs of terms and logs. */
Test(deadlocks, one_ahead_by_term_the_other_by_log) {
    static const char *const logs[] = {"", "1", "11", "12", "113", "122", "14"};
    enum { LOGS = sizeof logs / sizeof logs[0] };
    for (unsigned i = 0; i < LOGS * LOGS * 4 * 4; i++) {
        static struct cluster c;
        cluster_start(&c, 3, (struct start){.config = guarded});
        c.cut = ids("3");
        struct start a = {.config = guarded, .term = 4 + i % 4, .log = logs[i / 16 % LOGS]};
        struct start b = {.config = guarded, .term = 4 + i / 4 % 4, .log = logs[i / 16 / LOGS]};
        cluster_replace(&c, 1, a);
        cluster_replace(&c, 2, b);
        raft_id leader = elect_one_of(&c, "12");
        cr_assert_neq(leader, 0, "case %u", i);
        cluster_run(&c, leader, 2);
        cluster_assert_converged(&c);
    }
}

/* Five servers: E is down, the leader D is linked to B alone, A, B and C are connected. Without its
 * check D would keep B loyal for ever, and A and C would be two of five (Howard, Cloudflare 2020).
 */
Test(deadlocks, partial_partition_that_lasts) {
    enum { A = 1, B, C, D, E };
    static struct cluster c;
    cluster_start(&c, 5, (struct start){.config = guarded});
    cluster_elect(&c, D);
    c.cut = ids("5");
    cluster_link(&c, D, A, false);
    cluster_link(&c, D, C, false);
    cluster_propose(&c, D, 77);
    raft_index commit = c.nodes[D].raft.commit;
    for (int i = 0; i < 6; i++) { /* As long as it leads, its heartbeats come first. */
        cluster_run(&c, D, 1);
        cluster_run(&c, A, i % 3 == 2);
        cluster_run(&c, C, i % 3 == 2);
    }
    cr_assert_neq(c.nodes[D].raft.role, RAFT_LEADER);
    raft_id leader = elect_one_of(&c, "123");
    cr_assert_neq(leader, 0);
    cluster_propose(&c, leader, 78);
    cluster_run(&c, leader, 2);
    cr_assert_gt(c.nodes[leader].raft.commit, commit);
    cluster_run(&c, D, 3);
    cluster_run(&c, leader, 1);
    cr_assert_eq(c.nodes[leader].raft.role, RAFT_LEADER, "D does not get it back");
}

/* The same without the leader's check is a hang, as raft.h says: with pre-vote alone nothing moves,
 * however often the timers of A and C run out. Without pre-vote, a higher term deposes D. */
Test(deadlocks, partial_partition_hangs_with_pre_vote_alone) {
    enum { A = 1, B, C, D, E };
    for (int pre_vote = 0; pre_vote <= 1; pre_vote++) {
        static struct cluster c;
        cluster_start(&c, 5, (struct start){.config.pre_vote = pre_vote});
        cluster_elect(&c, D);
        c.cut = ids("5");
        cluster_link(&c, D, A, false);
        cluster_link(&c, D, C, false);
        cluster_propose(&c, D, 77);
        raft_term term = c.nodes[D].raft.term;
        raft_index commit = c.nodes[D].raft.commit;
        for (int i = 0; i < 30; i++) {
            cluster_run(&c, D, 3);
            cluster_run(&c, A, 1);
            cluster_run(&c, C, 1);
        }
        cr_assert_eq(c.nodes[D].raft.role == RAFT_LEADER, pre_vote);
        cr_assert_eq(c.nodes[B].raft.term == term, pre_vote);
        if (pre_vote) cr_assert_eq(c.nodes[D].raft.commit, commit);
        if (pre_vote) continue;
        raft_id leader = elect_one_of(&c, "123");
        cr_assert_neq(leader, 0);
        cluster_run(&c, leader, 2);
        cr_assert_gt(c.nodes[leader].raft.commit, commit);
    }
}

/* The leader is cut off one way: what it sends arrives, what it is sent does not. It must not block
 * the others for ever (6, D 6.2). */
Test(deadlocks, leader_that_hears_nobody) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config = guarded});
    cluster_elect(&c, 1);
    c.lost[2] = c.lost[3] = ids("1");
    for (int i = 0; i < 6; i++) cluster_run(&c, 1, 1);
    cr_assert_neq(c.nodes[1].raft.role, RAFT_LEADER);
    raft_id leader = elect_one_of(&c, "23");
    cr_assert_neq(leader, 0);
    cluster_propose(&c, leader, 77);
    cluster_run(&c, leader, 2);
    cr_assert_eq(c.nodes[leader].raft.commit, c.nodes[leader].raft.last);
}

/* A learner stands in the way: A has appended its promotion and needs its vote, but the learner has
 * the no-op of B, which is gone. Nobody else can win, so it must lead for a moment. */
Test(deadlocks, learner_with_the_best_log) {
    enum { A = 1, B, C, LEARNER };
    for (int is_guarded = 0; is_guarded <= 1; is_guarded++) {
        static struct cluster c;
        struct start s = {.members = {ids("123"), 0, ids("4")}};
        if (is_guarded) s.config = guarded;
        cluster_start(&c, 4, s);
        struct start a = s, b = s, learner = s;
        a.term = 2, a.log = "1a", a.changes[0] = (struct raft_members){ids("1234"), 0, 0};
        b.term = 3, b.vote = B, b.log = "1";
        learner.term = 3, learner.log = "13";
        cluster_replace(&c, A, a);
        cluster_replace(&c, C, b);
        cluster_replace(&c, LEARNER, learner);
        c.cut = ids("2");
        cluster_run(&c, LEARNER, 2);
        cr_assert_eq(c.nodes[LEARNER].raft.term, 3, "nobody has asked it");
        for (int i = 0; i < 2; i++) {
            cluster_run(&c, C, 1);
            cluster_run(&c, A, 1);
        }
        cr_assert_eq(cluster_leader(&c), 0, "neither can win");
        cluster_run(&c, LEARNER, 1);
        cr_assert_eq(cluster_leader(&c), 0, "it has led until the others can");
        cr_assert_gt(c.nodes[LEARNER].raft.commit, 2);
        raft_id leader = elect_one_of(&c, "13");
        cr_assert_neq(leader, 0);
        cluster_run(&c, leader, 2);
        cluster_assert_converged(&c);
        assert_members(&c.nodes[A].raft.members, "123", "", "4");
    }
}
