/* cluster.c - the world: takes the next event and lets it happen. */
#include "cluster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "calm.h"
#include "client.h"
#include "fault.h"
#include "goal.h"
#include "hash.h"
#include "moment.h"
#include "operator.h"
#include "process.h"

/* Nodes stand one behind the other, whole pages and a bit apart: at whole pages the same fields of
 * all of them would compete for the same few places of the processor's cache. */
static size_t stride_of(size_t size) {
    enum { PAGE = 4096, BIT = 21 * 64 };
    return (size + PAGE - 1) / PAGE * PAGE + BIT;
}

struct cluster *cluster_new(const struct node_impl *impl) {
    struct cluster *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    assert(impl->log_max >= 8 && impl->log_max <= NODE_LOG_MAX);
    c->impl = impl;
    c->stride = stride_of(impl->size);
    c->memory = aligned_alloc(64, c->stride * (NODE_MAX + 1));
    if (c->memory != NULL) return c;
    free(c);
    return NULL;
}

static void stop_all(struct cluster *c) {
    for (node_id id = 1; id <= NODE_MAX; id++) {
        struct process *p = &c->processes[id];
        if (p->has_memory) c->impl->stop(cluster_node(c, id));
        p->has_memory = false;
        p->is_alive = false;
    }
}

void cluster_free(struct cluster *c) {
    if (c == NULL) return;
    stop_all(c);
    free(c->memory);
    free(c);
}

/* ---- the events ---- */

static void receive(struct cluster *c, struct event event) {
    const struct packet *p = network_packet(&c->network, event.item);
    if (!c->processes[event_node(event)].is_alive) {
        c->counts[SOMETIMES_DROP_DEAD]++;
    } else if (network_is_cut(&c->network, p->source, p->target)) {
        c->counts[SOMETIMES_DROP_CUT]++;
    } else {
        struct node_event receive = {.type = NODE_RECEIVE};
        receive.u.packet.source = p->source;
        receive.u.packet.size = p->size;
        receive.u.packet.bytes = p->bytes;
        c->change.received = p->has_promise ? &p->promise : NULL;
        process_step(c, event_node(event), &receive);
    }
    network_free(&c->network, event.item);
}

static void compact(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    p->is_compacting = false;
    struct node_event event = {.type = NODE_COMPACT};
    event.u.compact.index = p->applied;
    event.u.compact.state = p->state;
    event.u.compact.size = c->config.snapshot;
    process_step(c, id, &event);
}

/* In the calm phase the operator asks only for what is a goal of it. */
static void attend_operator(struct cluster *c) {
    if (c->is_calm) {
        goal_occasion(c);
        return;
    }
    operator_occasion(c);
    process_schedule(c, 0, EVENT_OPERATOR, c->config.operator_us);
}

static void happen(struct cluster *c, struct event event) {
    node_id id = event_node(event);
    switch (event_type(event)) {
    case EVENT_PACKET: receive(c, event); return;
    case EVENT_TIMER: process_step(c, id, &(struct node_event){.type = NODE_TIMEOUT}); return;
    case EVENT_SYNC: process_synced(c, id); return;
    case EVENT_RESTART: process_start(c, id); return;
    case EVENT_COMPACT: compact(c, id); return;
    case EVENT_CLIENT: client_occasion(c, event.item); return;
    case EVENT_OPERATOR: attend_operator(c); return;
    case EVENT_FAULT:
        fault_occasion(c);
        process_schedule(c, 0, EVENT_FAULT, c->config.fault_us);
        return;
    }
    assert(false);
}

/* What the event did, into the digest: few words, since every event pays for them. Pre-votes are
 * left out: only a check needs to know when they are granted. */
static void record(struct cluster *c, struct event event) {
    node_id id = c->change.node;
    const struct process *p = &c->processes[id];
    const struct node_view *v = cluster_view(c, id);
    uint32_t fact_count = c->change.fact_count - c->change.prevote_count;
    uint64_t words[] = {
        c->clock_us ^ c->steps << 40,
        (uint64_t)event_type(event) << 56 | (uint64_t)id << 48 | (uint64_t)v->vote << 40 |
            (uint64_t)v->leader << 32 | (uint64_t)v->role << 25 | (uint64_t)p->is_alive << 24 |
            (uint64_t)v->transfer << 16 | (fact_count & 0xffff),
        v->term << 32 ^ v->last << 16 ^ v->commit,
        p->state ^ p->staging.bytes,
    };
    c->digest = hash_words(c->digest, words, sizeof words / sizeof words[0]);
}

