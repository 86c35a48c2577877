/* test_goal.c - the stages of the calm phase: actors that settle, stay and hand over when the test
 * says so, and a twin that tells when each stage is due. */
#include <criterion/criterion.h>

#include "actor.h"
#include "calm.h"
#include "goal.h"

enum { VOTERS = 5, SPARE = VOTERS + 1, LEADER = 2, TERM = 5, LAST = 8 };

/* The longest election timeout, by the slowest clock. */
static uint64_t elections_us(uint32_t count) {
    return UINT64_C(2) * QUIET_US * count / 1000 * (1000 + world->config.drift);
}

/* The calm phase begins, with these stages chosen. */
static void begin_with(uint32_t stay, node_id handover, uint32_t drift) {
    struct cluster_config config = quiet(VOTERS);
    config.spares = 1;
    config.drift = drift;
    stage_begin(config);
    world->clock_us = 1000;
    forced[CHOICE_STAY] = stay;
    forced[CHOICE_HANDOVER] = handover;
    cluster_calm(world);
}

static void begin(uint32_t stay, node_id handover) { begin_with(stay, handover, 0); }

/* All nodes follow that leader of that term, and have all that it has. */
static void settle(node_id leader, uint64_t term) {
    world->clients[0].has_written = true;
    for (node_id id = 1; id <= VOTERS; id++) {
        struct node_view *v = &stages[id].view;
        v->term = term;
        v->last = v->commit = LAST;
        v->last_term = term;
        v->role = id == leader ? NODE_LEADER : NODE_FOLLOWER;
        world->processes[id].view = *v;
        world->processes[id].applied = LAST;
        stages[leader].match[id] = LAST;
    }
    cr_assert(cluster_is_settled(world));
}

/* One node has not applied all yet. */
static void unsettle(void) {
    world->processes[1].applied = LAST - 1;
    cr_assert(!cluster_is_settled(world));
}

/* The stage after that time. */
static enum goal_stage after(uint64_t us) {
    world->clock_us += us;
    cluster_attend_goal(world);
    return world->goal.stage;
}

/* An occasion of the operator: what all nodes were told then. */
static const char *occasion(void) {
    heard_count = 0;
    happen_now(EVENT_OPERATOR, 0);
    for (node_id id = 1; id <= SPARE; id++)
        if (id != LEADER) cr_assert_str_eq(heard_by(id), "");
    return heard_by(LEADER);
}

/* The core has settled, the quiet time is over, and so is the time for which the leader stays. */
static enum goal_stage pass_stay(void) {
    settle(LEADER, TERM);
    after(0);
    after(elections_us(1));
    if (world->goal.stage == GOAL_STAY) after(elections_us(8) + 1);
    return world->goal.stage;
}

/* ---- the stages ---- */

static void check_settling(bool is_last) {
    struct goal *g = &world->goal;
    uint64_t lateness_us = 10000 + 10000 + 5000 + 2 * LATENCY_US;
    cr_assert(g->stage == GOAL_SETTLE && !g->has_settled);
    cr_assert(g->due_us == world->clock_us + elections_us(120) + 4 * RETRY_US + lateness_us);
    cr_assert(after(1) == GOAL_SETTLE && !g->has_settled && pending(EVENT_OPERATOR, 0) == 0);
    settle(LEADER, TERM);
    cr_assert(after(1) == (is_last ? GOAL_REACHED : GOAL_SETTLE));
    if (is_last) return;
    cr_assert(g->has_settled && g->quiet_us == world->clock_us + elections_us(1));
    cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us);
    cr_assert_str_eq(occasion(), "");
    cr_assert(after(elections_us(1) - 1) == GOAL_SETTLE);
    unsettle();
    cr_assert(after(1) == GOAL_SETTLE); /* It may take longer. */
    settle(LEADER, TERM);
}

static void check_staying(void) {
    struct goal *g = &world->goal;
    cr_assert(after(0) == GOAL_STAY && g->leader == LEADER && g->term == TERM);
    cr_assert(g->due_us == world->clock_us + elections_us(8));
    unsettle(); /* Clients may go on. */
    cr_assert(after(elections_us(8)) == GOAL_STAY && world->counts[SOMETIMES_STAY] == 0);
    settle(LEADER, TERM);
    after(1);
    cr_assert(g->stage != GOAL_STAY && world->counts[SOMETIMES_STAY] == 1);
}

