/* test_fault.c - chosen faults hit just where they say, and the calm phase ends them all: actors in
 * a world of random or forced choices, of which a twin tells what must come. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"

/* ---- faults ---- */

/* The twin of the faults: what the choices of one occasion say. */
struct verdict {
    node_set cut[NODE_MAX + 1];
    uint32_t paused, crashed, crash_point;
    uint64_t pause_us;
};

static uint32_t value_of(const struct choice_list *list, uint32_t label, uint32_t nth) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].label == label && nth-- == 0) return list->items[i].value;
    return 0;
}

/* A partition takes two nodes, and one with sides a side for each node. */
static void check_partition_choices(const struct choice_list *list, uint32_t chosen, uint32_t n) {
    uint32_t nodes = 0, sides = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct choice *item = &list->items[i];
        if (item->label != CHOICE_PARTITION_NODE) continue;
        if (nodes < 2) nodes += item->bound == n;
        else sides += item->bound == 2 && item->subject == sides + 1;
    }
    bool has_sides = chosen == NETWORK_HALVES + 1 || chosen == NETWORK_BRIDGE + 1;
    cr_assert(nodes == (chosen == 0 ? 0 : 2) && sides == (has_sides ? n : 0));
}

/* Of CHOICE_PARTITION_NODE, the first two are the nodes; then come the sides, node by node. */
static void judge_partition(const struct choice_list *list, struct verdict *v) {
    static struct network network;
    uint32_t shape = value_of(list, CHOICE_PARTITION, 0), n = cluster_count(world);
    check_partition_choices(list, shape, n);
    memcpy(network.cut, v->cut, sizeof v->cut);
    if (value_of(list, CHOICE_HEAL, 0) != 0) network_heal(&network);
    node_set side = 0;
    for (uint32_t id = 1; id <= n; id++)
        if (value_of(list, CHOICE_PARTITION_NODE, id + 1) != 0) side |= node_bit((node_id)id);
    if (shape != 0)
        network_partition(&network, (enum network_shape)(shape - 1), (node_id)n,
                          (node_id)(1 + value_of(list, CHOICE_PARTITION_NODE, 0)),
                          (node_id)(1 + value_of(list, CHOICE_PARTITION_NODE, 1)), side);
    memcpy(v->cut, network.cut, sizeof v->cut);
}

static void check_occasion(const struct choice_list *list, struct verdict *v,
                           const struct change *change) {
    judge_partition(list, v);
    cr_assert(memcmp(v->cut, world->network.cut, sizeof v->cut) == 0);
    uint32_t shape = value_of(list, CHOICE_PARTITION, 0);
    for (uint32_t i = 0; i < NETWORK_SHAPE_COUNT; i++)
        cr_assert(world->counts[SOMETIMES_HALVES + i] == (i + 1 == shape));
    uint32_t paused = value_of(list, CHOICE_PAUSE, 0), crashed = value_of(list, CHOICE_CRASH, 0);
    uint32_t point = value_of(list, CHOICE_CRASH_POINT, 0);
    bool is_crash = crashed != 0 && point == 0;
    cr_assert_str_eq(facts(change), is_crash ? "crash" : "");
    if (is_crash) cr_assert(change->facts[0].node == crashed);
    for (uint32_t id = 1; id <= cluster_count(world); id++) {
        const struct process *p = &world->processes[id];
        bool is_dead = is_crash && id == crashed;
        cr_assert(p->is_alive == !is_dead);
        cr_assert(p->crash_before == (id == crashed ? point : 0));
        uint64_t resume_us = world->clock_us + 1 + value_of(list, CHOICE_PAUSE_TIME, 0);
        cr_assert(p->resume_us == (id == paused && !is_dead ? resume_us : 0));
    }
}

/* Goal: a fault is what was chosen, where it was chosen. Method: random occasions; their choices,
 * as recorded, are read back and tell which links are cut, who pauses and who crashes, and when. */
Test(cluster, faults_hit_as_chosen) {
    struct choice items[64];
    struct choice_odds odds;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) odds.odds[i] = CHOICE_UNIFORM;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct cluster_config config = quiet(3 + (uint32_t)(seed % 7));
        config.spares = (uint32_t)(seed / 7 % 3);
        stage_begin(config);
        struct choice_list list = {.items = items, .capacity = 64};
        choices_random(&stage_choices, seed, &odds, &list);
        struct verdict verdict = {0};
        for (uint32_t occasion = 0; occasion < 3; occasion++) {
            list.count = 0;
            memset(world->counts, 0, sizeof world->counts);
            world->queue.count = 0; /* Nothing else is due. */
            for (uint32_t id = 1; id <= cluster_count(world); id++) {
                world->processes[id].is_alive = true;
                world->processes[id].crash_before = 0;
                world->processes[id].resume_us = 0;
            }
            check_occasion(&list, &verdict, fault_now());
        }
    }
}

/* Goal: the dead are left alone. Method: a crash and a pause of a node that is down change nothing.
 */
Test(cluster, faults_spare_the_dead) {
    stage_begin(quiet(3));
    crash_now(2);
    forced[CHOICE_CRASH] = 2;
    forced[CHOICE_CRASH_POINT] = 3;
    forced[CHOICE_PAUSE] = 2;
    cr_assert_str_eq(facts(fault_now()), "");
    cr_assert(world->processes[2].crash_before == 0 && world->processes[2].resume_us == 0);
    cr_assert(pending(EVENT_RESTART, 2) == DOWN_US);
}

/* ---- the calm phase ---- */

