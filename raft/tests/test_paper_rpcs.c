/* test_paper_rpcs.c - figure 2 of the paper, what is stored and what the receivers do, rule by
 * rule.
 *
 *     State         stored before it is used
 *     Receivers     1 reply false if the term is older (AppendEntries, RequestVote)
 *     AppendEntries 2 reply false if the previous entry is missing
 *                   3 delete a conflicting entry and all that follow it
 *                   4 append new entries
 *                   5 commit up to the last new entry
 *     RequestVote   2 vote once in a term, and for an up-to-date log
 *
 * The rules for servers are in test_paper_rules.c. What sections 5.1 to 5.4 say beyond the figure
 * is in test_election.c, test_replication.c and test_commit.c; 7 and figure 13 in test_snapshot.c
 * and test_chunk.c; 6 and D 4 in test_members.c, test_joining.c and test_joint.c; D 3.10 in
 * test_transfer.c; D 4.2.3 and D 6.2 in test_loyalty.c; D 9.6 in test_prevote.c; D 6.3 in
 * test_session.c; 8 and D 6.4 in test_read.c and test_lease.c; D 10.2.1 in test_flow.c. Each test
 * is named after its section. */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "support.h"

/* Term and vote are persistent (figure 2): a restart does not give a second vote. */
Test(figure_2, state_is_stored_before_it_is_used) {
    struct node n;
    node_start(&n, (struct start){0});
    node_receive(&n, message_vote(2, 4, 0, 0));
    cr_assert(n.effects.save_vote);
    node_start(&n, (struct start){.term = n.raft.term, .vote = n.raft.vote});
    node_receive(&n, message_vote(3, 4, 9, 4));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    cr_assert_eq(n.effects.write, 0);
    node_receive(&n, message_vote(2, 4, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, 0);
}

/* "If a server receives a request with a stale term number, it rejects the request" (5.1), and says
 * its own term; a stale reply is ignored. */
Test(figure_2, receivers_1_reply_false_if_the_term_is_older) {
    for (unsigned role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (uint8_t type = RAFT_VOTE; type <= RAFT_CHUNK_REPLY; type++) {
            struct node n;
            node_start_as(&n, (enum raft_role)role);
            raft_term term = n.raft.term;
            node_receive(&n, message_of(type, term - 1));
            cr_assert_eq(n.raft.role, role, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.term, term, "role %u, type %u", role, type);
            cr_assert_eq(n.effects.timer, RAFT_TIMER_KEEP, "role %u, type %u", role, type);
            if (type == RAFT_VOTE || type == RAFT_APPEND || type == RAFT_CHUNK) {
                enum raft_message_type reply = (enum raft_message_type)(type + 1);
                cr_assert_not(sent_alone(&n, reply, 2)->message.accepted);
            } else {
                assert_no_effects(&n);
            }
        }
    }
}

/* "If the follower does not find an entry in its log with the same index and term, then it refuses
 * the new entries" (5.3, the consistency check). */
Test(figure_2, append_entries_2_reply_false_if_the_previous_entry_is_missing) {
    static const struct {
        const char *log, *leader;
        raft_index from, to;
        bool accepted;
    } rows[] = {
        {"", "3", 1, 1, true},         {"", "33", 2, 2, false},      {"1", "13", 2, 2, true},
        {"1", "23", 2, 2, false},      {"1", "133", 3, 3, false},    {"112", "113", 3, 3, true},
        {"112", "1133", 4, 4, false},  {"112", "1133", 4, 3, false}, {"112", "112", 4, 3, true},
        {"112", "11233", 5, 4, false}, {"1", "3", 1, 1, true},       {"1123", "2", 2, 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 3, .log = rows[i].log});
        node_receive(&n, message_append(2, 3, rows[i].leader, rows[i].from, rows[i].to));
        const struct raft_message *m = &sent_alone(&n, RAFT_APPEND_REPLY, 2)->message;
        cr_assert_eq(m->accepted, rows[i].accepted, "row %zu", i);
        if (m->accepted) cr_assert_eq(m->index, rows[i].to, "row %zu", i);
        else assert_log(&n, rows[i].log);
        if (!m->accepted) cr_assert_eq(n.effects.write, 0, "row %zu", i);
    }
}

/* "If an existing entry conflicts with a new one ..., delete the existing entry and all that follow
 * it" (figure 2): that, and nothing before it. */
