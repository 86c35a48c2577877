/* test_paper_rules.c - figure 2 of the paper, the rules for servers, one by one.
 *
 *     All servers   1 apply what is committed
 *                   2 a higher term makes a follower
 *     Followers     1 respond to candidates and leaders
 *                   2 wait for the leader or a vote, else become candidates
 *     Candidates    1 start an election: term, own vote, timer, requests
 *                   2 lead by the votes of a majority
 *                   3 follow the new leader
 *                   4 start again after a timeout
 *     Leaders       1 send heartbeats upon election, and repeat them
 *                   2 append a command, respond when it is applied
 *                   3 send entries from nextIndex on; success raises it, inconsistency lowers it
 *                   4 commit what a majority holds */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "cluster.h"

/* All servers: "if commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to
 * state machine": each entry once, in order, on the leader and on the follower. */
Test(figure_2, all_servers_1_apply_what_is_committed) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 1);
    for (raft_index index = 2; index < 2 + 2 * RAFT_LOG_MAX; index++) {
        cluster_propose(&c, 1, index);
        cluster_run(&c, 1, 1);
        if (index % 7 == 0) cluster_restart(&c, 3);
        for (raft_id id = 1; id <= 3; id++)
            if (index % 5 == id) cluster_compact(&c, id);
    }
    cluster_run(&c, 1, 2);
    cluster_assert_converged(&c);
    cr_assert_eq(c.applied[3], 1 + 2 * RAFT_LOG_MAX);
}

/* "If one server's current term is smaller than the other's, then it updates its current term to
 * the larger value. If a candidate or leader discovers that its term is out of date, it immediately
 * reverts to follower state" (5.1): in every role, whatever the message. */
Test(figure_2, all_servers_2_a_higher_term_makes_a_follower) {
    for (unsigned role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (uint8_t type = RAFT_VOTE; type <= RAFT_CHUNK_REPLY; type++) {
            struct node n;
            node_start_as(&n, (enum raft_role)role);
            node_receive(&n, message_of(type, 9));
            bool from_leader = type == RAFT_APPEND || type == RAFT_CHUNK;
            cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.term, 9, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.vote, 0, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.leader, from_leader ? 2 : 0, "role %u, type %u", role, type);
            cr_assert(n.effects.save_vote, "role %u, type %u", role, type);
            bool restarts = from_leader || role == RAFT_LEADER;
            cr_assert_eq(n.effects.timer, restarts ? RAFT_TIMER_ELECTION : RAFT_TIMER_KEEP,
                         "role %u, type %u", role, type);
        }
    }
}