/* Those who should be outside: the lowest of them, as long as the others are a quorum. */
static node_set expected_core(uint32_t nodes) {
    node_set core = cluster_voters(world);
    for (uint32_t id = 1; id <= nodes; id++)
        if ((outside >> id & 1) && (uint32_t)__builtin_popcountll(core) * 2 - 2 > nodes)
            core &= ~node_bit((node_id)id);
    return core;
}

static void check_core(uint32_t nodes, node_set core) {
    cr_assert(world->core == core && (uint32_t)__builtin_popcountll(core) * 2 > nodes);
    for (uint32_t s = 1; s <= nodes; s++)
        for (uint32_t t = 1; t <= nodes; t++) {
            bool is_linked = s == t || ((core >> s & 1) && (core >> t & 1));
            cr_assert(network_is_cut(&world->network, (node_id)s, (node_id)t) == !is_linked,
                      "%u to %u of %u", s, t, nodes);
        }
}

/* Faults of all kinds at once: a partition, one node dead, one paused, one about to crash. */
static void harm(uint32_t nodes) {
    network_partition(&world->network, NETWORK_MUTE, (node_id)nodes, (node_id)nodes, 1, 0);
    network_partition(&world->network, NETWORK_RING, (node_id)nodes, 1, 1, 0);
    forced[CHOICE_DOWN_TIME] = 9000;
    crash_now(1);
    forced[CHOICE_PAUSE] = nodes;
    forced[CHOICE_PAUSE_TIME] = 9000;
    forced[CHOICE_CRASH] = nodes;
    forced[CHOICE_CRASH_POINT] = 4;
    if (nodes > 1) fault_now();
}

/* Goal: once faults end, they end for a quorum at least, and no choice can begin new ones. Method:
 * each number of nodes after faults of all kinds; nobody, everybody or every other one is chosen to
 * stay outside. Whoever is alive again hears a packet once, though all choices say otherwise. */
Test(cluster, calm_ends_all_faults) {
    for (uint32_t n = 1; n <= NODE_MAX; n++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            stage_begin(quiet(n));
            harm(n);
            outside = kind == 0 ? 0 : kind == 1 ? ~(node_set)0 : (node_set)0xaaaaaaaaaaaaaaaa;
            for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) forced[i] = 1;
            cluster_calm(world);
            check_core(n, expected_core(n));
            memset(asked, 0, sizeof asked);
            run_for(0);
            heard_count = 0;
            for (node_id target = 1; target < n; target++) order_packet((node_id)n, target, 1, 0);
            order_write((node_id)n, 1);
            poke((node_id)n);
            run_for(QUIET_US / 2);
            for (uint32_t id = 1; id < n; id++) {
                bool is_linked = (world->core >> n & 1) && (world->core >> id & 1);
                cr_assert_str_eq(heard_by((node_id)id), is_linked ? "receive:1" : "");
            }
            for (uint32_t id = 1; id <= n; id++) cr_assert(world->processes[id].is_alive);
            for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) cr_assert(asked[i] == 0);
            cr_assert(pending(EVENT_FAULT, 0) == 0);
        }
}

/* A core of all three nodes that has done what it must. */
static void settle(void) {
    stage_begin(quiet(3));
    cluster_calm(world);
    world->clients[0].has_written = true;
    for (uint32_t id = 1; id <= 3; id++) {
        struct process *p = &world->processes[id];
        p->applied = 8;
        p->view = (struct node_view){.term = 5, .last = 8, .last_term = 5, .commit = 8};
        if (id == 2) p->view.role = NODE_LEADER;
    }
}

/* Goal: the calm phase ends only when its whole goal is reached. Method: a settled cluster with one
 * thing wrong at a time, at each node of the core; at a node outside of it, nothing matters, nor
 * does a learner who is. Of a transfer and of its configuration, only the leader is asked. */
Test(cluster, settled_needs_every_part_of_the_goal) {
    settle();
    cr_assert(cluster_is_settled(world));
    world->clients[0].has_written = false;
    cr_assert(!cluster_is_settled(world));
    for (uint32_t id = 1; id <= 3; id++)
        for (uint32_t wrong = 0; wrong < 11; wrong++) {
            settle();
            struct process *p = &world->processes[id];
            struct node_view *v = &p->view;
            if (wrong == 0) p->is_alive = false;
            if (wrong == 1) p->applied--;
            if (wrong == 2) v->term--;
            if (wrong == 3) v->last++;
            if (wrong == 4) v->last_term--;
            if (wrong == 5) v->commit--;
            if (wrong == 6) v->role = NODE_FOLLOWER;
            if (wrong == 7) v->transfer = 1;
            if (wrong == 8) stages[id].image.members.outgoing = node_bit(1);
            if (wrong == 9) stages[id].image.members.voters &= ~node_bit(id);
            if (wrong == 10) stages[id].image.members.learners = node_bit(4);
            bool is_fine = wrong == 10 || (wrong >= 6 && id != 2);
            cr_assert(cluster_is_settled(world) == is_fine, "n%u, %u", id, wrong);
            world->core &= ~node_bit((node_id)id);
            cr_assert(cluster_is_settled(world) == (id != 2), "n%u, %u", id, wrong);
        }
}

/* Goal: after an answer in the calm phase the client is content. Method: an answer before it does
 * not count, one in it does; then it proposes no more. */
Test(cluster, calm_client_wants_one_answer) {
    stage_begin(quiet(1));
    for (uint32_t i = 0; i < 2; i++) {
        order_apply(1, i + 1, i + 1);
        stages[1].effects.answer_from = i + 1;
        poke(1);
        cr_assert(world->counts[SOMETIMES_ACKNOWLEDGED] == i + 1);
        cr_assert(world->clients[0].has_written == (i == 1));
        cr_assert_str_eq(ask_client(1), i == 0 ? "propose:1" : "");
        if (i == 0) cluster_calm(world);
    }
}
