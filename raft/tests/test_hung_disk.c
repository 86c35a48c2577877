/* test_hung_disk.c - a leader whose disk hangs gives up its office (D 6.2), since its messages,
 * which do not wait for the disk, would keep all others loyal to a node that can do nothing. */
#include <criterion/criterion.h>

#include "cluster.h"

enum { PATIENCE = 3 };
static const struct raft_config checking = {.check_quorum = true, .patience = PATIENCE};

/* Between two looks at the quorum, of which the first may come at any heartbeat. */
static void elapse(struct node *n) {
    for (int i = 0; i < PATIENCE && n->raft.role == RAFT_LEADER; i++) {
        if (n->raft.config.check_quorum) node_answer(n, 2, n->raft.round);
        node_timeout(n);
    }
}

/* A leader of three, of which node 2 answers, with one write pending at the first look. */
static void start_hung(struct node *n, struct raft_config config) {
    node_lead(n, (struct start){.config = config});
    node_propose(n, 77);
    elapse(n);
    cr_assert_eq(n->raft.role, RAFT_LEADER, "the write may have begun just before");
    cr_assert_eq(n->raft.written, n->raft.durable + 1);
}

/* "A leader in Raft steps down if an election timeout elapses without a successful round of
 * heartbeats to a majority": so does one for which nothing became durable in an election timeout.
 * It steps down in its own term, sends nothing, and takes part in the next election. */
Test(section_D_6_2, leader_with_a_hung_disk_steps_down) {
    struct node n;
    start_hung(&n, checking);
    elapse(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.term, 1);
    cr_assert_eq(n.raft.leader, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
    cr_assert_eq(n.effects.message_count, 0);
    node_receive(&n, message_vote(3, 2, 2, 1));
    const struct raft_outgoing *vote = sent_alone(&n, RAFT_VOTE_REPLY, 3);
    cr_assert(vote->message.accepted);
    cr_assert_eq(vote->after, n.raft.written, "it is not promised before it is durable");
}

/* Newer writes, and commands that the others commit, do not count: the disk completes nothing. */
Test(section_D_6_2, pending_writes_do_not_keep_the_leader) {
    struct node n;
    start_hung(&n, checking);
    for (int i = 0; i < PATIENCE && n.raft.role == RAFT_LEADER; i++) {
        node_propose(&n, 78);
        struct raft_message m = message_accepted(2, 1, n.raft.last);
        node_receive(&n, m);
        m.source = 3;
        node_receive(&n, m);
        cr_assert_eq(n.raft.commit, n.raft.last);
        node_timeout(&n);
    }
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
}

/* Without the option it leads on: nobody would be loyal to it, and the option says so. */
Test(section_D_6_2, leader_with_a_hung_disk_stays_without_the_check) {
    struct node n;
    struct raft_config config = {.patience = PATIENCE};
    start_hung(&n, config);
    for (int i = 0; i < 10; i++) elapse(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* A slow disk completes one write an election timeout, and more are always pending. */
Test(section_D_6_2, leader_with_a_slow_disk_stays) {
    struct node n;
    start_hung(&n, checking);
    node_propose(&n, 78);
    node_receive(&n, message_accepted(2, 1, n.raft.last));
    for (int i = 0; i < 8; i++) {
        node_saved(&n, n.raft.durable + 1);
        node_propose(&n, 79);
        node_receive(&n, message_accepted(2, 1, n.raft.last));
        cr_assert_eq(n.raft.written, n.raft.durable + 2);
        elapse(&n);
        cr_assert_eq(n.raft.role, RAFT_LEADER, "timeout %d", i);
    }
}

/* A disk that has nothing to write does not hang. */
Test(section_D_6_2, leader_without_a_pending_write_stays) {
    struct node n;
    start_hung(&n, checking);
    node_save(&n);
    for (int i = 0; i < 10; i++) elapse(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    node_propose(&n, 78);
    elapse(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER, "an election timeout has not elapsed yet");
    elapse(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
}

/* Neither a timeout nor the wish of a new leader makes it a candidate, with pre-vote or without, as
 * long as the write that hung is pending; then both do. A restart forgets what was pending. */
Test(hung_disk, node_does_not_campaign_before_a_write_is_durable) {
    for (int i = 0; i < 8; i++) {
        bool is_transfer = i & 1, is_restart = i & 4;
        struct raft_config config = checking;
        config.pre_vote = i & 2;
        struct node n;
        start_hung(&n, config);
        elapse(&n);
        for (int k = 0; k < 3; k++) {
            node_timeout(&n);
            cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
            cr_assert_eq(n.effects.message_count, 0);
            cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        }
        struct raft_message wish = {.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 2};
        node_receive(&n, message_append(2, 2, "11", 3, 2));
        cr_assert_eq(n.raft.term, 2);
        node_receive(&n, wish);
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
        if (is_restart) node_restart(&n);
        else node_saved(&n, n.raft.durable + 1);
        if (is_transfer) node_receive(&n, wish);
        else node_timeout(&n);
        cr_assert_neq(n.raft.role, RAFT_FOLLOWER);
    }
}

/* ---- the outage ---- */

static bool propose(struct cluster *c, raft_id id) {
    cluster_propose(c, id, 77);
    bool is_accepted = c->refusal == RAFT_ACCEPTED;
    cluster_settle(c);
    return is_accepted;
}

/* An election timeout: the leader's heartbeats; without a leader, the timers of all, one after the
 * other, until one leads. */
static void pass_timeout(struct cluster *c) {
    raft_id leader = cluster_leader(c);
    if (leader != 0) cluster_run(c, leader, PATIENCE);
    for (raft_id id = 1; id <= c->node_count && cluster_leader(c) == 0; id++) cluster_run(c, id, 1);
}

/* Clients of the newest leader, so many commands, of which so many are accepted. All nodes compact
 * their logs as often as they can. */
static unsigned serve(struct cluster *c, unsigned count) {
    unsigned accepted = 0;
    for (unsigned i = 0; i < count; i++) {
        raft_id leader = cluster_leader(c);
        accepted += leader != 0 && propose(c, leader);
        for (raft_id id = 1; id <= c->node_count; id++) cluster_compact(c, id);
        if (i % 4 == 3) pass_timeout(c);
    }
    return accepted;
}

/* The leader's disk hangs while commands come, as many as would fill four logs. The followers
 * commit them, the leader cannot compact its log: it was full for ever. Now another node leads, and
 * clients are served; the first one catches up when its disk is back, and may be elected again. */
Test(hung_disk, cluster_outlives_the_disk_of_its_leader) {
    for (raft_id count = 3; count <= 5; count++) {
        static struct cluster c;
        struct raft_config config = {.check_quorum = true, .pre_vote = true, .patience = PATIENCE};
        cluster_start(&c, count, (struct start){.config = config});
        cluster_elect(&c, 1);
        c.hung = ids("1");
        serve(&c, 4 * RAFT_LOG_MAX);
        cr_assert_eq(serve(&c, RAFT_LOG_MAX), RAFT_LOG_MAX, "every command is accepted");
        cr_assert_neq(cluster_leader(&c), 1);
        raft_index commit = c.nodes[cluster_leader(&c)].raft.commit;
        cr_assert_gt(commit, 4 * RAFT_LOG_MAX);
        c.hung = 0;
        serve(&c, RAFT_LOG_MAX);
        cluster_run(&c, cluster_leader(&c), 2 * PATIENCE);
        cluster_assert_converged(&c);
        cluster_elect(&c, 1);
    }
}