static void check_handing_over(node_id target) {
    struct goal *g = &world->goal;
    cr_assert(after(0) == GOAL_HANDOVER && !g->is_asked && g->target == target);
    cr_assert(g->leader == LEADER && g->term == TERM);
    cr_assert(g->due_us == world->clock_us + elections_us(2));
    cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us);
    cr_assert(*occasion() == 't' && g->is_asked);
    cr_assert(after(1) == GOAL_HANDOVER && world->counts[SOMETIMES_HANDOVER] == 0);
    world->processes[target].view.role = NODE_LEADER;
    world->processes[target].view.term = TERM + 1;
    cr_assert(after(1) == GOAL_SETTLE && world->counts[SOMETIMES_HANDOVER] == 1);
    cr_assert(g->due_us > world->clock_us + elections_us(120));
    cr_assert(after(1) == GOAL_SETTLE);
    settle(target, TERM + 1);
    cr_assert(after(1) == GOAL_REACHED);
}

/* Goal: the stages come in their order, each if it was chosen, and each has its time. Method: all
 * combinations, with clocks of two speeds: the state at each stage's beginning, just before its
 * end, and after. */
Test(cluster, stages_come_in_order) {
    for (uint32_t bits = 0; bits < 8; bits++) {
        bool has_stay = bits & 1, has_handover = bits & 2;
        begin_with(has_stay, has_handover ? 3 : 0, bits & 4 ? 100 : 0);
        cr_assert(asked[CHOICE_STAY] == 1 && asked[CHOICE_HANDOVER] == 1);
        cr_assert(bound_asked[CHOICE_HANDOVER] == SPARE + 1);
        check_settling(!has_stay && !has_handover);
        if (has_stay) check_staying();
        if (has_handover) check_handing_over(3);
        cr_assert(after(1) == GOAL_REACHED && after(elections_us(200)) == GOAL_REACHED);
        cr_assert(world->counts[SOMETIMES_STAY] == has_stay);
        cr_assert(world->counts[SOMETIMES_HANDOVER] == has_handover);
    }
}

/* Goal: a node that cannot hand over is not asked to. Method: a world of naive nodes; whatever is
 * chosen, there is no handover. */
Test(cluster, nobody_hands_over_who_cannot) {
    struct cluster *naive = cluster_new(&node_naive);
    cr_assert(naive != NULL);
    begin(1, 3); /* These choices are given again. */
    stage_choices.dull = 0;
    struct cluster_config config = quiet(3);
    cluster_reset(naive, &config, &stage_choices);
    asked[CHOICE_STAY] = asked[CHOICE_HANDOVER] = 0;
    cluster_calm(naive);
    cr_assert(asked[CHOICE_STAY] == 1 && naive->goal.has_stay);
    cr_assert(asked[CHOICE_HANDOVER] == 0 && !naive->goal.has_handover);
    cluster_free(naive);
}

/* ---- who leaves ---- */

/* Node 4 is in the core, and in no configuration any more. */
static void remove_4(void) {
    begin(1, 0);
    settle(LEADER, TERM);
    for (node_id id = 1; id <= VOTERS; id++)
        stages[id].image.members.voters = cluster_voters(world) & ~node_bit(4);
}

/* Goal: what was removed is shut down before the leader is watched. Method: a node of the core that
 * is not in the configuration of the leader, or is a learner or an old voter in it; the quiet time
 * begins with the operator, who stops it if all is settled then. */
Test(cluster, removed_nodes_leave_in_the_quiet_time) {
    for (uint32_t variant = 0; variant < 3; variant++) {
        remove_4();
        if (variant == 1) stages[LEADER].image.members.learners = node_bit(4);
        node_set core = world->core;
        cr_assert(after(1) == GOAL_SETTLE && pending(EVENT_OPERATOR, 0) == world->clock_us);
        if (variant == 2) unsettle();
        cr_assert(world->processes[4].is_alive);
        occasion();
        bool leaves = variant == 0;
        cr_assert(world->processes[4].is_alive == !leaves &&
                  world->gone == (leaves ? node_bit(4) : 0));
        cr_assert(world->core == (leaves ? core & ~node_bit(4) : core));
        cr_assert(world->reach == world->core);
        cr_assert(world->counts[SOMETIMES_RETIRED] == leaves);
        cr_assert(pending(EVENT_RESTART, 4) == 0);
    }
}

/* Goal: no leader is watched while a removed node runs. Method: what has settled is disturbed
 * before the operator comes; when it settles again, there is another quiet time, and the node
 * leaves. */
Test(cluster, quiet_time_begins_again) {
    remove_4();
    after(1);
    unsettle();
    occasion();
    world->processes[1].applied = LAST;
    cr_assert(after(elections_us(1)) == GOAL_SETTLE);
    cr_assert(world->goal.quiet_us == world->clock_us + elections_us(1));
    cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us);
    occasion();
    cr_assert(!world->processes[4].is_alive);
    cr_assert(after(elections_us(1)) == GOAL_STAY);
}