static void begin_change(struct cluster *c, node_id id) {
    c->change.node = id;
    c->change.fact_count = 0;
    c->change.prevote_count = 0;
    c->change.effects = NULL;
    c->change.source = 0;
    c->change.received = NULL;
}

static bool has_operator(const struct cluster *c) {
    uint32_t features = NODE_HAS_CHANGES | NODE_HAS_TRANSFERS;
    return c->config.operator_us > 0 && (c->impl->supports & features) != 0;
}

/* Some wait for a leader: the operator for a new one, in the calm phase a removed node for one that
 * commits its removal. */
static void attend_leader(struct cluster *c) {
    const struct node_view *before = c->change.before, *after = cluster_view(c, c->change.node);
    if (c->change.effects == NULL) return;
    bool has_led = before->role == NODE_LEADER;
    if (c->is_calm && has_led && after->commit > before->commit) calm_retire(c);
    if (!c->is_calm && !has_led && after->role == NODE_LEADER && has_operator(c))
        process_reschedule(c, 0, EVENT_OPERATOR, 0);
}

/* A paused process gets the event when it wakes up. One that never does loses it. */
static void postpone(struct cluster *c, struct event event) {
    event.due_us = c->processes[event_node(event)].resume_us;
    if (event.due_us == UINT64_MAX) {
        if (event_type(event) == EVENT_PACKET) network_free(&c->network, event.item);
        return;
    }
    bool has_room = queue_push(&c->queue, event);
    assert(has_room);
}

const struct change *cluster_step(struct cluster *c) {
    uint32_t within = queue_within(&c->queue, c->config.slack_us);
    assert(within > 0);
    struct event event = queue_take(&c->queue, choice_take(c->choices, CHOICE_EVENT, 0, within));
    if (event.due_us > c->clock_us) c->clock_us = event.due_us;
    c->events++;
    begin_change(c, event_node(event));
    if (event_node(event) != 0 && c->processes[event_node(event)].resume_us > c->clock_us) {
        postpone(c, event);
        return &c->change;
    }
    happen(c, event);
    attend_leader(c);
    if (!c->is_calm) moment_attend(c, event_type(event));
    record(c, event);
    return &c->change;
}

node_id cluster_leader(const struct cluster *c, node_set among) {
    node_id leader = 0;
    for (node_set rest = among & cluster_ids(c); rest != 0; rest &= rest - 1) {
        node_id id = (node_id)__builtin_ctzll(rest);
        if (!c->processes[id].is_alive || cluster_view(c, id)->role != NODE_LEADER) continue;
        if (leader == 0 || cluster_view(c, id)->term > cluster_view(c, leader)->term) leader = id;
    }
    return leader;
}

/* ---- the phases ---- */

const struct change *cluster_reset(struct cluster *c, const struct cluster_config *config,
                                   struct choices *choices) {
    assert(config_problem(config) == NULL);
    stop_all(c);
    c->config = *config;
    c->choices = choices;
    c->clock_us = 0;
    c->steps = 0;
    c->term_max = 0;
    c->events = 0;
    c->digest = 0;
    c->is_calm = false;
    c->has_changed = false;
    c->core = cluster_ids(c);
    c->reach = c->core;
    c->gone = 0;
    c->goal = (struct goal){0};
    c->operator_tries = 0;
    memset(c->counts, 0, sizeof c->counts);
    queue_clear(&c->queue);
    network_clear(&c->network);
    begin_change(c, 0);
    for (node_id id = 1; id <= cluster_count(c); id++) {
        if (id <= config->nodes) disk_bootstrap(&c->disks[id], cluster_voters(c));
        else disk_clear(&c->disks[id]);
        c->slowness[id] = choice_take(c->choices, CHOICE_DRIFT, id, config->drift + 1);
        c->processes[id] = (struct process){0};
        if (id > cluster_count(c) - config->reserve) c->gone |= node_bit(id);
        else process_start(c, id);
    }
    client_begin(c);
    process_schedule(c, 0, EVENT_FAULT, config->fault_us);
    if (has_operator(c)) process_schedule(c, 0, EVENT_OPERATOR, config->operator_us);
    return &c->change;
}
