/* test_commit.c - commitment (5.4.2, 8): which copies count, what is committed, applied and
 * answered, and which commands are refused. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "support.h"

/* The own copy counts when it is durable, not before; others can do without it (5.3). */
Test(section_5_3, own_entry_counts_once_it_is_saved) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_elect(&n);
    node_receive(&n, message_accepted(2, 1, 1));
    node_receive(&n, message_accepted(3, 1, 1));
    cr_assert_eq(n.raft.commit, 0);
    node_save(&n);
    cr_assert_eq(n.raft.commit, 1);
    cr_assert_eq(n.effects.apply_from, 1);
    cr_assert_eq(n.effects.apply_to, 1);
    node_propose(&n, 77);
    for (raft_id peer = 2; peer <= 4; peer++) node_receive(&n, message_accepted(peer, 1, 2));
    cr_assert_eq(n.raft.commit, 2, "three peers are a majority of five");
    cr_assert_eq(n.raft.saved, 1);
}

/* A cluster of one commits when its own write is done (5.3). */
Test(section_5_3, single_server_commits_what_it_has_saved) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 1});
    node_elect(&n);
    node_propose(&n, 77);
    cr_assert_eq(n.raft.commit, 0);
    node_saved(&n, n.raft.written - 1);
    cr_assert_eq(n.raft.commit, 1);
    node_save(&n);
    cr_assert_eq(n.raft.commit, 2);
    cr_assert_eq(n.effects.answer_from, 2);
}

/* Figure 8 (5.4.2). S1 of term 4 has brought entry 2, of term 2, to a majority: it is not
 * committed, for S5 could still overwrite it (d). When its own entry 3 is there, both are (e). */
Test(section_5_4_2, figure_8_old_entries_are_not_committed_by_counting) {
    struct node s1;
    node_start(&s1, (struct start){.voter_count = 5, .term = 3, .log = "12"});
    node_elect(&s1);
    node_save(&s1);
    assert_log(&s1, "124");
    for (raft_id peer = 2; peer <= 5; peer++) {
        node_receive(&s1, message_accepted(peer, 4, 2));
        cr_assert_eq(s1.raft.commit, 0, "(c)");
    }
    struct node overwritten = s1;
    node_receive(&overwritten, message_append(5, 5, "13", 2, 2));
    assert_log(&overwritten, "13");
    node_receive(&s1, message_accepted(2, 4, 3));
    cr_assert_eq(s1.raft.commit, 0);
    node_receive(&s1, message_accepted(3, 4, 3));
    cr_assert_eq(s1.raft.commit, 3, "(e)");
}

/* "Once an entry from the current term has been committed in this way, then all prior entries are
 * committed indirectly" (5.4.2). Only the clients of the current term wait here. */
Test(section_5_4_2, old_entries_are_committed_indirectly) {
    static const char *const logs[] = {"", "1", "112", "1122233"};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        raft_index old = strlen(logs[i]);
        struct node n;
        node_start(&n, (struct start){.term = 3, .log = logs[i]});
        node_elect(&n);
        node_propose(&n, 77);
        node_save(&n);
        raft_index last = n.raft.last; /* The command is refused where the tail is full. */
        node_receive(&n, message_accepted(2, 4, last));
        cr_assert_eq(n.effects.apply_from, 1);
        cr_assert_eq(n.effects.apply_to, last);
        cr_assert_eq(n.effects.answer_from, old + 1, "only entries of the own term");
    }
}

/* Entries of the own term are answered once each, in order (8). */
Test(section_8, each_commit_answers_its_own_entries) {
    struct node n;
    node_lead(&n, (struct start){.term = 1, .log = "11"});
    for (raft_index index = 4; index < 4 + RAFT_TAIL_MAX; index++) {
        node_propose(&n, command_at(index, 2));
        cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
        node_save(&n);
        node_receive(&n, message_accepted(3, 2, index));
        cr_assert_eq(n.effects.apply_from, index);
        cr_assert_eq(n.effects.apply_to, index);
        cr_assert_eq(n.effects.answer_from, index);
    }
}

/* A late message with a lower commit index takes nothing back, and applies nothing twice (5.3). */
Test(section_5_3, commit_index_never_falls) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "1111"});
    static const raft_index commits[] = {2, 1, 2, 4, 0, 3, 4};
    raft_index highest = 0;
    for (size_t i = 0; i < sizeof commits / sizeof commits[0]; i++) {
        struct raft_message m = message_append(2, 1, "1111", 5, 4);
        m.commit = commits[i];
        node_receive(&n, m);
        bool rises = commits[i] > highest;
        cr_assert_eq(n.effects.apply_from, rises ? highest + 1 : 0, "row %zu", i);
        cr_assert_eq(n.effects.apply_to, rises ? commits[i] : 0, "row %zu", i);
        if (rises) highest = commits[i];
        cr_assert_eq(n.raft.commit, highest, "row %zu", i);
    }
}

/* "If the client's first choice is not the leader, that server will reject the client's request and
 * supply information about the most recent leader it has heard from" (8). */
