/* test_count.c - what should happen sometimes is counted for what it is: steps and changes of the
 * configuration, told by an actor. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"

/* A step from one view to another, and the set of counters that tell it. */
struct move {
    enum node_role role_before, role;
    uint64_t term_before, term;
    uint64_t counted;
    uint64_t commit, save_from, answer_from;
    bool takes_snapshot, installs_snapshot, other_is_dead, is_outsider;
    node_id transfer_before, transfer;
};

/* Node 1 moves; node 2 leads an older term throughout. */
static void take_move(const struct move *move) {
    stage_begin(quiet(3));
    stages[2].view.role = NODE_LEADER;
    poke(2);
    struct stage *s = &stages[1];
    s->view = (struct node_view){.role = move->role_before,
                                 .term = move->term_before,
                                 .transfer = move->transfer_before,
                                 .last = 4};
    poke(1);
    if (move->is_outsider) s->image.members.voters = node_bit(2);
    memset(world->counts, 0, sizeof world->counts);
    s->view.role = move->role;
    s->view.transfer = move->transfer;
    s->view.term = move->term;
    s->view.commit = move->commit;
    s->effects.save_from = move->save_from;
    s->effects.answer_from = move->answer_from;
    s->effects.save_snapshot = move->takes_snapshot || move->installs_snapshot;
    s->effects.apply_snapshot = move->installs_snapshot;
    if (move->answer_from != 0) order_apply(1, 1, 4);
    world->processes[2].is_alive = !move->other_is_dead;
    poke(1);
}

static uint64_t counted(enum sometimes event) { return (uint64_t)1 << event; }

/* Goal: a campaign knows what happened in it. Method: steps that are told by a counter, and their
 * neighbours that are not; just those counters grow. */
Test(cluster, steps_are_counted_for_what_they_are) {
    enum node_role F = NODE_FOLLOWER, C = NODE_CANDIDATE, L = NODE_LEADER, P = NODE_PRECANDIDATE;
    uint64_t outsider = counted(SOMETIMES_OUTSIDER_CANDIDATE);
    uint64_t prevote = counted(SOMETIMES_PREVOTE), split = counted(SOMETIMES_SPLIT_VOTE);
    uint64_t election = counted(SOMETIMES_ELECTION), two = counted(SOMETIMES_TWO_LEADERS);
    uint64_t commit = counted(SOMETIMES_COMMIT) | counted(SOMETIMES_ACKNOWLEDGED);
    const struct move moves[] = {
        {F, F, 5, 6, 0, .commit = 4, .save_from = 5},
        {F, C, 5, 6, .counted = 0},
        {C, C, 5, 5, .counted = 0},
        {C, C, 5, 6, .counted = split},
        {F, C, 5, 6, .counted = outsider, .is_outsider = true},
        {F, P, 5, 5, .counted = prevote},
        {F, P, 5, 5, .counted = prevote | outsider, .is_outsider = true},
        {P, C, 5, 6, .counted = 0},
        {C, P, 5, 5, .counted = prevote | split},
        {L, F, 5, 5, .counted = counted(SOMETIMES_QUORUM_LOST)},
        {L, F, 5, 5, .counted = 0, .is_outsider = true},
        {L, L, 5, 5, .counted = counted(SOMETIMES_TRANSFER), .transfer = 3},
        {L, L, 5, 5, .counted = 0, .transfer_before = 3, .transfer = 3},
        {L, L, 5, 5, .counted = counted(SOMETIMES_TRANSFER_GIVEN_UP), .transfer_before = 3},
        {L, F, 5, 6, .counted = counted(SOMETIMES_DEPOSED), .transfer_before = 3},
        {C, L, 5, 5, election | two, .save_from = 5},
        {C, L, 5, 5, election, .other_is_dead = true},
        {L, L, 5, 5, 0, .save_from = 5},
        {L, L, 5, 5, commit, .commit = 4, .answer_from = 1},
        {L, L, 5, 5, commit | counted(SOMETIMES_OLD_TERM), .commit = 4, .answer_from = 3},
        {L, F, 5, 6, counted(SOMETIMES_DEPOSED), .commit = 4},
        {F, F, 5, 5, counted(SOMETIMES_TRUNCATED), .save_from = 4},
        {F, F, 5, 5, counted(SOMETIMES_SNAPSHOT_TAKEN), .takes_snapshot = true},
        {F, F, 5, 5, counted(SOMETIMES_SNAPSHOT_INSTALLED), .installs_snapshot = true},
    };
    for (uint32_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        take_move(&moves[i]);
        for (uint32_t k = 0; k < SOMETIMES_COUNT; k++)
            cr_assert((world->counts[k] > 0) == (k < 64 && (moves[i].counted >> k & 1)),
                      "move %u, %s", i, sometimes_name((enum sometimes)k));
    }
}

/* How the target of a transfer comes to lead. */
enum succession {
    BY_WISH,    /* On a packet of the leader. */
    BY_TIMEOUT, /* By its own timer. */
    BY_ANOTHER, /* On a packet of another node. */
    BY_PROMISE, /* On a packet of the leader that promises something: the answer to a pre-vote. */
    AFTER_GIVING_UP, /* On a packet of the leader, which has given up. */
    IN_A_LATER_TERM, /* It loses the election that the wish began, and wins the next one. */
    SUCCESSION_COUNT
};