/* Followers: "respond to RPCs from candidates and leaders", whether they agree or not. */
Test(figure_2, followers_1_respond_to_candidates_and_leaders) {
    const struct {
        struct raft_message message;
        enum raft_message_type reply;
    } rows[] = {
        {message_prevote(2, 4, 2, 4), RAFT_PREVOTE_REPLY},
        {message_prevote(2, 3, 0, 0), RAFT_PREVOTE_REPLY},
        {message_vote(2, 5, 2, 4), RAFT_VOTE_REPLY},
        {message_vote(2, 3, 2, 4), RAFT_VOTE_REPLY},
        {message_append(2, 4, "144", 3, 3), RAFT_APPEND_REPLY},
        {message_append(2, 4, "1444", 4, 4), RAFT_APPEND_REPLY},
        {message_append(2, 3, "13", 2, 2), RAFT_APPEND_REPLY},
        {message_snapshot(2, 4, 7, 4), RAFT_CHUNK_REPLY},
        {message_chunk(2, 4, 7, 4, 0, 1), RAFT_CHUNK_REPLY},
        {message_snapshot(2, 3, 7, 3), RAFT_CHUNK_REPLY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start_as(&n, RAFT_FOLLOWER);
        node_receive(&n, rows[i].message);
        sent_alone(&n, rows[i].reply, 2);
    }
}

/* "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
 * vote to candidate" (figure 2): nothing else restarts the timer. */
Test(figure_2, followers_2_wait_for_the_leader_or_a_vote) {
    const struct {
        struct raft_message message;
        enum raft_timer timer;
    } rows[] = {
        {message_append(2, 4, "4", 1, 0), RAFT_TIMER_ELECTION},
        {message_append(2, 4, "44", 3, 2), RAFT_TIMER_ELECTION}, /* Rejected, but the leader. */
        {message_append(2, 3, "3", 1, 1), RAFT_TIMER_KEEP},
        {message_snapshot(2, 4, 9, 4), RAFT_TIMER_ELECTION},
        {message_snapshot(2, 3, 9, 3), RAFT_TIMER_KEEP},
        {message_vote(2, 4, 1, 4), RAFT_TIMER_ELECTION},
        {message_vote(2, 5, 1, 4), RAFT_TIMER_ELECTION},
        {message_vote(2, 4, 0, 0), RAFT_TIMER_KEEP}, /* Refused: its log is too short. */
        {message_vote(2, 5, 0, 0), RAFT_TIMER_KEEP}, /* The same, in a new term. */
        {message_vote(2, 3, 9, 9), RAFT_TIMER_KEEP},
        {message_grant(2, 5), RAFT_TIMER_KEEP},
        {message_accepted(2, 5, 1), RAFT_TIMER_KEEP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 4, .log = "4"});
        node_receive(&n, rows[i].message);
        cr_assert_eq(n.effects.timer, rows[i].timer, "row %zu", i);
    }
}

/* Followers: "if election timeout elapses ... convert to candidate", whatever came before. */
Test(figure_2, followers_2_become_candidates_after_a_timeout) {
    struct node n;
    node_start_as(&n, RAFT_FOLLOWER);
    node_receive(&n, message_append(2, 4, "14", 3, 2));
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.raft.leader, 0);
}

/* "Increment currentTerm, vote for self, reset election timer, send RequestVote RPCs to all other
 * servers" (figure 2). */
Test(figure_2, candidates_1_start_an_election) {
    for (uint8_t count = 1; count <= RAFT_NODES_MAX; count++) {
        struct node n;
        node_start(&n, (struct start){.voter_count = count, .term = 4, .log = "1224"});
        node_timeout(&n);
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
        cr_assert_eq(n.raft.term, 5);
        cr_assert_eq(n.raft.vote, 1);
        cr_assert(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.effects.message_count, count - 1);
        for (raft_id peer = 2; peer <= count; peer++) {
            const struct raft_message *m = &sent_to(&n, RAFT_VOTE, peer)->message;
            cr_assert_eq(m->index, 4);
            cr_assert_eq(m->index_term, 4);
        }
    }
}

/* "A candidate wins an election if it receives votes from a majority of the servers in the full
 * cluster" (5.2): no vote earlier, for every size. */
Test(figure_2, candidates_2_lead_by_the_votes_of_a_majority) {
    for (uint8_t count = 2; count <= RAFT_NODES_MAX; count++) {
        struct node n;
        node_start(&n, (struct start){.voter_count = count});
        node_campaign(&n);
        for (raft_id peer = 2; peer <= count / 2; peer++) {
            node_receive(&n, message_grant(peer, 1));
            cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "%u of %u votes", peer, count);
        }
        node_receive(&n, message_grant(count, 1));
        cr_assert_eq(n.raft.role, RAFT_LEADER, "of %u", count);
        cr_assert_eq(n.raft.leader, 1);
    }
}

/* "If the leader's term ... is at least as large as the candidate's current term, then the
 * candidate recognizes the leader as legitimate and returns to follower state" (5.2). Its vote
 * stays. */
