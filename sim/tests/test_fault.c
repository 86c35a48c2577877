/* test_fault.c - chosen faults hit just where they say, and the calm phase ends them all: actors in
 * a world of random or forced choices, of which a twin tells what must come. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"
#include "fault.h"

/* ---- faults ---- */

/* The twin of the faults: reads the choices of one occasion in order and says what they mean. */
struct twin {
    const struct choice_list *list;
    size_t position;
    node_id leader; /* 0: nobody leads. */
    node_set cut[NODE_MAX + 1], gone;
    uint32_t paused, hung, crashed, crash_point;
    uint64_t pause_us, hang_us;
};

/* The next choice, which is one of that label. */
static uint32_t answer(struct twin *t, enum choice_label label) {
    cr_assert(t->position < t->list->count);
    const struct choice *item = &t->list->items[t->position++];
    cr_assert(item->label == label, "%s, not %s", choice_label_name((enum choice_label)item->label),
              choice_label_name(label));
    return item->value;
}

static node_id aimed(struct twin *t, uint32_t chosen) {
    bool means_leader = t->leader != 0 && answer(t, CHOICE_VICTIM) != 0;
    return means_leader ? t->leader : (node_id)chosen;
}

/* Whom the fault hits; 0: nobody. */
static uint32_t victim(struct twin *t, enum choice_label label) {
    uint32_t chosen = answer(t, label);
    uint32_t id = chosen != 0 ? aimed(t, chosen) : 0;
    return id != 0 && world->processes[id].is_alive ? id : 0;
}

static void read_partition(struct twin *t) {
    static struct network network;
    uint32_t n = cluster_count(world);
    if (answer(t, CHOICE_HEAL) != 0) memset(t->cut, 0, sizeof t->cut);
    uint32_t shape = answer(t, CHOICE_PARTITION);
    if (shape == 0) return;
    memcpy(network.cut, t->cut, sizeof t->cut);
    node_id first = aimed(t, 1 + answer(t, CHOICE_PARTITION_NODE));
    node_id second = (node_id)(1 + answer(t, CHOICE_PARTITION_NODE));
    node_set side = 0;
    if (shape == NETWORK_HALVES + 1 || shape == NETWORK_BRIDGE + 1)
        for (uint32_t id = 1; id <= n; id++)
            if (answer(t, CHOICE_PARTITION_NODE) != 0) side |= node_bit((node_id)id);
    network_partition(&network, (enum network_shape)(shape - 1), (node_id)n, first, second, side);
    memcpy(t->cut, network.cut, sizeof t->cut);
}

/* Of five or more voters, two may be gone, if the spares are not counted. */
static bool may_stop(const struct twin *t, uint32_t id) {
    node_set voters = cluster_voters(world);
    return node_is_majority(voters, voters & ~t->gone & ~node_bit((node_id)id));
}

/* REQUIRES: all nodes were alive before the occasion. */
static void read_occasion(struct twin *t) {
    read_partition(t);
    t->paused = victim(t, CHOICE_PAUSE);
    if (t->paused != 0) t->pause_us = 1 + answer(t, CHOICE_PAUSE_TIME);
    t->hung = victim(t, CHOICE_HANG);
    if (t->hung != 0) t->hang_us = 1 + answer(t, CHOICE_HANG_TIME);
    t->crashed = victim(t, CHOICE_CRASH);
    if (t->crashed != 0) t->crash_point = answer(t, CHOICE_CRASH_POINT);
}

static bool crashes_now(const struct twin *t, uint32_t id) {
    return id != 0 && id == t->crashed && t->crash_point == 0;
}

static void check_process(const struct twin *t, uint32_t id) {
    const struct process *p = &world->processes[id];
    bool is_dead = crashes_now(t, id);
    cr_assert(p->is_alive == !is_dead);
    if (is_dead) return;
    cr_assert(p->crash_before == (id == t->crashed ? t->crash_point : 0));
    cr_assert(p->resume_us == (id == t->paused ? world->clock_us + t->pause_us : 0));
    cr_assert(p->hung_us == (id == t->hung ? world->clock_us + t->hang_us : 0));
}