/* ---- the handover ---- */

/* Goal: the target is a voter of the core that does not lead; if it was not chosen well, another
 * one takes its place. Method: each node is chosen: the leader, a voter outside the core, a learner
 * and a stranger, too. */
Test(cluster, target_can_become_leader) {
    for (node_id chosen = 1; chosen <= SPARE; chosen++) {
        outside = node_bit(4);
        begin(0, chosen);
        outside = 0;
        world->core &= ~node_bit(4);
        stages[LEADER].image.members =
            (struct node_members){.voters = 0x1e, .outgoing = 0, .learners = node_bit(5)};
        cr_assert(pass_stay() == GOAL_HANDOVER);
        cr_assert(world->goal.target == (chosen == 3 ? 3 : 1), "n%u", chosen);
    }
}

/* Goal: there is no handover where nothing but luck could make it succeed. Method: no other voter,
 * none in the core, and a log that has little room above its snapshot; and just enough of each. */
Test(cluster, handover_needs_room_and_a_target) {
    enum { NO_VOTER, NO_CORE, NO_ROOM, ONE_VOTER, SOME_ROOM, WAYS };
    for (uint32_t way = 0; way < WAYS; way++) {
        begin(0, 1);
        settle(LEADER, TERM);
        after(0);
        struct node_members *m = &stages[LEADER].image.members;
        if (way == NO_VOTER) m->voters = node_bit(LEADER);
        if (way == ONE_VOTER) m->voters = node_bit(LEADER) | node_bit(4);
        if (way == NO_CORE) world->core = node_bit(LEADER);
        uint64_t room = way == NO_ROOM ? NODE_LOG_MAX / 2 : NODE_LOG_MAX / 2 - 1;
        for (node_id id = 1; id <= VOTERS && (way == NO_ROOM || way == SOME_ROOM); id++) {
            struct node_view *v = &world->processes[id].view;
            v->snapshot.index = 100;
            v->last = v->commit = world->processes[id].applied = 100 + room;
        }
        bool is_possible = way == ONE_VOTER || way == SOME_ROOM;
        cr_assert(after(elections_us(1)) == (is_possible ? GOAL_HANDOVER : GOAL_REACHED), "%u",
                  way);
        cr_assert(!is_possible || world->goal.target == (way == ONE_VOTER ? 4 : 1));
        if (!is_possible) cr_assert(world->goal.target == 0);
    }
}

/* Goal: the leader is asked only once it knows that the target has all entries. Method: its match
 * is short by one, again and again; the operator comes back after a heartbeat; what is due counts
 * from the request. */
Test(cluster, handover_waits_for_the_match) {
    begin(0, 3);
    cr_assert(pass_stay() == GOAL_HANDOVER);
    uint64_t due_us = world->goal.due_us;
    stages[LEADER].match[3] = LAST - 1;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_str_eq(occasion(), "");
        cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us + HEARTBEAT_US);
        cr_assert(!world->goal.is_asked && world->goal.due_us == due_us);
        world->clock_us += HEARTBEAT_US;
    }
    stages[LEADER].match[3] = LAST;
    cr_assert_str_eq(occasion(), "transfer:3");
    cr_assert(world->goal.is_asked && !world->goal.is_refused);
    cr_assert(world->goal.due_us == world->clock_us + elections_us(2));
    cr_assert(pending(EVENT_OPERATOR, 0) == 0);
    cr_assert_str_eq(occasion(), "", "once only");
}

/* Goal: a refusal is noted, for the check. Method: the leader refuses. */
Test(cluster, refused_handover_is_noted) {
    begin(0, 3);
    pass_stay();
    stages[LEADER].effects.refused = true;
    cr_assert_str_eq(occasion(), "transfer:3");
    cr_assert(world->goal.is_asked && world->goal.is_refused);
}

/* Goal: only a leader is asked. Method: it has stepped down; another target that leads already was
 * not asked for, and does not end the stage. */
Test(cluster, only_the_leader_is_asked) {
    begin(0, 3);
    pass_stay();
    world->processes[LEADER].view.role = NODE_FOLLOWER;
    world->processes[3].view.role = NODE_LEADER;
    cr_assert_str_eq(occasion(), "");
    cr_assert(!world->goal.is_asked && pending(EVENT_OPERATOR, 0) == 0);
    cr_assert(after(1) == GOAL_HANDOVER);
}