Test(figure_2, append_entries_3_delete_a_conflicting_entry_and_all_that_follow_it) {
    static const struct {
        const char *log, *leader;
        raft_index from, to;
        const char *result;
        raft_index save_from;
    } rows[] = {
        {"1222", "1333", 2, 2, "13", 2},    {"1222", "1333", 2, 4, "1333", 2},
        {"1222", "1223", 2, 4, "1223", 4},  {"1222", "12333", 2, 5, "12333", 3},
        {"12222", "1223", 4, 4, "1223", 4}, {"2", "1", 1, 1, "1", 1},
        {"122222", "113", 2, 2, "11", 2},   {"1113", "1122", 1, 3, "112", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 4, .log = rows[i].log});
        node_receive(&n, message_append(2, 4, rows[i].leader, rows[i].from, rows[i].to));
        assert_log(&n, rows[i].result);
        cr_assert_eq(n.effects.save_from, rows[i].save_from, "row %zu", i);
        cr_assert_lt(n.raft.saved, rows[i].save_from, "row %zu", i);
    }
}

/* Entries are stored as they were sent, and saved from the first new one on (5.3). */
Test(figure_2, append_entries_4_append_new_entries) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "112"});
    node_receive(&n, message_append(2, 2, "112222", 3, 6));
    assert_log(&n, "112222");
    for (raft_index i = 1; i <= 6; i++)
        cr_assert_eq(raft_entry_at(&n.raft, i)->command, command_at(i, i < 3 ? 1 : 2));
    cr_assert_neq(n.effects.write, 0);
    cr_assert_eq(n.effects.save_from, 4, "entry 3 was there already");
    cr_assert_not(n.effects.save_vote);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.index_term, 2);
}

/* "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)"
 * (figure 2): the last that this message has verified, not the last in the log. */
Test(figure_2, append_entries_5_commit_up_to_the_last_new_entry) {
    static const struct {
        raft_index from, to, leader_commit, commit;
    } rows[] = {
        {1, 4, 0, 0}, {1, 4, 3, 3}, {1, 4, 4, 4},   {1, 4, 9, 4}, {1, 2, 4, 2},
        {3, 2, 4, 2}, {3, 3, 9, 3}, {5, 4, 2, 2},   {5, 4, 9, 4}, {1, 0, 4, 0},
        {5, 6, 5, 5}, {5, 6, 9, 6}, {5, 6, ~0u, 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 2, .log = "1122"});
        struct raft_message m = message_append(2, 2, "112222", rows[i].from, rows[i].to);
        m.commit = rows[i].leader_commit;
        node_receive(&n, m);
        cr_assert_eq(n.raft.commit, rows[i].commit, "row %zu: %" PRIu64, i, n.raft.commit);
        cr_assert_eq(n.effects.apply_to, rows[i].commit, "row %zu", i);
        cr_assert_eq(n.effects.apply_from, rows[i].commit > 0 ? 1 : 0, "row %zu", i);
        cr_assert_eq(n.effects.answer_from, 0, "no client waits at a follower");
    }
}

/* "Each server will vote for at most one candidate in a given term, on a first-come-first-served
 * basis" (5.2); the same candidate may ask again. */
Test(figure_2, request_vote_2_vote_once_in_a_term) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_receive(&n, message_vote(3, 1, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    cr_assert(n.effects.save_vote);
    for (raft_id other = 2; other <= 5; other++) {
        node_receive(&n, message_vote(other, 1, 7, 1));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, other)->message.accepted, other == 3);
        cr_assert_eq(n.raft.vote, 3);
        cr_assert_eq(n.effects.write, 0, "nothing new to save");
    }
    node_receive(&n, message_vote(2, 2, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, "a new term, a new vote");
}

/* "If the logs have last entries with different terms, then the log with the later term is more
 * up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date"
 * (5.4.1). */
Test(figure_2, request_vote_2_vote_for_an_up_to_date_log) {
    static const struct {
        const char *log;
        raft_index last;
        raft_term last_term;
        bool granted;
    } rows[] = {
        {"", 0, 0, true},       {"", 1, 1, true},        {"1", 0, 0, false},   {"1", 1, 1, true},
        {"1", 2, 1, true},      {"11", 1, 1, false},     {"113", 3, 3, true},  {"113", 4, 3, true},
        {"113", 2, 3, false},   {"113", 3, 2, false},    {"113", 9, 2, false}, {"113", 1, 4, true},
        {"112222", 3, 3, true}, {"112222", 6, 1, false}, {"4", 9, 3, false},   {"4", 1, 5, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 5, .log = rows[i].log});
        node_receive(&n, message_vote(2, 6, rows[i].last, rows[i].last_term));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, rows[i].granted,
                     "row %zu: log \"%s\"", i, rows[i].log);
        cr_assert_eq(n.raft.vote, rows[i].granted ? 2 : 0, "row %zu", i);
        cr_assert_eq(n.raft.term, 6, "row %zu", i);
    }
}