/* All nodes live, nothing else is due, and some seeds have a leader. */
static void begin_occasion(struct twin *t, uint64_t seed) {
    memset(world->counts, 0, sizeof world->counts);
    world->queue.count = 0;
    t->position = 0;
    t->leader = seed % 2 == 0 ? 0 : (node_id)(1 + seed / 2 % cluster_count(world));
    t->crashed = t->crash_point = 0;
    for (uint32_t id = 1; id <= cluster_count(world); id++) {
        struct process *p = &world->processes[id];
        p->is_alive = true;
        p->crash_before = 0;
        p->resume_us = p->hung_us = 0;
        p->view.role = id == t->leader ? NODE_LEADER : NODE_FOLLOWER;
    }
}

/* Goal: a fault is what was chosen, where it was chosen. Method: random occasions; their choices,
 * as recorded, are read back in order and tell which links are cut, who pauses, whose disk hangs,
 * and who crashes, and when. With a leader, half of them mean it. */
Test(cluster, faults_hit_as_chosen) {
    struct choice items[128];
    struct choice_odds odds;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) odds.odds[i] = CHOICE_UNIFORM;
    odds.odds[CHOICE_STOP] = CHOICE_NEVER;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct cluster_config config = quiet(3 + (uint32_t)(seed % 7));
        config.spares = (uint32_t)(seed / 7 % 3);
        stage_begin(config);
        struct choice_list list = {.items = items, .capacity = 128};
        choices_random(&stage_choices, seed, &odds, &list);
        struct twin twin = {.list = &list};
        for (uint32_t occasion = 0; occasion < 3; occasion++) {
            list.count = 0;
            begin_occasion(&twin, seed);
            bool is_alive[NODE_MAX + 1];
            const char *what = facts(fault_now());
            for (uint32_t id = 1; id <= cluster_count(world); id++) {
                is_alive[id] = world->processes[id].is_alive;
                world->processes[id].is_alive = true; /* As it was when the choices were taken. */
            }
            read_occasion(&twin);
            for (uint32_t id = 1; id <= cluster_count(world); id++)
                world->processes[id].is_alive = is_alive[id];
            cr_assert_str_eq(what, crashes_now(&twin, twin.crashed) ? "crash" : "");
            cr_assert(memcmp(twin.cut, world->network.cut, sizeof twin.cut) == 0);
            for (uint32_t id = 1; id <= cluster_count(world); id++) check_process(&twin, id);
        }
    }
}

/* Goal: nodes stop for good, but never so many that nothing could go on. Method: each occasion
 * chooses a node that shall stop, in turn: it does, and does not restart, as long as those that go
 * on are a majority of the voters. */
Test(cluster, nodes_stop_for_good) {
    for (uint32_t n = 1; n <= 9; n++) {
        struct cluster_config config = quiet(n);
        config.spares = 1;
        stage_begin(config);
        struct twin twin = {0};
        for (uint32_t id = 1; id <= n + 1; id++) {
            forced[CHOICE_STOP] = id;
            bool may = may_stop(&twin, id);
            cr_assert_str_eq(facts(fault_now()), may ? "crash" : "", "n%u of %u", id, n);
            if (may) twin.gone |= node_bit((node_id)id);
            cr_assert(world->gone == twin.gone);
            cr_assert(pending(EVENT_RESTART, id) == 0);
        }
        run_for(QUIET_US / 2);
        for (uint32_t id = 1; id <= n + 1; id++)
            cr_assert(world->processes[id].is_alive == !(twin.gone >> id & 1));
    }
}

/* Goal: a pause ends, however often a node is paused. Method: a second pause before the end of the
 * first, and one at its end. */
Test(cluster, a_pause_is_not_prolonged) {
    stage_begin(quiet(3));
    fault_pause(world, 1);
    uint64_t end_us = world->processes[1].resume_us;
    cr_assert(end_us > world->clock_us && world->counts[SOMETIMES_PAUSE] == 1);
    world->clock_us = end_us - 1;
    fault_pause(world, 1);
    cr_assert(world->processes[1].resume_us == end_us && world->counts[SOMETIMES_PAUSE] == 1);
    world->clock_us = end_us;
    fault_pause(world, 1);
    cr_assert(world->processes[1].resume_us > end_us && world->counts[SOMETIMES_PAUSE] == 2);
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