Test(section_8, followers_and_candidates_refuse_commands) {
    struct node n;
    node_start(&n, (struct start){0});
    node_propose(&n, 77);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_LEADER);
    cr_assert_eq(n.effects.leader, 0);
    node_receive(&n, message_append(3, 1, "", 1, 0));
    node_propose(&n, 77);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_LEADER);
    cr_assert_eq(n.effects.leader, 3);
    assert_no_effects(&n);
    node_campaign(&n);
    node_propose(&n, 77);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_LEADER);
    cr_assert_eq(n.effects.leader, 0, "its term has no leader yet");
    assert_log(&n, "");
}

/* A leader that cannot commit keeps room for the no-ops of later leaders (8): commands are refused
 * at RAFT_TAIL_MAX uncommitted entries, and accepted again when some are committed. */
Test(section_8, full_tail_refuses_commands) {
    struct node n;
    node_start(&n, (struct start){0});
    node_elect(&n);
    for (raft_index last = 1; last < RAFT_TAIL_MAX; last++) {
        node_propose(&n, 77);
        cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED, "after %" PRIu64, last);
    }
    node_propose(&n, 78);
    cr_assert_eq(n.effects.refusal, RAFT_LOG_FULL);
    cr_assert_eq(n.effects.leader, 1);
    assert_no_effects(&n);
    cr_assert_eq(n.raft.last, RAFT_TAIL_MAX);
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 1));
    node_propose(&n, 78);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    node_propose(&n, 79);
    cr_assert_eq(n.effects.refusal, RAFT_LOG_FULL);
}

/* A leader whose log is half full appends its no-op (8) when a quorum holds that log, not before:
 * or leaders that fall one after the other would fill it. Below that length, at once. */
Test(section_8, half_full_log_comes_before_the_no_op) {
    char log[RAFT_LOG_MAX];
    for (uint32_t tail = 1; tail < RAFT_LOG_MAX; tail++) {
        struct node n;
        log_repeat(log, '1', tail);
        node_start(&n, (struct start){.voter_count = 5, .term = 1, .log = log});
        node_elect(&n);
        cr_assert_eq(n.raft.last, tail < RAFT_LOG_MAX / 2 ? tail + 1 : tail, "tail %u", tail);
        node_save(&n);
        node_receive(&n, message_accepted(2, 2, tail));
        cr_assert_eq(n.raft.last, tail < RAFT_LOG_MAX / 2 ? tail + 1 : tail, "tail %u", tail);
        node_receive(&n, message_accepted(3, 2, tail));
        cr_assert_eq(n.raft.last, tail + 1, "tail %u", tail);
        cr_assert_eq(n.raft.commit, 0);
        cr_assert_eq(raft_entry_at(&n.raft, tail + 1)->type, RAFT_NOOP);
        node_receive(&n, message_accepted(4, 2, tail));
        cr_assert_eq(n.raft.last, tail + 1, "there is one no-op a term");
    }
}

/* A log that is three quarters full refuses as well, though all is committed, until it is compacted
 * (7): after a restart of all nobody knows what is committed, and a no-op must find room (8). */
Test(section_7, filled_log_refuses_commands) {
    enum { QUARTER = RAFT_LOG_MAX / 4, LIMIT = RAFT_LOG_MAX - QUARTER };
    for (unsigned length = LIMIT - 1; length <= RAFT_LOG_MAX; length++) {
        char log[RAFT_LOG_MAX + 1];
        struct node n;
        node_lead(&n, (struct start){.term = 1, .log = log_repeat(log, '1', length - 1)});
        node_propose(&n, 77);
        cr_assert_eq(n.effects.refusal, length < LIMIT ? RAFT_ACCEPTED : RAFT_LOG_FULL);
        if (length < LIMIT) continue;
        assert_no_effects(&n);
        node_compact(&n, length - LIMIT + 1);
        node_propose(&n, 77);
        cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
        cr_assert_eq(n.raft.last, length + 1);
    }
}

/* The same entry twice, and another in between (5.3, 5.4.2).
 *   1. Entry 6 of term 2 is written (A), overwritten by term 4 (B), written again as it was (C).
 *   2. A is reported: the disk holds entry 6 of term 2, but B is about to take it away.
 *   3. It counts when C is reported, and so does the acknowledgement. */
Test(section_5_3, rewritten_entry_counts_with_its_last_write) {
    struct node n;
    raft_write writes[3];
    node_start(&n, (struct start){.term = 2, .log = "11111"});
    node_receive(&n, message_append(2, 2, "111112", 6, 6));
    writes[0] = n.effects.write;
    node_receive(&n, message_append(3, 4, "111114", 6, 6));
    writes[1] = n.effects.write;
    node_receive(&n, message_append(2, 5, "111112", 6, 6));
    writes[2] = n.effects.write;
    cr_assert(writes[0] < writes[1] && writes[1] < writes[2]);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(n.raft.saved, 5, "before write %d", i);
        node_receive(&n, message_append(2, 5, "111112", 6, 6));
        cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, writes[2]);
        node_saved(&n, writes[i]);
    }
    cr_assert_eq(n.raft.saved, 6);
    node_receive(&n, message_append(2, 5, "111112", 6, 6));
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, 0);
}

/* Entries that a pending write cuts off stop counting at once (5.3). */
Test(section_5_3, truncated_entries_no_longer_count_as_saved) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "12222"});
    cr_assert_eq(n.raft.saved, 5);
    node_receive(&n, message_append(2, 3, "1233", 3, 4));
    cr_assert_eq(n.raft.saved, 2);
    node_save(&n);
    cr_assert_eq(n.raft.saved, 4);
}
