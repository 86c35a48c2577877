/* test_operator.c - the operator: what it asks, whom, and how often, told by the actors that it
 * asks; and which machines come back. */
#include <criterion/criterion.h>

#include "actor.h"
#include "process.h"

/* In the order in which the operator chooses them; 0: nothing. */
enum { VOTER = 1, LEARNER, REMOVE, VOTER_JOINT, REMOVE_JOINT, REPLACE, MOVE, HEAL };

enum { OCCASION_US = 1000 };

/* Nodes 1 to 4 are voters, 5 and 6 spare; node 5 is a learner, and node 2 leads. */
static void begin(void) {
    struct cluster_config config = quiet(4);
    config.spares = 2;
    config.operator_us = OCCASION_US;
    stage_begin(config);
    stages[2].view.role = NODE_LEADER;
    stages[2].image.members.learners = node_bit(5);
    poke(2);
    run_for(OCCASION_US); /* A new leader is an occasion, too. */
    heard_count = 0;
}

/* An occasion now; the nodes that take a step are told. */
static const char *occasion(node_id id) {
    heard_count = 0;
    happen_now(EVENT_OPERATOR, 0);
    cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us + OCCASION_US);
    return heard_by(id);
}

/* The answer to CHOICE_CHANGE_NODE: that node. */
static void choose(uint32_t kind, node_id node) {
    forced[CHOICE_CHANGE] = kind;
    forced[CHOICE_CHANGE_NODE] = node - 1u;
}

static node_set without(node_set set, node_id id) { return set & ~node_bit(id); }

/* Goal: each kind of change asks for what it says. Method: each kind about each node: a voter, the
 * leader, a learner and one that is neither. */
Test(cluster, operator_asks_for_what_it_chose) {
    node_set voters = 0x1e, learners = 0x20;
    for (uint32_t kind = VOTER; kind < MOVE; kind++)
        for (node_id id = 1; id <= 6; id++) {
            begin();
            choose(kind, id);
            cr_assert(*occasion(2) != '\0' && heard_count == 1);
            const struct node_event *e = &stages[2].event;
            cr_assert(e->type == NODE_CHANGE);
            bool adds = kind == VOTER || kind == VOTER_JOINT || kind == REPLACE;
            node_set now = adds ? voters | node_bit(id) : without(voters, id);
            node_set learning = without(learners, id) | (kind == LEARNER ? node_bit(id) : 0);
            cr_assert(e->u.change.voters == now && e->u.change.learners == learning, "%u, n%u",
                      kind, id);
            cr_assert(e->u.change.is_joint == (kind == VOTER_JOINT || kind == REMOVE_JOINT));
        }
}

/* Goal: any change can be asked for, and no cluster of nobody. Method: random choices: each kind is
 * asked for, also sets of voters that differ in many; they are never empty. */
Test(cluster, operator_never_asks_for_nobody) {
    struct choice_odds odds = {{0}};
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) odds.odds[i] = CHOICE_NEVER;
    odds.odds[CHOICE_CHANGE] = odds.odds[CHOICE_CHANGE_NODE] = CHOICE_UNIFORM;
    uint32_t changes = 0, joint = 0, far = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        begin();
        stages[2].image.members.voters = seed % 2 == 0 ? 0x1e : node_bit(2);
        node_set before = stages[2].image.members.voters;
        choices_random(&stage_choices, seed, &odds, NULL);
        occasion(2);
        const struct node_event *e = &stages[2].event;
        if (heard_count == 0) continue;
        cr_assert(e->u.change.voters != 0 && (e->u.change.voters & e->u.change.learners) == 0);
        cr_assert(((e->u.change.voters | e->u.change.learners) & ~cluster_ids(world)) == 0);
        changes++;
        joint += e->u.change.is_joint;
        far += __builtin_popcountll(before ^ e->u.change.voters) > 2;
    }
    cr_assert(changes > 1000 && joint > 200 && far > 100, "%u, %u, %u", changes, joint, far);
}

/* Goal: a transfer goes to the chosen node, and is all that happens then. Method: chosen together
 * with a change. */
Test(cluster, operator_transfers) {
    for (node_id target = 1; target <= 6; target++) {
        begin();
        choose(VOTER, 6);
        forced[CHOICE_TRANSFER] = target;
        cr_assert(*occasion(2) == 't' && heard_count == 1);
        cr_assert(stages[2].event.type == NODE_TRANSFER && stages[2].event.u.target == target);
    }
}

/* Goal: the operator asks the leader. Method: the newest one that hears, nobody if there is none,
 * and the one that is chosen. */
