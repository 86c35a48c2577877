/* test_transfer.c - leadership transfer (D 3.10), step by step.
 *
 *     1 the leader stops accepting requests
 *     2 it brings the target's log up to its own
 *     3 it sends TimeoutNow, and the target campaigns at once
 *     or it gives up after an election timeout, and accepts requests again */
#include <criterion/criterion.h>

#include "cluster.h"

/* A leader of 1, 2 and 3 in term 1 that begins a transfer to node 2, with one entry that node 2 has
 * not confirmed. */
static void start_transfer(struct node *n) {
    node_lead(n, (struct start){0});
    node_propose(n, 77);
    node_save(n);
    node_transfer(n, 2);
    cr_assert_eq(n->effects.refusal, RAFT_ACCEPTED);
    cr_assert_eq(n->raft.transfer, 2);
}

/* "1. The prior leader stops accepting new client requests", changes and other transfers. Reads of
 * the log that it has go on. */
Test(section_D_3_10, step_1_requests_are_refused) {
    struct node n;
    start_transfer(&n);
    node_propose(&n, 78);
    cr_assert_eq(n.effects.refusal, RAFT_TRANSFERRING);
    node_open(&n);
    cr_assert_eq(n.effects.refusal, RAFT_TRANSFERRING);
    node_change(&n, ids("1234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_TRANSFERRING);
    for (raft_id target = 2; target <= 3; target++) {
        node_transfer(&n, target);
        cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    }
    cr_assert_eq(n.raft.last, 2);
    cr_assert_eq(n.raft.transfer, 2);
}

/* "2. The prior leader fully updates the target server's log to match its own": TimeoutNow comes
 * after the confirmation of the last entry, for what was sent may be lost. */
Test(section_D_3_10, step_2_target_catches_up_first) {
    struct node n;
    start_transfer(&n);
    cr_assert_eq(n.raft.peers[2].next, 3, "all is sent");
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0);
    node_timeout(&n);
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0);
    node_receive(&n, message_accepted(3, 1, 2));
    cr_assert_eq(n.effects.message_count, 0, "another one has it");
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(sent_alone(&n, RAFT_TIMEOUT_NOW, 2)->after, 0);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.effects.message_count, 0, "once between two heartbeats");
    node_timeout(&n);
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 1, "it may have been lost");
}

/* The target hears of it at once, also where its answer to an earlier message is awaited. */
Test(section_D_3_10, step_2_target_is_asked_at_once) {
    struct node n;
    node_start(&n, (struct start){0});
    node_elect(&n);
    node_propose(&n, 77);
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 2), 0, "a probe is under way");
    node_transfer(&n, 2);
    sent_alone(&n, RAFT_APPEND, 2);
}

/* A target that is far behind is brought up from where it is, by a snapshot if need be. */
Test(section_D_3_10, step_2_target_that_lags_gets_what_it_lacks) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config.chunk_max = 30});
    c.cut = ids("2");
    cluster_run(&c, 1, 1);
    for (uint64_t command = 1; command <= 20; command++) {
        cluster_propose(&c, 1, command);
        cluster_run(&c, 1, 1);
        if (command % 5 == 0) cluster_compact(&c, 1);
        if (command % 5 == 0) cluster_compact(&c, 3);
    }
    c.cut = 0;
    cluster_transfer(&c, 1, 2);
    cluster_run(&c, 1, 1);
    cr_assert_eq(cluster_leader(&c), 2);
    cr_assert_gt(c.nodes[2].raft.snapshot.index, 0);
    cluster_run(&c, 2, 2);
    cluster_assert_converged(&c);
}

/* "3. TimeoutNow ... has the same effect as the target server's election timer firing: it starts a
 * new election": without a pre-vote, and with a flag that lets the loyal vote. */
Test(section_D_3_10, step_3_target_campaigns_at_once) {
    static const struct raft_config configs[] = {
        {.pre_vote = false}, {.pre_vote = true}, {.pre_vote = true, .check_quorum = true}};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.config = configs[i], .term = 4, .log = "14"});
        node_receive(&n, message_append(2, 4, "14", 3, 2));
        node_receive(&n, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 4});
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
        cr_assert_eq(n.raft.term, 5);
        cr_assert(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        for (raft_id peer = 2; peer <= 3; peer++) {
            const struct raft_outgoing *o = sent_to(&n, RAFT_VOTE, peer);
            cr_assert(o->message.transfer);
            cr_assert_eq(o->after, n.effects.write);
            cr_assert_eq(o->message.index, 2);
        }
        node_timeout(&n);
        for (raft_id peer = 2; peer <= 3; peer++)
            cr_assert_not(n.effects.messages[peer - 2].message.transfer, "the next is its own");
    }
}

/* A TimeoutNow of another term is old, or not for this term's leader to say; one to a candidate, to
 * a leader, to a server that has no vote, or whose log is full, comes to nothing. */
Test(section_D_3_10, step_3_other_wishes_are_ignored) {
    struct raft_message wish = {.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 4};
    struct node n;
    for (raft_term term = 1; term <= 6; term++) {
        if (term == 4) continue;
        node_start_as(&n, RAFT_FOLLOWER);
        wish.term = term;
        node_receive(&n, wish);
        assert_no_effects(&n);
    }
    for (unsigned role = RAFT_CANDIDATE; role <= RAFT_LEADER; role++) {
        node_start_as(&n, (enum raft_role)role);
        wish.term = n.raft.term;
        node_receive(&n, wish);
        assert_no_effects(&n);
        cr_assert_eq(n.raft.role, role);
    }
    wish.term = 4;
    struct raft_members learner = {ids("23"), 0, ids("1")};
    node_start(&n, (struct start){.term = 4, .members = learner});
    node_receive(&n, wish);
    assert_no_effects(&n);
    char log[RAFT_LOG_MAX + 1];
    node_start(&n, (struct start){.term = 4, .log = log_repeat(log, '1', RAFT_LOG_MAX)});
    node_receive(&n, wish);
    assert_no_effects(&n);
}

