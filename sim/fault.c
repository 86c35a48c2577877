/* fault.c - on each occasion, every kind of fault may happen once. */
#include "fault.h"

#include <assert.h>

#include "process.h"

/* A crash happens at once, or before a chosen effect of the node's next step. */
static void crash(struct cluster *c) {
    enum { POINTS_MAX = 8 };
    node_id id = (node_id)choice_take(c->choices, CHOICE_CRASH, 0, cluster_count(c) + 1);
    if (id == 0 || !c->processes[id].is_alive) return;
    c->processes[id].crash_before = choice_take(c->choices, CHOICE_CRASH_POINT, id, POINTS_MAX);
    if (c->processes[id].crash_before == 0) process_crash(c, id);
}

static void pause(struct cluster *c) {
    node_id id = (node_id)choice_take(c->choices, CHOICE_PAUSE, 0, cluster_count(c) + 1);
    if (id == 0 || !c->processes[id].is_alive) return;
    c->counts[SOMETIMES_PAUSE]++;
    c->processes[id].resume_us =
        c->clock_us + 1 + choice_take(c->choices, CHOICE_PAUSE_TIME, id, c->config.pause_us_max);
}

static node_id choose_node(struct cluster *c, uint16_t subject) {
    return (node_id)(1 + choice_take(c->choices, CHOICE_PARTITION_NODE, subject, cluster_count(c)));
}

static void partition(struct cluster *c) {
    uint32_t chosen = choice_take(c->choices, CHOICE_PARTITION, 0, NETWORK_SHAPE_COUNT + 1);
    if (chosen == 0) return;
    enum network_shape shape = (enum network_shape)(chosen - 1);
    node_id first = choose_node(c, 1), second = choose_node(c, 2);
    node_set side = 0;
    if (shape == NETWORK_HALVES || shape == NETWORK_BRIDGE)
        for (node_id id = 1; id <= cluster_count(c); id++)
            if (choice_take(c->choices, CHOICE_PARTITION_NODE, id, 2) != 0) side |= node_bit(id);
    network_partition(&c->network, shape, (node_id)cluster_count(c), first, second, side);
    static_assert((int)SOMETIMES_ONE_WAY - (int)SOMETIMES_HALVES == (int)NETWORK_ONE_WAY,
                  "the shapes stand in the same order");
    c->counts[(int)SOMETIMES_HALVES + (int)shape]++;
}

static void heal(struct cluster *c) {
    if (choice_take(c->choices, CHOICE_HEAL, 0, 2) == 0) return;
    c->counts[SOMETIMES_HEAL]++;
    network_heal(&c->network);
}

void fault_occasion(struct cluster *c) {
    assert(!c->is_calm);
    heal(c);
    partition(c);
    pause(c);
    crash(c);
}