static void campaign(enum succession how) {
    node_id source = how == BY_ANOTHER ? 2 : 1;
    stages[1].view.transfer = how == AFTER_GIVING_UP ? 0 : 3;
    poke(1);
    if (how != BY_TIMEOUT) order_packet(source, 3, how == BY_PROMISE ? 1 : 0, 0);
    if (how != BY_TIMEOUT) poke(source);
    stages[3].view.role = NODE_CANDIDATE;
    stages[3].view.term = 6;
    if (how == BY_TIMEOUT) poke(3);
    else run_for(LATENCY_US);
    cr_assert(cluster_view(world, 3)->role == NODE_CANDIDATE);
}

/* Goal: a transfer is done when its target wins the election that the leader's wish began, and
 * fails when the target is elected for another reason. Method: all reasons; just one is told. */
Test(cluster, transfer_is_done_by_the_wish_of_the_leader) {
    for (enum succession how = 0; how < SUCCESSION_COUNT; how++) {
        stage_begin(quiet(3));
        stages[1].view = (struct node_view){.role = NODE_LEADER, .term = 5, .transfer = 3};
        stages[3].view.term = 5;
        poke(1);
        poke(3);
        campaign(how);
        if (how == IN_A_LATER_TERM) stages[3].view.term = 7;
        if (how == IN_A_LATER_TERM) poke(3);
        stages[3].view.role = NODE_LEADER;
        poke(3);
        cr_assert(world->counts[SOMETIMES_ELECTION] == 2);
        cr_assert(world->counts[SOMETIMES_TRANSFER_DONE] == (how == BY_WISH), "%u", how);
    }
}

/* Node 1 appends that configuration after `before`; tells which of the counters grew. */
static uint64_t append_change(enum node_role role, struct node_members before,
                              struct node_members after, bool is_compacted) {
    stage_begin(quiet(3));
    order_change(1, 3, before);
    poke(1);
    if (is_compacted) {
        stages[1].image.members = before;
        stages[1].view.snapshot = (struct node_snapshot){.index = 4, .term = 7};
    }
    stages[1].view.role = role;
    poke(1);
    memset(world->counts, 0, sizeof world->counts);
    order_change(1, 6, after);
    poke(1);
    uint64_t set = 0;
    for (uint32_t i = 0; i < SOMETIMES_COUNT; i++)
        if (world->counts[i] > 0) set |= counted((enum sometimes)i);
    return set;
}

/* Goal: changes of the configuration are counted for what they are. Method: a leader, or a
 * follower, appends one after another one, which is in the log or in the snapshot. */
Test(cluster, changes_are_counted_for_what_they_are) {
    const struct node_members plain = {.voters = 14}, joint = {.voters = 12, .outgoing = 14},
                              learning = {.voters = 6, .learners = 8}, gone = {.voters = 12},
                              joint_gone = {.voters = 12, .outgoing = 10};
    uint64_t change = counted(SOMETIMES_CHANGE), left = counted(SOMETIMES_JOINT_LEFT);
    uint64_t into = counted(SOMETIMES_CHANGE_JOINT), removed = counted(SOMETIMES_LEADER_REMOVED);
    uint64_t learner = counted(SOMETIMES_LEARNER);
    enum node_role L = NODE_LEADER, F = NODE_FOLLOWER;
    for (uint32_t is_compacted = 0; is_compacted < 2; is_compacted++) {
        cr_assert(append_change(L, plain, plain, is_compacted) == change);
        cr_assert(append_change(L, plain, learning, is_compacted) == (change | learner));
        cr_assert(append_change(L, plain, joint, is_compacted) == (change | into));
        cr_assert(append_change(L, plain, joint_gone, is_compacted) == (change | into));
        cr_assert(append_change(L, joint, plain, is_compacted) == (change | left));
        cr_assert(append_change(L, joint, gone, is_compacted) == (change | left | removed));
        cr_assert(append_change(F, joint, gone, is_compacted) == 0);
        cr_assert(append_change(F, plain, learning, is_compacted) == learner);
    }
}

/* Goal: a configuration that is truncated is counted, and the one before it in force again. Method:
 * two changes in a log, and a truncation at each index; then after a restart. */
Test(cluster, changes_are_rolled_back) {
    for (uint64_t from = 1; from <= 9; from++) {
        stage_begin(quiet(3));
        order_change(1, 3, (struct node_members){.voters = 6});
        poke(1);
        order_change(1, 6, (struct node_members){.voters = 14});
        poke(1);
        cr_assert(world->processes[1].members_index == 6);
        order_entry(1, from, (struct node_entry){.term = 8, .command = 1});
        order_write(1, 3);
        stages[1].effects.save_from = from;
        poke(1);
        cr_assert(world->counts[SOMETIMES_CHANGE_ROLLED_BACK] == (from <= 6), "%u", (unsigned)from);
        uint64_t expected = from > 6 ? 6 : from > 3 ? 3 : 0;
        cr_assert(world->processes[1].members_index == expected, "%u", (unsigned)from);
    }
}