/* A pre-candidate obeys, too. */
Test(section_D_3_10, step_3_pre_candidate_campaigns) {
    struct node n;
    node_start_as(&n, RAFT_PRECANDIDATE);
    node_receive(&n, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 4});
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.raft.term, 5);
}

/* The whole of it, with all that keeps others from being elected: the target leads, and nothing is
 * lost. */
Test(section_D_3_10, transfer_succeeds) {
    static struct cluster c;
    struct raft_config config = {.pre_vote = true, .check_quorum = true, .lease_us = 100};
    cluster_start(&c, 5, (struct start){.config = config});
    cluster_elect(&c, 1);
    raft_id old = 1;
    for (raft_id target = 1; target <= 5; target++) {
        if (target == old) continue;
        raft_term term = c.nodes[old].raft.term;
        cluster_propose(&c, old, target);
        cluster_transfer(&c, old, target);
        cr_assert_eq(c.refusal, RAFT_ACCEPTED);
        cluster_settle(&c);
        cr_assert_eq(cluster_leader(&c), target);
        cr_assert_eq(c.nodes[target].raft.term, term + 1);
        cr_assert_eq(c.nodes[old].raft.role, RAFT_FOLLOWER);
        cr_assert_eq(c.nodes[old].raft.transfer, 0);
        cluster_run(&c, target, 2);
        cluster_assert_converged(&c);
        old = target;
    }
}

/* "If leadership transfer does not complete after about an election timeout, the prior leader
 * aborts the transfer and resumes accepting client requests": `patience` heartbeats. */
Test(section_D_3_10, transfer_is_given_up_after_an_election_timeout) {
    for (uint8_t patience = 1; patience <= 5; patience++) {
        for (int is_caught_up = 0; is_caught_up <= 1; is_caught_up++) {
            struct node n;
            node_lead(&n, (struct start){.config.patience = patience});
            node_propose(&n, 77);
            node_transfer(&n, 2);
            if (is_caught_up) node_receive(&n, message_accepted(2, 1, 2));
            for (uint8_t i = 1; i < patience; i++) {
                node_timeout(&n);
                node_propose(&n, 78);
                cr_assert_eq(n.effects.refusal, RAFT_TRANSFERRING);
            }
            node_timeout(&n);
            cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0);
            node_save(&n);
            node_receive(&n, message_accepted(3, 1, 2));
            node_propose(&n, 78);
            cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
            node_receive(&n, message_accepted(2, 1, 3));
            cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0);
            node_transfer(&n, 3);
            cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED, "another one may be tried");
            for (uint8_t i = 1; i < patience; i++) node_timeout(&n);
            cr_assert_eq(n.raft.transfer, 3, "its time is its own");
        }
    }
}

/* Who is to lead must be a voter, and another one; and only a leader can hand over. */
Test(section_D_3_10, only_another_voter_can_lead) {
    struct raft_members members = {ids("123"), ids("145"), ids("6")};
    static const raft_id targets[] = {0, 1, 4, 5, 6, 7, 63, 64, 255};
    struct node n;
    node_lead(&n, (struct start){.members = members});
    cr_assert_eq(n.raft.members.outgoing, 0, "a committed joint configuration is left");
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        node_transfer(&n, targets[i]);
        cr_assert_eq(n.effects.refusal, RAFT_NOT_VALID, "target %u", targets[i]);
        cr_assert_eq(n.raft.transfer, 0);
    }
    node_start(&n, (struct start){.term = 1});
    node_receive(&n, message_append(3, 1, "", 1, 0));
    node_transfer(&n, 2);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_LEADER);
    cr_assert_eq(n.effects.leader, 3);
}

/* While a change is under way the target is one that stays: then the change may end meanwhile, and
 * does not disturb the transfer (D 3.10, D 4.3). */
Test(section_D_3_10, target_is_a_voter_that_stays) {
    struct node n;
    node_lead(&n, (struct start){.members.voters = ids("12345")});
    node_change(&n, ids("123"), ids("4"));
    for (raft_id target = 4; target <= 5; target++) {
        node_transfer(&n, target);
        cr_assert_eq(n.effects.refusal, RAFT_NOT_VALID, "it is about to go");
    }
    node_transfer(&n, 2);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    node_save(&n);
    for (raft_id peer = 3; peer <= 5; peer++) node_receive(&n, message_accepted(peer, 1, 2));
    assert_members(&n.raft.members, "123", "", "4");
    cr_assert_eq(n.raft.last, 3, "a joint configuration is left");
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0, "it lacks the last entry");
    node_receive(&n, message_accepted(2, 1, 3));
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 1);
}

/* A leader that steps down for another reason has nothing to transfer any more, and refuses nothing
 * when it leads again; another transfer then begins as the first one did. */
Test(section_D_3_10, stepping_down_ends_it) {
    struct node n;
    start_transfer(&n);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 1);
    node_receive(&n, message_append(3, 2, "11", 3, 2));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.transfer, 0);
    node_elect(&n);
    node_agree(&n);
    node_propose(&n, 78);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    node_receive(&n, message_accepted(2, 3, 4));
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 0);
    node_transfer(&n, 2);
    cr_assert_eq(sent_count(&n, RAFT_TIMEOUT_NOW, 2), 1);
}
