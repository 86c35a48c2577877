/* test_lease.c - leases (D 6.4.1): for some time after a round that a quorum has answered, a leader
 * serves reads without asking, since those who answered vote for nobody else so long. */
#include <criterion/criterion.h>

#include "support.h"

static const struct raft_config leasing = {.check_quorum = true, .lease_us = 100};

static void start_lease(struct node *n) { /* From now_us on. */
    node_lead(n, (struct start){.config = leasing});
    n->now_us = 1000;
    node_timeout(n);
    node_answer(n, 2, n->raft.round);
}

static void assert_lease(struct node *n, uint64_t now_us, bool lasts) {
    struct raft before = n->raft;
    n->now_us = now_us;
    node_read(n, 7);
    if (lasts) assert_served(n, 7, n->raft.commit);
    else cr_assert_eq(n->effects.read_count, 0);
    if (lasts) cr_assert(n->effects.reads[0].is_lease);
    n->raft = before;
}

/* A lease lasts `lease_us` from the start of the round, by the leader's own clock. */
Test(section_D_6_4_1, lease_lasts_as_long_as_it_is) {
    struct node n;
    start_lease(&n);
    for (uint64_t now_us = 1000; now_us < 1100; now_us += 11) assert_lease(&n, now_us, true);
    assert_lease(&n, 1099, true);
    for (uint64_t now_us = 1100; now_us < 1300; now_us += 11) assert_lease(&n, now_us, false);
    assert_lease(&n, UINT64_MAX, false);
}

/* It is counted from the start of the round: the answer comes later, and the loyalty of those who
 * answered may have begun earlier. A round that heartbeats repeat is as old as its first message.
 */
Test(section_D_6_4_1, lease_begins_with_the_round) {
    struct node n;
    start_lease(&n);
    n.now_us = 2000;
    node_timeout(&n);
    uint64_t round = n.raft.round;
    for (n.now_us = 2010; n.now_us <= 2050; n.now_us += 40) node_timeout(&n);
    cr_assert_eq(n.raft.round, round);
    n.now_us = 2070;
    node_answer(&n, 3, round);
    assert_lease(&n, 2099, true);
    assert_lease(&n, 2100, false);
}

/* Without a round there is no lease: votes alone do not give one, nor answers to earlier rounds. */
Test(section_D_6_4_1, lease_needs_a_round) {
    struct node n;
    node_start(&n, (struct start){.config = leasing});
    node_elect(&n);
    node_save(&n);
    struct raft_message m = message_accepted(2, 1, 1);
    node_receive(&n, m);
    cr_assert_eq(n.raft.commit, 1);
    assert_lease(&n, 1, false);
    node_answer(&n, 2, n.raft.round);
    assert_lease(&n, 1, true);
    n.now_us = 500;
    node_timeout(&n);
    node_answer(&n, 3, n.raft.round - 1);
    assert_lease(&n, 500, false);
}

/* Nor before the term has committed anything (step 1). */
Test(section_D_6_4_1, lease_needs_a_commit_of_the_term) {
    struct node n;
    node_start(&n, (struct start){.config = leasing, .term = 1, .log = "11"});
    node_elect(&n);
    struct raft_message m = message_accepted(2, 2, 2);
    m.tag = n.raft.round;
    node_receive(&n, m);
    cr_assert_eq(n.raft.round_done, n.raft.round);
    assert_lease(&n, 1, false);
}

/* A clock that goes back shows that it cannot be relied on: no lease, until it has caught up. */
Test(section_D_6_4_1, clock_that_goes_back_has_no_lease) {
    struct node n;
    start_lease(&n);
    assert_lease(&n, 999, false);
    assert_lease(&n, 0, false);
    assert_lease(&n, 1001, true);
}

/* "A leader's lease expires when it transfers leadership": from TimeoutNow on, also when the
 * transfer is given up, for the message may be late. In a later term there is a lease again. */
Test(section_D_6_4_1, transfer_ends_the_lease) {
    struct node n;
    start_lease(&n);
    node_propose(&n, 77);
    node_save(&n);
    node_transfer(&n, 2);
    assert_lease(&n, 1001, true);
    n.now_us = 1002;
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 1);
    assert_lease(&n, 1003, false);
    for (int i = 0; i < 5; i++) {
        node_timeout(&n);
        node_answer(&n, 2, n.raft.round);
        node_answer(&n, 3, n.raft.round);
    }
    cr_assert_eq(n.raft.transfer, 0);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    assert_lease(&n, 1004, false);
    node_read(&n, 8);
    node_answer(&n, 3, n.raft.round);
    assert_served(&n, 8, n.raft.commit);
    cr_assert_not(n.effects.reads[0].is_lease);
    node_receive(&n, message_append(3, 2, "1", 2, 1));
    node_elect(&n);
    node_agree(&n);
    node_timeout(&n);
    node_answer(&n, 2, n.raft.round);
    assert_lease(&n, 1004, true);
}

/* A new leader has a lease of its own, none of an earlier term. */
Test(section_D_6_4_1, lease_ends_with_the_term) {
    struct node n;
    start_lease(&n);
    node_receive(&n, message_append(3, 2, "1", 2, 1));
    node_elect(&n);
    node_save(&n);
    node_receive(&n, message_accepted(3, 3, n.raft.last));
    cr_assert_eq(n.raft.commit, n.raft.last);
    assert_lease(&n, 1001, false);
}

/* A follower's request is answered by the lease, too. */
Test(section_D_6_4_1, lease_answers_followers) {
    struct node n;
    start_lease(&n);
    struct raft_message request = {.type = RAFT_READ_REQUEST, .source = 3, .term = 1, .tag = 7};
    n.now_us = 1099;
    node_receive(&n, request);
    cr_assert(sent_alone(&n, RAFT_READ_REPLY, 3)->message.accepted);
    n.now_us = 1100;
    node_receive(&n, request);
    cr_assert_eq(sent_count(&n, RAFT_READ_REPLY, 3), 0);
}

/* Without the option there is none. */
Test(section_D_6_4_1, lease_is_an_option) {
    struct node n;
    node_lead(&n, (struct start){.config.check_quorum = true});
    node_read(&n, 7);
    cr_assert_eq(n.effects.read_count, 0);
}

/* A server that restarts may have promised its loyalty to a leader whose lease lasts: it votes for
 * nobody until its own timer has run out. Where nobody is loyal, it votes at once. */
Test(section_D_6_4_1, restarted_server_keeps_its_promise) {
    for (int has_leases = 0; has_leases <= 1; has_leases++) {
        struct node n;
        node_start(&n, (struct start){.config = has_leases ? leasing : (struct raft_config){0},
                                      .term = 1});
        node_receive(&n, message_append(2, 1, "1", 1, 1));
        node_save(&n);
        node_restart(&n);
        node_receive(&n, message_vote(3, 2, 9, 9));
        cr_assert_eq(n.raft.vote, has_leases ? 0 : 3);
        node_timeout(&n);
        node_receive(&n, message_vote(3, 9, 9, 9));
        cr_assert_eq(n.raft.vote, 3);
    }
}
