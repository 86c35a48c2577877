/* test_members.c - changes of the configuration, one server at a time (6, D 4.1), rule by rule;
 * joint ones are in test_joint.c.
 *
 *     6        a server uses the latest configuration in its log, committed or not
 *     D 4.1    at most one server differs, or the quorums might not meet
 *              one change at a time, none before the leader has committed an entry of its term
 *
 * Who joins, and who leaves: test_joining.c. */
#include "members.h"

#include <criterion/criterion.h>
#include <string.h>

#include "quorum.h"
#include "support.h"

/* ---- the pure part ---- */

enum { SMALL = 5, SMALL_SETS = 1 << (SMALL + 1), SMALL_MEMBERS = 3 * 3 * 3 * 3 * 3 };

/* All configurations of up to five servers that are not joint: nothing, learner or voter each. */
static struct raft_members small_members(unsigned number) {
    struct raft_members m = {0};
    for (raft_id id = 1; id <= SMALL; id++, number /= 3) {
        if (number % 3 == 1) m.learners |= raft_set_of(id);
        if (number % 3 == 2) m.voters |= raft_set_of(id);
    }
    return m;
}

static bool quorums_meet(const struct raft_members *a, const struct raft_members *b) {
    for (raft_set set = 0; set < SMALL_SETS; set++)
        if (raft_quorum(a, set) && raft_quorum(b, ~set)) return false;
    return true;
}

static int voters_that_differ(const struct raft_members *a, const struct raft_members *b) {
    int count = 0;
    for (raft_id id = 1; id <= SMALL; id++)
        count += raft_members_has_voter(a, id) != raft_members_has_voter(b, id);
    return count;
}

static void assert_step(const struct raft_members *now, const struct raft_members *wanted,
                        bool is_joint) {
    struct raft_members next;
    bool differs = now->voters != wanted->voters || now->learners != wanted->learners;
    bool is_next = raft_members_next(now, wanted->voters, wanted->learners, is_joint, &next);
    cr_assert_eq(is_next, differs && wanted->voters != 0);
    if (!is_next) return;
    cr_assert(raft_members_are_valid(&next));
    cr_assert(quorums_meet(now, &next));
    cr_assert_eq(next.voters, wanted->voters);
    cr_assert_eq(next.learners, wanted->learners);
    cr_assert_eq(next.outgoing != 0, is_joint || voters_that_differ(now, wanted) > 1);
    if (next.outgoing == 0) return;
    struct raft_members left = raft_members_leave(&next);
    cr_assert_eq(next.outgoing, now->voters);
    cr_assert(quorums_meet(&next, &left));
    cr_assert_eq(memcmp(&left, wanted, sizeof left), 0);
}

/* All pairs of small configurations: each step that the core takes keeps quorums that meet, a joint
 * one is taken only where it is needed or wished, and the way ends where it should (D 4.1, D 4.3).
 */
Test(section_D_4_1, quorums_of_neighbours_meet) {
    for (unsigned i = 0; i < SMALL_MEMBERS; i++) {
        struct raft_members now = small_members(i);
        if (now.voters == 0) continue;
        for (unsigned k = 0; k < SMALL_MEMBERS; k++) {
            struct raft_members wanted = small_members(k);
            assert_step(&now, &wanted, false);
            assert_step(&now, &wanted, true);
        }
    }
}

/* Somebody votes, nobody is node 0, and nobody is a voter and a learner. Who goes out of a joint
 * configuration may become a learner. */
