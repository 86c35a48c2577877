/* calm.c - the phase after the faults: its core, its end, and who leaves. */
#include "calm.h"

#include <assert.h>

#include "client.h"
#include "goal.h"
#include "process.h"
#include "survey.h"

/* ---- the core ---- */

/* A packet may hold a configuration that is in no log any more, since its sender crashed: a node
 * that took it could then need one outside the core. And a late one, such as an old leader's wish
 * that a node campaigns, could disturb what has settled. */
static void drop_packets(struct cluster *c) {
    for (uint32_t position = c->queue.count; position-- > 0;) {
        struct event event = queue_at(&c->queue, position);
        if (event_type(event) != EVENT_PACKET) continue;
        queue_take(&c->queue, position);
        network_free(&c->network, event.item);
        c->counts[SOMETIMES_LOSS]++;
    }
}

/* All that still matter, but for those that are chosen to stay outside, as long as the others hold
 * every quorum. Nodes that are gone stay outside, unless they are needed: then all come back. */
static void choose_core(struct cluster *c) {
    node_set named = survey_cluster(c, 0).named & cluster_ids(c);
    if (!survey_cluster(c, named & ~c->gone).is_quorum) c->gone &= ~named;
    c->core = named & ~c->gone;
    for (node_id id = 1; id <= cluster_count(c); id++) {
        node_set rest = c->core & ~node_bit(id);
        if (rest == c->core || choice_take(c->choices, CHOICE_CORE, id, 2) == 0) continue;
        if (survey_cluster(c, rest).is_quorum) c->core = rest;
    }
    if (c->core != named) c->counts[SOMETIMES_CORE_PART]++;
}

/* ---- the others ---- */

static bool has_option(const struct cluster *c, enum node_support feature, uint32_t option) {
    return (c->impl->supports & (uint32_t)feature) != 0 && option == CONFIG_OPTION_ALL;
}

/* Pre-vote and loyalty keep a node that reaches one node of the core only from disturbing it,
 * unless the two are a quorum: then that node may well lead, and the core may not hear of it. */
static void keep_link(struct cluster *c, node_id id) {
    if (!has_option(c, NODE_HAS_PRE_VOTE, c->config.pre_vote)) return;
    if (!has_option(c, NODE_HAS_CHECK_QUORUM, c->config.check_quorum)) return;
    uint32_t count = (uint32_t)__builtin_popcountll(c->core);
    uint32_t nth = choice_take(c->choices, CHOICE_OUTSIDE_LINK, id, count);
    node_set rest = c->core;
    for (; nth > 0; nth--) rest &= rest - 1;
    if (rest == 0 || survey_cluster(c, node_bit(id) | (rest & -rest)).is_any_quorum) return;
    network_join(&c->network, id, (node_id)__builtin_ctzll(rest));
    c->counts[SOMETIMES_OUTSIDE_LINKED]++;
}

/* Requests still reach it. It may even lead at first, until it finds that nothing becomes durable
 * (check-quorum). */
static void keep_hung(struct cluster *c, node_id id) {
    if (!has_option(c, NODE_HAS_CHECK_QUORUM, c->config.check_quorum)) return;
    if (!c->processes[id].is_alive || c->reach != c->core) return; /* There is one already. */
    for (node_set rest = c->core; rest != 0; rest &= rest - 1)
        network_join(&c->network, id, (node_id)__builtin_ctzll(rest));
    c->reach |= node_bit(id);
    process_hang(c, id, UINT64_MAX);
    c->counts[SOMETIMES_OUTSIDE_HUNG]++;
}

static void place_outside(struct cluster *c, node_id id) {
    enum { CUT_OFF, LINKED, HUNG, WAY_COUNT };
    network_isolate(&c->network, (node_id)cluster_count(c), id);
    if (c->gone >> id & 1) return;
    uint32_t way = choice_take(c->choices, CHOICE_OUTSIDE, id, WAY_COUNT);
    if (way == LINKED) keep_link(c, id);
    if (way == HUNG) keep_hung(c, id);
}

/* ---- the beginning ---- */

/* All that is down starts, what is paused goes on, and disks work. */
static void revive(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    p->crash_before = 0;
    p->resume_us = 0;
    p->hung_us = 0;
    if (p->is_alive && p->is_syncing) process_reschedule(c, id, EVENT_SYNC, c->config.sync_us_min);
    if (!p->is_alive && !(c->gone >> id & 1)) process_reschedule(c, id, EVENT_RESTART, 0);
}

void cluster_calm(struct cluster *c) {
    assert(!c->is_calm);
    network_heal(&c->network);
    goal_begin(c);
    if (c->has_changed || c->goal.has_stay || c->goal.has_handover) drop_packets(c);
    choose_core(c);
    c->reach = c->core;
    for (node_id id = 1; id <= cluster_count(c); id++) {
        revive(c, id);
        if (!(c->core >> id & 1)) place_outside(c, id);
    }
    c->is_calm = true;
    choice_calm(c->choices);
    queue_remove(&c->queue, event_key(EVENT_FAULT, 0));
    queue_remove(&c->queue, event_key(EVENT_OPERATOR, 0));
}

/* ---- who leaves ---- */

static void retire(struct cluster *c, node_id id) {
    process_stop(c, id);
    c->core &= ~node_bit(id);
    c->reach &= ~node_bit(id);
    c->counts[SOMETIMES_RETIRED]++;
}

static void retire_all(struct cluster *c, node_set set) {
    for (node_set rest = set; rest != 0; rest &= rest - 1)
        retire(c, (node_id)__builtin_ctzll(rest));
}

void calm_retire(struct cluster *c) {
    if (c->has_changed) retire_all(c, c->core & ~survey_cluster(c, c->core).named);
}

void calm_retire_others(struct cluster *c) {
    struct node_members m;
    c->impl->members(cluster_node_const(c, cluster_leader(c, c->core)), &m);
    retire_all(c, c->core & ~node_members_all(&m));
}

/* ---- the end ---- */

bool calm_needs_proposal(const struct cluster *c) {
    node_id leader = cluster_leader(c, c->reach);
    if (leader == 0) return false;
    bool is_outside = !(c->core >> leader & 1);
    return is_outside || cluster_view(c, leader)->last_term != cluster_view(c, leader)->term;
}

/* It has all that the leader has, committed and applied to the end. */
static bool has_converged(const struct cluster *c, node_id id, const struct node_view *leader) {
    const struct process *p = &c->processes[id];
    const struct node_view *v = cluster_view(c, id);
    return p->is_alive && v->term == leader->term && v->last == leader->last &&
           v->last_term == leader->last_term && v->commit == leader->last &&
           p->applied == leader->last;
}

bool cluster_is_settled(const struct cluster *c) {
    if (!client_all_are_done(c)) return false;
    node_id leader = cluster_leader(c, c->core);
    if (leader == 0 || cluster_view(c, leader)->transfer != 0) return false;
    struct node_members m;
    c->impl->members(cluster_node_const(c, leader), &m);
    if (m.outgoing != 0 || !(m.voters >> leader & 1)) return false;
    for (node_set rest = c->core & node_members_all(&m); rest != 0; rest &= rest - 1)
        if (!has_converged(c, (node_id)__builtin_ctzll(rest), cluster_view(c, leader)))
            return false;
    return true;
}
