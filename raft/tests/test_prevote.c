/* test_prevote.c - pre-vote (D 9.6), loyalty to a live leader (D 4.2.3) and the leader's own check
 * (D 6.2), rule by rule, and the deadlocks that others fell into.
 *
 *     D 9.6    the term is raised only after a majority would vote
 *              a server would vote for an up-to-date log, if it hears from no leader
 *              the answer changes nothing; it tells a higher term
 *     D 4.2.3  a server that hears from a leader neither votes nor changes its term
 *              a vote that the leader asked for is an exception
 *     D 6.2    a leader that hears from no quorum for an election timeout steps down */
#include <criterion/criterion.h>

#include "support.h"

static const struct raft_config guarded = {.pre_vote = true, .check_quorum = true};
static const struct raft_config asking = {.pre_vote = true};
static const struct raft_config checking = {.check_quorum = true};

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

/* ---- deadlocks ---- */

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