Test(section_6, configurations_that_make_no_sense_are_refused) {
    static const struct {
        struct raft_members m;
        bool is_valid;
    } rows[] = {{{2, 0, 0}, true},  {{14, 0, 16}, true}, {{14, 30, 16}, true}, {{0, 0, 0}, false},
                {{0, 0, 2}, false}, {{0, 2, 0}, false},  {{3, 0, 0}, false},   {{2, 3, 0}, false},
                {{2, 0, 1}, false}, {{14, 0, 8}, false}, {{14, 12, 2}, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(raft_members_are_valid(&rows[i].m), rows[i].is_valid, "row %zu", i);
}

/* ---- 6: the configuration is a function of the log ---- */

static struct raft_message append_members(raft_term term, raft_index previous,
                                          raft_term previous_term, struct raft_members members) {
    struct raft_message m = {.type = RAFT_APPEND,
                             .source = 2,
                             .term = term,
                             .index = previous,
                             .index_term = previous_term,
                             .entry_count = 1};
    m.entries[0] = (struct raft_entry){.term = term, .type = RAFT_MEMBERS, .members = members};
    return m;
}

/* "A server always uses the latest configuration in its log, regardless of whether the entry is
 * committed": a leader from the moment when it appends it. The new server hears from it at once,
 * and counts at once. */
Test(section_6, change_is_in_force_when_it_is_appended) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_change(&n, ids("1234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    assert_log(&n, "1a");
    assert_members(&n.raft.members, "1234", "", "");
    cr_assert_eq(n.raft.members_index, 2);
    cr_assert_eq(n.effects.message_count, 3);
    for (raft_id peer = 2; peer <= 4; peer++) sent_to(&n, RAFT_APPEND, peer);
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.raft.commit, 1, "two of four");
    node_receive(&n, message_accepted(4, 1, 2));
    cr_assert_eq(n.raft.commit, 2, "three of four");
}

/* So does a follower: for the next election, and with the entry that is not durable yet. */
Test(section_6, follower_uses_it_when_it_is_appended) {
    struct node n;
    struct raft_members members = {ids("12345"), 0, ids("6")};
    node_start(&n, (struct start){.term = 1, .log = "1"});
    node_receive(&n, append_members(1, 1, 1, members));
    assert_members(&n.raft.members, "12345", "", "6");
    node_timeout(&n);
    cr_assert_eq(n.effects.message_count, 4);
    node_save(&n);
    node_receive(&n, message_grant(2, 2));
    node_receive(&n, message_grant(6, 2));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "two of five");
    node_receive(&n, message_grant(5, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* "If an entry is removed from the log, the server falls back to the previous configuration in its
 * log": of several, of the snapshot, and after a restart. */
Test(section_6, change_is_undone_when_it_is_cut_off) {
    const struct raft_members changes[] = {{ids("1234"), 0, 0}, {ids("12345"), 0, 0}};
    static const char *const voters[] = {"123", "123", "1234", "1234", "12345"};
    for (raft_index kept = 1; kept <= 4; kept++) {
        struct node n;
        node_start(&n,
                   (struct start){.term = 1, .log = "1a1a1", .changes = {changes[0], changes[1]}});
        assert_members(&n.raft.members, "12345", "", "");
        struct raft_message m = message_append(2, 2, "1a1a1", kept + 1, kept);
        m.entry_count = 1;
        m.entries[0] = (struct raft_entry){.term = 2, .type = RAFT_NOOP};
        node_receive(&n, m);
        cr_assert_eq(n.raft.last, kept + 1);
        assert_members(&n.raft.members, voters[kept], "", "");
        node_restart(&n);
        assert_members(&n.raft.members, voters[kept], "", "");
    }
}

/* One that is overwritten by another. */
Test(section_6, change_is_replaced_by_another) {
    struct node n;
    struct raft_members old = {ids("1234"), 0, 0}, new = {ids("12"), 0, 0};
    node_start(&n, (struct start){.term = 1, .log = "1a1", .changes = {old}});
    node_receive(&n, append_members(2, 1, 1, new));
    assert_log(&n, "1b");
    assert_members(&n.raft.members, "12", "", "");
    cr_assert_eq(n.raft.members_index, 2);
}

/* A snapshot brings the configuration as of its end, and replaces what the log said (7). */
Test(section_7, snapshot_holds_the_configuration) {
    struct node n;
    struct raft_members change = {ids("1234"), 0, ids("5")};
    node_start(&n, (struct start){.term = 1, .log = "1a11", .changes = {change}});
    struct raft_message m = message_append(2, 1, "1a11", 5, 4);
    m.commit = 4;
    node_receive(&n, m);
    node_compact(&n, 1);
    assert_members(&n.raft.snapshot.members, "123", "", "");
    assert_members(&n.raft.members, "1234", "", "5");
    node_compact(&n, 3);
    assert_members(&n.raft.snapshot.members, "1234", "", "5");
    node_save(&n);
    node_restart(&n);
    assert_members(&n.raft.members, "1234", "", "5");
    m = message_snapshot(2, 1, 9, 1);
    m.chunk.snapshot.members.voters = ids("24");
    node_receive(&n, m);
    assert_members(&n.raft.members, "24", "", "");
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "it is out");
}

/* ---- D 4.1 ---- */

/* "A leader must not append a new configuration entry until it has committed an entry from its
 * current term": an old one that is committed does not do (Ongaro 2015). */
Test(section_D_4_1, no_change_before_the_term_has_committed) {
    struct node n;
    struct raft_message m = message_append(2, 1, "111", 4, 3);
    m.commit = 3;
    node_start(&n, (struct start){.term = 1, .log = "111"});
    node_receive(&n, m);
    node_elect(&n);
    cr_assert_eq(n.raft.commit, 3);
    node_change(&n, ids("1234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_READY);
    assert_members(&n.raft.members, "123", "", "");
    node_agree(&n);
    node_change(&n, ids("1234"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
}

/* "One at a time": until the last one is committed, whoever appended it. */
Test(section_D_4_1, one_change_at_a_time) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_change(&n, ids("1234"), 0);
    node_save(&n);
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    node_receive(&n, message_accepted(2, 1, 2));
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_BUSY);
    node_receive(&n, message_accepted(3, 1, 2));
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
}

/* A change that an earlier leader has begun is committed by the no-op of the next one, then comes
 * the next. */
Test(section_D_4_1, change_of_an_earlier_leader_counts) {
    struct node n;
    struct raft_members change = {ids("1234"), 0, 0};
    node_start(&n, (struct start){.term = 1, .log = "1a", .changes = {change}});
    node_elect(&n);
    node_save(&n);
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_NOT_READY);
    node_receive(&n, message_accepted(2, 2, 3));
    cr_assert_eq(n.raft.commit, 0, "two of four");
    node_receive(&n, message_accepted(3, 2, 3));
    cr_assert_eq(n.raft.commit, 3);
    node_change(&n, ids("123"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
}

/* Who may not, cannot or need not change anything says so. */
Test(section_D_4_1, other_changes_are_refused) {
    struct node n;
    node_lead(&n, (struct start){.members = {ids("123"), 0, ids("4")}});
    const struct {
        raft_set voters, learners;
    } rows[] = {{ids("123"), ids("4")}, {0, 0},
                {0, ids("1234")},       {ids("0123"), 0},
                {ids("123"), ids("0")}, {ids("1234"), ids("4")}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        node_change(&n, rows[i].voters, rows[i].learners);
        cr_assert_eq(n.effects.refusal, RAFT_NOT_VALID, "row %zu", i);
        assert_no_effects(&n);
    }
    for (raft_index k = 0; k < RAFT_TAIL_MAX; k++) node_propose(&n, 77);
    node_change(&n, ids("12"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_LOG_FULL);
    for (unsigned role = RAFT_FOLLOWER; role < RAFT_LEADER; role++) {
        node_start_as(&n, (enum raft_role)role);
        node_change(&n, ids("12"), 0);
        cr_assert_eq(n.effects.refusal, RAFT_NOT_LEADER);
    }
}

/* A change is refused where a command would be: else the log might be full with the change half
 * done (7). What leaves a joint configuration has room always. */
Test(section_D_4_3, change_needs_room_for_what_follows) {
    enum { LIMIT = RAFT_LOG_MAX - RAFT_LOG_MAX / 4 };
    for (unsigned length = LIMIT - 1; length <= RAFT_LOG_MAX; length++) {
        char log[RAFT_LOG_MAX + 1];
        struct node n;
        node_lead(&n, (struct start){.term = 1, .log = log_repeat(log, '1', length - 1)});
        node_change(&n, ids("145"), 0);
        cr_assert_eq(n.effects.refusal, length < LIMIT ? RAFT_ACCEPTED : RAFT_LOG_FULL);
        if (length >= LIMIT) continue;
        node_agree(&n);
        assert_members(&n.raft.members, "145", "", "");
        cr_assert_eq(n.raft.last, LIMIT + 1);
    }
}

/* When the quorum shrinks, what waits may have it already, and no other answer will come: a server
 * that is dead is removed by the one that is left. */
Test(section_D_4_1, smaller_quorum_is_there_at_once) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 2});
    node_propose(&n, 77);
    node_save(&n);
    cr_assert_eq(n.raft.commit, 1);
    node_change(&n, ids("1"), 0);
    cr_assert_eq(n.effects.refusal, RAFT_ACCEPTED);
    cr_assert_eq(n.raft.commit, 2, "the command, by the copy of the leader");
    node_save(&n);
    cr_assert_eq(n.raft.commit, 3);
}

/* A server that is removed hears no more. */
Test(section_D_4_1, removed_server_is_sent_nothing) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_change(&n, ids("12"), 0);
    node_agree(&n);
    node_timeout(&n);
    sent_alone(&n, RAFT_APPEND, 2);
    node_receive(&n, message_accepted(3, 1, 2));
    cr_assert_eq(n.raft.commit, 2);
    assert_no_effects(&n);
}