Test(figure_2, candidates_3_follow_the_new_leader) {
    struct raft_message messages[] = {message_append(3, 1, "", 1, 0), message_snapshot(3, 1, 1, 1)};
    for (int i = 0; i < 2; i++) {
        struct node n;
        node_start(&n, (struct start){0});
        node_campaign(&n);
        node_receive(&n, messages[i]);
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
        cr_assert_eq(n.raft.term, 1);
        cr_assert_eq(n.raft.leader, 3);
        cr_assert_eq(n.raft.vote, 1, "the vote of term 1 is cast");
        cr_assert_not(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        node_receive(&n, message_vote(2, 1, 9, 1));
        cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    }
}

/* "Each candidate will time out and start a new election by incrementing its term" (5.2): with no
 * votes left from the old one, and none that come late. */
Test(figure_2, candidates_4_start_again_after_a_timeout) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_campaign(&n);
    node_receive(&n, message_grant(2, 1));
    node_campaign(&n);
    cr_assert_eq(n.raft.term, 2);
    node_receive(&n, message_grant(3, 2));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "the vote of node 2 was for term 1");
    node_receive(&n, message_grant(4, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "the vote of node 4 is for term 1");
    assert_no_effects(&n);
    node_receive(&n, message_grant(4, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* "It then sends heartbeat messages to all of the other servers" (5.2). */
Test(figure_2, leaders_1_send_heartbeats_upon_election) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_elect(&n);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_HEARTBEAT);
    cr_assert_eq(n.effects.message_count, 4);
    for (raft_id peer = 2; peer <= 5; peer++) sent_to(&n, RAFT_APPEND, peer);
}

/* "Leaders send periodic heartbeats (AppendEntries RPCs that carry no log entries) to all
 * followers" (5.2), which also carry the commit index (5.3). */
Test(figure_2, leaders_1_repeat_heartbeats) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 5, .term = 1, .log = "11"});
    node_timeout(&n);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_HEARTBEAT);
    cr_assert_eq(n.effects.write, 0);
    cr_assert_eq(n.effects.message_count, 4);
    for (raft_id peer = 2; peer <= 5; peer++) {
        const struct raft_outgoing *o = sent_to(&n, RAFT_APPEND, peer);
        cr_assert_eq(o->after, 0);
        cr_assert_eq(o->message.entry_count, 0);
        cr_assert_eq(o->message.index, 3);
        cr_assert_eq(o->message.index_term, 2);
        cr_assert_eq(o->message.commit, 3);
    }
    cr_assert_eq(n.raft.term, 2, "a leader's timer starts no election");
}

/* "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in
 * parallel to each of the other servers" (5.3): before its own write is done. */
Test(figure_2, leaders_2_append_a_command) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_propose(&n, 77);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    assert_log(&n, "11");
    cr_assert_eq(n.effects.save_from, 2);
    cr_assert_eq(n.effects.message_count, 2);
    for (raft_id peer = 2; peer <= 3; peer++) {
        const struct raft_outgoing *o = sent_to(&n, RAFT_APPEND, peer);
        cr_assert_eq(o->after, 0);
        cr_assert_eq(o->message.index, 1);
        cr_assert_eq(o->message.entry_count, 1);
        cr_assert_eq(o->message.entries[0].term, 1);
        cr_assert_eq(o->message.entries[0].command, 77);
    }
}

/* Leaders: "respond after entry applied to state machine". */
Test(figure_2, leaders_2_respond_when_the_command_is_applied) {
    struct node n;
    node_start(&n, (struct start){0});
    node_elect(&n);
    node_agree(&n);
    node_propose(&n, 77);
    cr_assert_eq(n.effects.answer_from, 0);
    node_save(&n);
    cr_assert_eq(n.effects.answer_from, 0);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.effects.apply_to, 2);
    cr_assert_eq(n.effects.answer_from, 2);
}

/* "matchIndex: increases monotonically" (figure 2): all orders of four replies, each also double.
 */
Test(figure_2, leaders_3_match_index_only_rises) {
    for (unsigned order = 0; order < 4 * 4 * 4 * 4; order++) {
        struct node n;
        node_start(&n, (struct start){.term = 1, .log = "1111"});
        node_elect(&n);
        raft_index highest = 0;
        for (unsigned digits = order, i = 0; i < 4; i++, digits /= 4) {
            raft_index index = digits % 4 + 1;
            if (index > highest) highest = index;
            node_receive(&n, message_accepted(2, 2, index));
            cr_assert_eq(n.raft.peers[2].match, highest, "order %u", order);
            cr_assert_eq(n.raft.peers[2].next, 6, "order %u: an answer lowers nothing", order);
        }
    }
}