Test(cluster, operator_asks_the_newest_leader) {
    begin();
    stages[3].view.role = NODE_LEADER;
    stages[3].view.term = 4;
    poke(3);
    run_for(0);
    choose(VOTER, 6);
    cr_assert(*occasion(3) == 'c' && heard_count == 1);
    crash_now(3);
    cr_assert(*occasion(2) == 'c' && heard_count == 1);
    forced[CHOICE_PAUSE] = 2;
    fault_now();
    cr_assert_str_eq(occasion(2), "");
    cr_assert(heard_count == 0);
    forced[CHOICE_OPERATOR_TARGET] = 4;
    cr_assert(*occasion(4) == 'c' && heard_count == 1);
    forced[CHOICE_OPERATOR_TARGET] = 3;
    occasion(3);
    cr_assert(heard_count == 0, "it is dead");
}

/* Goal: a leader is asked while it is one, however short its time. Method: a node comes to lead:
 * the next occasion is at once. */
Test(cluster, operator_waits_for_a_leader) {
    begin();
    choose(VOTER, 6);
    stages[3].view.role = NODE_LEADER;
    stages[3].view.term = 4;
    poke(3);
    heard_count = 0;
    run_for(0);
    cr_assert(*heard_by(3) == 'c' && heard_count == 1);
    cr_assert(pending(EVENT_OPERATOR, 0) == world->clock_us + OCCASION_US);
}

/* Goal: what is refused is asked for again, for a while. Method: a leader that refuses all: the
 * same is asked for; then one that accepts: no more. */
Test(cluster, operator_asks_again) {
    begin();
    choose(VOTER, 6);
    stages[2].effects.refused = true;
    occasion(2);
    node_set wanted = stages[2].event.u.change.voters;
    choose(0, 1);
    uint32_t times = 1;
    for (; times < 100; times++) {
        stages[2].effects.refused = true;
        occasion(2);
        if (heard_count == 0) break;
        cr_assert(stages[2].event.u.change.voters == wanted);
    }
    cr_assert(times >= 2 && times <= 16 && world->counts[SOMETIMES_CHANGE_REFUSED] == times);
    stages[2].effects.refused = false;
    choose(REMOVE, 1);
    uint64_t fault_us = pending(EVENT_FAULT, 0);
    occasion(2); /* Accepted: the next occasion for a fault is at once. */
    cr_assert(fault_us > world->clock_us && pending(EVENT_FAULT, 0) == world->clock_us);
    choose(0, 1);
    occasion(2);
    cr_assert(heard_count == 0);
    stage_begin(world->config);
    occasion(2);
    cr_assert(heard_count == 0, "a new run begins without a wish");
}

/* ---- health ---- */

static void stop_all(node_set set) {
    for (node_id id = 1; id <= 6; id++)
        if (set >> id & 1) process_stop(world, id);
}

/* Goal: a member that is gone leaves, and a node that runs and is no member takes its place.
 * Method: a voter, a learner, two of them, a stranger and nobody is gone; with a node for its
 * place, and without. */
Test(cluster, operator_replaces_the_dead) {
    const struct {
        node_set gone, voters, learners; /* The operator asks for this; no voters: for nothing. */
    } rows[] = {
        {node_bit(3), 0x56, 0x20},
        {node_bit(5), 0x5e, 0},
        {node_bit(1) | node_bit(4), 0x5c, 0x20}, /* The lowest of them. */
        {node_bit(3) | node_bit(6), 0x16, 0x20},
        {node_bit(6), 0, 0},
        {0, 0, 0},
    };
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin();
        stop_all(rows[i].gone);
        choose(HEAL, 2);
        occasion(2);
        bool is_asked = rows[i].voters != 0;
        cr_assert(heard_count == is_asked && world->counts[SOMETIMES_REPLACED] == is_asked);
        if (!is_asked) continue;
        const struct node_event *e = &stages[2].event;
        cr_assert(e->type == NODE_CHANGE && !e->u.change.is_joint);
        cr_assert(e->u.change.voters == rows[i].voters, "row %u", i);
        cr_assert(e->u.change.learners == rows[i].learners, "row %u", i);
    }
}

/* Goal: an operator never asks for voters of whom a majority is gone. Method: every change about
 * every node, whatever two nodes are gone: it is asked for unless the majority would be. */
Test(cluster, operator_goes_by_health) {
    uint32_t asked_for = 0, refrained = 0;
    for (node_id a = 1; a <= 6; a++)
        for (node_id b = a; b <= 6; b++)
            for (uint32_t kind = VOTER; kind < REPLACE; kind++)
                for (node_id id = 1; id <= 6; id++) {
                    if (a == 2 || b == 2) continue; /* The leader is needed. */
                    begin();
                    stop_all(node_bit(a) | node_bit(b));
                    choose(kind, id);
                    occasion(2);
                    bool adds = kind == VOTER || kind == VOTER_JOINT;
                    node_set voters = adds ? 0x1e | node_bit(id) : without(0x1e, id);
                    bool is_healthy = node_is_majority(voters, voters & ~world->gone);
                    cr_assert(heard_count == is_healthy, "%u about n%u", kind, id);
                    asked_for += is_healthy;
                    refrained += !is_healthy;
                }
    cr_assert(asked_for > 100 && refrained > 20, "%u, %u", asked_for, refrained);
}

