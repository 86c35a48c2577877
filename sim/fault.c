/* fault.c - on each occasion, every kind of fault may happen once. */
#include "fault.h"

#include <assert.h>

#include "process.h"
#include "survey.h"

/* ---- the faults ---- */

void fault_crash(struct cluster *c, node_id id) {
    if (c->processes[id].is_alive) process_crash(c, id);
}

/* A node that is paused already must go on first: else the only node might never take a step. */
void fault_pause(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    if (!p->is_alive || p->resume_us > c->clock_us) return;
    c->counts[SOMETIMES_PAUSE]++;
    uint32_t more = choice_take(c->choices, CHOICE_PAUSE_TIME, id, c->config.pause_us_max);
    p->resume_us = c->clock_us + 1 + more;
}

void fault_isolate(struct cluster *c, node_id id) {
    c->counts[SOMETIMES_ISOLATE]++;
    network_isolate(&c->network, (node_id)cluster_count(c), id);
}

/* ---- whom they hit ---- */

/* Faults of the newest leader find more bugs than those of any node. */
static node_id aim(struct cluster *c, node_id chosen) {
    node_id leader = cluster_leader(c, cluster_ids(c));
    if (leader == 0 || choice_take(c->choices, CHOICE_VICTIM, chosen, 2) == 0) return chosen;
    return leader;
}

/* The node that the fault hits; 0: none, for it is not chosen or that node is down. */
static node_id choose_victim(struct cluster *c, enum choice_label label) {
    node_id id = (node_id)choice_take(c->choices, label, 0, cluster_count(c) + 1);
    if (id != 0) id = aim(c, id);
    return id != 0 && c->processes[id].is_alive ? id : 0;
}

/* ---- an occasion ---- */

/* A crash happens at once, or before a chosen effect of the node's next step. */
static void crash(struct cluster *c) {
    enum { POINTS_MAX = 8 };
    node_id id = choose_victim(c, CHOICE_CRASH);
    if (id == 0) return;
    c->processes[id].crash_before = choice_take(c->choices, CHOICE_CRASH_POINT, id, POINTS_MAX);
    if (c->processes[id].crash_before == 0) process_crash(c, id);
}

static void pause(struct cluster *c) {
    node_id id = choose_victim(c, CHOICE_PAUSE);
    if (id != 0) fault_pause(c, id);
}

/* A disk that hangs already must work again first: else the only node might never take a step. */
static void hang(struct cluster *c) {
    node_id id = choose_victim(c, CHOICE_HANG);
    if (id == 0 || c->processes[id].hung_us > c->clock_us) return;
    uint32_t more = choice_take(c->choices, CHOICE_HANG_TIME, id, c->config.hang_us_max);
    process_hang(c, id, c->clock_us + 1 + more);
}

/* A node stops for good only where those that go on still hold a quorum of all that matters. */
static void stop(struct cluster *c) {
    node_id id = choose_victim(c, CHOICE_STOP);
    if (id == 0) return;
    node_set others = cluster_ids(c) & ~c->gone & ~node_bit(id);
    if (!survey_cluster(c, others).is_quorum) return;
    c->counts[SOMETIMES_STOPPED]++;
    process_stop(c, id);
}

static node_id choose_node(struct cluster *c, uint16_t subject) {
    return (node_id)(1 + choice_take(c->choices, CHOICE_PARTITION_NODE, subject, cluster_count(c)));
}

static enum sometimes shape_count(enum network_shape shape) {
    static_assert((int)SOMETIMES_ONE_WAY - (int)SOMETIMES_HALVES == (int)NETWORK_ONE_WAY,
                  "the shapes stand in the same order");
    return (enum sometimes)((int)SOMETIMES_HALVES + (int)shape);
}

static void partition(struct cluster *c) {
    uint32_t chosen = choice_take(c->choices, CHOICE_PARTITION, 0, NETWORK_SHAPE_COUNT + 1);
    if (chosen == 0) return;
    enum network_shape shape = (enum network_shape)(chosen - 1);
    node_id first = aim(c, choose_node(c, 1)), second = choose_node(c, 2);
    node_set side = 0;
    if (shape == NETWORK_HALVES || shape == NETWORK_BRIDGE)
        for (node_id id = 1; id <= cluster_count(c); id++)
            if (choice_take(c->choices, CHOICE_PARTITION_NODE, id, 2) != 0) side |= node_bit(id);
    network_partition(&c->network, shape, (node_id)cluster_count(c), first, second, side);
    c->counts[shape_count(shape)]++;
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
    hang(c);
    crash(c);
    stop(c);
}