/* Leaders: "if last log index >= nextIndex for a follower: send AppendEntries RPC with log entries
 * starting at nextIndex". */
Test(figure_2, leaders_3_send_entries_from_next_index_on) {
    for (raft_index match = 0; match <= 4; match++) {
        struct node n;
        node_start(&n, (struct start){.term = 1, .log = "1111"});
        node_elect(&n);
        node_receive(&n, message_rejected(2, 2, 4, match, match > 0));
        if (match == 4) continue; /* No such rejection. */
        const struct raft_message *m = &sent_alone(&n, RAFT_APPEND, 2)->message;
        cr_assert_eq(m->index, match);
        cr_assert_eq(m->entry_count, 5 - match);
    }
}

/* Leaders: "if successful: update nextIndex and matchIndex for follower". */
Test(figure_2, leaders_3_success_raises_next_and_match) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "1111"});
    node_elect(&n);
    node_receive(&n, message_accepted(2, 2, 5));
    cr_assert_eq(n.raft.peers[2].match, 5);
    cr_assert_eq(n.raft.peers[2].next, 6);
    cr_assert_eq(n.effects.message_count, 0);
}

/* Leaders: "if AppendEntries fails because of log inconsistency: decrement nextIndex and retry",
 * down to where the logs meet, and never by a failure that has another cause. */
Test(figure_2, leaders_3_inconsistency_lowers_next_index) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "1111"});
    node_elect(&n);
    for (raft_index index = 4; index > 0; index--) {
        node_receive(&n, message_rejected(2, 2, index, index - 1, 1));
        const struct raft_message *m = &sent_alone(&n, RAFT_APPEND, 2)->message;
        cr_assert_eq(m->index, index - 1);
        cr_assert_eq(n.raft.peers[2].next, index);
        cr_assert_eq(n.raft.peers[2].match, 0);
    }
    node_receive(&n, message_rejected(2, 3, 0, 0, 0));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "its term is out of date");
}

/* "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
 * log[N].term == currentTerm: set commitIndex = N" (figure 2). The leader of term 3 among five, its
 * own entries durable; the order of the replies does not matter. */
Test(figure_2, leaders_4_commit_what_a_majority_holds) {
    static const struct {
        const char *log; /* Then comes the no-op of term 3, and a command if it is accepted. */
        raft_index match[4], commit;
    } rows[] = {
        {"12", {0, 0, 0, 0}, 0}, {"12", {4, 0, 0, 0}, 0}, {"12", {4, 4, 0, 0}, 4},
        {"12", {3, 4, 0, 0}, 3}, {"12", {2, 4, 0, 0}, 0}, {"12", {2, 2, 2, 2}, 0},
        {"12", {1, 2, 3, 4}, 3}, {"12", {3, 3, 3, 3}, 3}, {"12", {4, 4, 4, 4}, 4},
        {"", {1, 1, 0, 0}, 1},   {"", {2, 1, 1, 0}, 1},   {"", {2, 2, 1, 0}, 2},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        size_t row = i / 2;
        struct node n;
        node_start(&n, (struct start){.voter_count = 5, .term = 2, .log = rows[row].log});
        node_elect(&n);
        node_propose(&n, 77);
        node_save(&n);
        for (raft_id k = 0; k < 4; k++) {
            raft_id peer = i % 2 ? 5 - k : 2 + k;
            raft_index match = rows[row].match[peer - 2];
            node_receive(&n, message_accepted(peer, 3, match < n.raft.last ? match : n.raft.last));
        }
        raft_index commit = rows[row].commit < n.raft.last ? rows[row].commit : n.raft.last;
        cr_assert_eq(n.raft.commit, commit, "row %zu: %" PRIu64, row, n.raft.commit);
    }
}