/* Goal: a wish that has become unhealthy is given up. Method: it is refused, two of its voters
 * stop, or none; then the leader would accept it. */
Test(cluster, unhealthy_wish_is_given_up) {
    for (uint32_t is_sick = 0; is_sick < 2; is_sick++) {
        begin();
        choose(REMOVE, 1);
        stages[2].effects.refused = true;
        cr_assert(*occasion(2) == 'c');
        if (is_sick) stop_all(node_bit(3) | node_bit(4));
        choose(0, 1);
        occasion(2);
        cr_assert(heard_count == !is_sick);
    }
}

/* ---- machines ---- */

/* Nodes 4 and 5 were removed, of which only node 4 has a term on its disk; id 6 was never used. */
static void begin_removed(uint32_t wipe_same_id) {
    struct cluster_config config = quiet(4);
    config.spares = 2;
    config.reserve = 1;
    config.operator_us = OCCASION_US;
    config.wipe_same_id = wipe_same_id;
    stage_begin(config);
    order_write(4, 1);
    poke(4);
    stages[2].view.role = NODE_LEADER;
    order_change(2, 1, (struct node_members){.voters = 0xe});
    poke(2);
    run_for(OCCASION_US);
    stages[2].view.commit = 1;
    poke(2);
    cr_assert(world->disks[4].term == 1 && world->disks[5].term == 0);
    cr_assert(world->gone == node_bit(6) && !world->processes[6].is_alive);
    choose(VOTER, 5);
    forced[CHOICE_RENEW] = 1;
}

static const char *renewal(void) {
    heard_count = 0;
    const char *what = facts(happen_now(EVENT_OPERATOR, 0));
    cr_assert(heard_count == 0, "nothing else is asked for");
    return what;
}

/* Goal: a removed machine comes back under an id that was never used, and its old one does not.
 * Method: it is renewed; then another one is removed, for which no id is left: a node that has
 * stopped lends its id to nobody. */
Test(cluster, removed_machine_gets_a_new_id) {
    begin_removed(0);
    cr_assert_str_eq(renewal(), "crash start");
    cr_assert(world->counts[SOMETIMES_RENEWED] == 1 && world->gone == node_bit(4));
    cr_assert(world->processes[6].is_alive && stages[6].view.term == 0);
    order_write(5, 1);
    poke(5);
    run_for(SYNC_US);
    cr_assert(world->disks[5].term == 1);
    cr_assert_str_eq(renewal(), "");
    run_for(QUIET_US / 2);
    cr_assert(!world->processes[4].is_alive && world->processes[5].is_alive);
    cr_assert(world->counts[SOMETIMES_RENEWED] == 1 && world->gone == node_bit(4));
}

/* Goal: only what is removed is renewed. Method: the removal is not committed, or the machine never
 * took part. */
Test(cluster, members_keep_their_machines) {
    begin_removed(0);
    world->processes[2].view.commit = 0;
    cr_assert_str_eq(renewal(), "");
    world->processes[2].view.commit = 1;
    world->disks[4].term = 0;
    cr_assert_str_eq(renewal(), "");
    cr_assert(world->gone == node_bit(6) && world->counts[SOMETIMES_RENEWED] == 0);
}

/* Goal: the named sin: a removed machine is wiped and comes back under its old id. Method: it is
 * alive, or down. */
Test(cluster, wiped_machine_keeps_its_id_if_asked_to) {
    for (uint32_t is_down = 0; is_down < 2; is_down++) {
        begin_removed(1);
        if (is_down) crash_now(4);
        cr_assert_str_eq(renewal(), is_down ? "wipe" : "crash wipe");
        cr_assert(world->disks[4].term == 0 && world->gone == node_bit(6));
        run_for(DOWN_US);
        cr_assert(world->processes[4].is_alive && world->counts[SOMETIMES_RENEWED] == 0);
    }
}

/* Goal: the calm phase has no operator, and a configuration may have none. Method: what is pending.
 */
Test(cluster, operator_leaves_in_the_end) {
    begin();
    cr_assert(pending(EVENT_OPERATOR, 0) > 0);
    cluster_calm(world);
    cr_assert(pending(EVENT_OPERATOR, 0) == 0);
    stage_begin(quiet(3));
    cr_assert(pending(EVENT_OPERATOR, 0) == 0);
}
