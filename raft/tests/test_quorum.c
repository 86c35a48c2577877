/* test_quorum.c - majorities, against naive twins: loops that count. */
#include "quorum.h"

#include <criterion/criterion.h>

#include "dice.h"
#include "support.h"

static bool naive_majority(raft_set voters, raft_set set) {
    int all = 0, present = 0;
    for (raft_id id = 1; id <= RAFT_NODES_MAX; id++) {
        all += (int)(voters >> id & 1);
        present += (int)((voters & set) >> id & 1);
    }
    return present > all / 2;
}

static bool naive_quorum(const struct raft_members *m, raft_set set) {
    return naive_majority(m->voters, set) && (m->outgoing == 0 || naive_majority(m->outgoing, set));
}

/* The highest index so that those who have it are a quorum: tries all indexes that somebody has. */
static raft_index naive_index(const struct raft_members *m, const raft_index *match) {
    raft_index best = 0;
    for (raft_id k = 1; k <= RAFT_NODES_MAX; k++) {
        raft_set set = 0;
        for (raft_id id = 1; id <= RAFT_NODES_MAX; id++)
            if (match[id] >= match[k]) set |= (raft_set)1 << id;
        if (match[k] > best && naive_quorum(m, set)) best = match[k];
    }
    return best;
}

/* All configurations of five nodes, and all sets of them (5.2, 6). */
Test(section_6, quorum_is_a_majority_of_each_part) {
    for (raft_set voters = 0; voters < 64; voters += 2)
        for (raft_set outgoing = 0; outgoing < 64; outgoing += 2)
            for (raft_set set = 0; set < 64; set += 2) {
                struct raft_members m = {voters, outgoing, ~(voters | outgoing) & 126};
                cr_assert_eq(raft_quorum(&m, set), naive_quorum(&m, set));
            }
}

/* No voters, no quorum: whoever is there (6). */
Test(section_6, empty_configuration_has_no_quorum) {
    struct raft_members m = {.learners = ids("123")};
    cr_assert_not(raft_quorum(&m, 0));
    cr_assert_not(raft_quorum(&m, ~(raft_set)1));
}

/* A majority of one half is not one of the whole: an even number needs more than half (5.2). */
Test(section_5_2, two_disjoint_sets_are_never_both_quorums) {
    uint64_t dice = 1;
    for (uint32_t i = 0; i < 100000; i++) {
        struct raft_members m = {roll(&dice, UINT64_MAX) & ~(raft_set)1, 0, 0};
        if (i % 2 == 0) m.outgoing = roll(&dice, UINT64_MAX) & ~(raft_set)1;
        raft_set set = roll(&dice, UINT64_MAX);
        cr_assert_eq(raft_quorum(&m, set), naive_quorum(&m, set));
        cr_assert_not(raft_quorum(&m, set) && raft_quorum(&m, ~set));
    }
}

static void roll_match(uint64_t *dice, raft_index *match, uint64_t bound) {
    for (raft_id id = 0; id <= RAFT_NODES_MAX; id++) match[id] = roll(dice, bound);
}

/* The index that a quorum has reached: sets of any size, indexes that are equal and that are not,
 * joint configurations and none (5.3, 6). */
Test(section_5_3, quorum_index_is_reached_by_a_quorum) {
    uint64_t dice = 2;
    for (uint32_t i = 0; i < 10000; i++) {
        raft_index match[RAFT_NODES_MAX + 1];
        struct raft_members m = {roll(&dice, UINT64_MAX), roll(&dice, UINT64_MAX), 0};
        if (i % 2 == 0) m.outgoing = 0;
        if (i % 3 == 0) m.voters &= 126;
        if (i % 3 == 0) m.outgoing &= roll(&dice, 128);
        if (i % 100 == 0) m.voters = 0;
        m.voters &= ~(raft_set)1;
        m.outgoing &= ~(raft_set)1;
        roll_match(&dice, match, i % 5 == 0 ? 3 : 1000);
        cr_assert_eq(raft_quorum_index(&m, match), naive_index(&m, match), "case %u", i);
    }
}

/* What is not a voter's does not matter, not even if it is garbage (D 4.2.1). */
Test(section_D_4_2_1, learners_do_not_move_the_quorum_index) {
    struct raft_members m = {ids("123"), ids("345"), ids("67")};
    raft_index match[RAFT_NODES_MAX + 1] = {0, 5, 5, 5, 5, 0};
    for (raft_id id = 6; id <= RAFT_NODES_MAX; id++) match[id] = UINT64_MAX;
    cr_assert_eq(raft_quorum_index(&m, match), 5);
    for (raft_id id = 6; id <= RAFT_NODES_MAX; id++) match[id] = 0;
    cr_assert_eq(raft_quorum_index(&m, match), 5);
}

/* The sets of the other questions (6). */
Test(section_6, who_is_in_and_who_votes) {
    struct raft_members m = {ids("12"), ids("23"), ids("4")};
    cr_assert_eq(raft_members_all(&m), ids("1234"));
    for (raft_id id = 1; id <= RAFT_NODES_MAX; id++) {
        cr_assert_eq(raft_set_of(id), (raft_set)1 << id);
        cr_assert_eq(raft_members_has_voter(&m, id), id <= 3);
    }
}
