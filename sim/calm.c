/* calm.c - the phase after the faults: its core, its end, and who leaves. */
#include "calm.h"

#include <assert.h>

#include "client.h"
#include "process.h"

/* ---- the log of a node: in memory, or what it will start from ---- */

static uint64_t base_of(const struct cluster *c, node_id id) {
    bool is_alive = c->processes[id].is_alive;
    return is_alive ? cluster_view(c, id)->snapshot.index : c->disks[id].snapshot.index;
}

static uint64_t last_of(const struct cluster *c, node_id id) {
    return c->processes[id].is_alive ? cluster_view(c, id)->last : disk_last(&c->disks[id]);
}

static uint64_t commit_of(const struct cluster *c, node_id id) {
    return c->processes[id].is_alive ? cluster_view(c, id)->commit : base_of(c, id);
}

static struct node_entry entry_of(const struct cluster *c, node_id id, uint64_t index) {
    if (c->processes[id].is_alive) return c->impl->entry(cluster_node_const(c, id), index);
    return c->disks[id].entries[index - base_of(c, id) - 1];
}

/* As of the snapshot. A node that joined has none, and then the log from its beginning. */
static struct node_members base_members(const struct cluster *c, node_id id) {
    struct node_image image = c->disks[id].image;
    if (c->processes[id].is_alive) c->impl->image(cluster_node_const(c, id), &image);
    if (image.members.voters == 0) image.members.voters = cluster_voters(c);
    return image.members;
}

static struct node_members members_at(const struct cluster *c, node_id id, uint64_t index) {
    for (; index > base_of(c, id); index--) {
        struct node_entry entry = entry_of(c, id, index);
        if (entry.type == NODE_MEMBERS) return entry.members;
    }
    return base_members(c, id);
}

/* ---- the configurations that still matter ---- */

struct survey {
    node_set core;  /* Does it hold a quorum of each? */
    bool is_quorum; /* It does. */
    node_set named; /* All nodes of all of them. */
};

static void survey_members(struct survey *s, const struct node_members *m) {
    s->named |= node_members_all(m);
    s->is_quorum = s->is_quorum && node_is_quorum(m, s->core);
}

/* The last one that any node knows to be committed, and all that follow in any log. Those before
 * it count no more: a log that ends with one of them wins no election. */
static struct survey survey_all(const struct cluster *c, node_set core) {
    struct survey s = {.core = core, .is_quorum = true};
    node_id ahead = 1;
    for (node_id id = 2; id <= cluster_count(c); id++)
        if (commit_of(c, id) > commit_of(c, ahead)) ahead = id;
    uint64_t commit = commit_of(c, ahead);
    struct node_members committed = members_at(c, ahead, commit);
    survey_members(&s, &committed);
    for (node_id id = 1; id <= cluster_count(c); id++)
        for (uint64_t i = commit + 1; i <= last_of(c, id); i++) {
            struct node_entry entry = entry_of(c, id, i);
            if (entry.type == NODE_MEMBERS) survey_members(&s, &entry.members);
        }
    return s;
}

/* ---- the core ---- */

/* A packet may hold a configuration that is in no log any more, since its sender crashed: whoever
 * took it could then need a node outside the core. */
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
 * every quorum. */
static void choose_core(struct cluster *c) {
    node_set named = survey_all(c, 0).named & cluster_ids(c);
    c->core = named;
    for (node_id id = 1; id <= cluster_count(c); id++) {
        node_set rest = c->core & ~node_bit(id);
        if (rest == c->core || choice_take(c->choices, CHOICE_CORE, id, 2) == 0) continue;
        if (survey_all(c, rest).is_quorum) c->core = rest;
    }
    for (node_id id = 1; id <= cluster_count(c); id++)
        if (!(c->core >> id & 1)) network_isolate(&c->network, (node_id)cluster_count(c), id);
    if (c->core != named) c->counts[SOMETIMES_CORE_PART]++;
}

void cluster_calm(struct cluster *c) {
    assert(!c->is_calm);
    network_heal(&c->network);
    if (c->counts[SOMETIMES_CHANGE] > 0) drop_packets(c);
    choose_core(c);
    c->is_calm = true;
    choice_calm(c->choices);
    queue_remove(&c->queue, event_key(EVENT_FAULT, 0));
    queue_remove(&c->queue, event_key(EVENT_OPERATOR, 0));
    for (node_id id = 1; id <= cluster_count(c); id++) {
        struct process *p = &c->processes[id];
        p->crash_before = 0;
        p->resume_us = 0;
        if (!p->is_alive) process_reschedule(c, id, EVENT_RESTART, 0);
    }
}

/* ---- who leaves ---- */

static void retire(struct cluster *c, node_id id) {
    if (c->processes[id].is_alive) process_crash(c, id);
    queue_remove(&c->queue, event_key(EVENT_RESTART, id));
    c->core &= ~node_bit(id);
    c->counts[SOMETIMES_RETIRED]++;
}

void calm_retire(struct cluster *c) {
    if (c->counts[SOMETIMES_CHANGE] == 0) return;
    node_set named = survey_all(c, c->core).named;
    for (node_set rest = c->core & ~named; rest != 0; rest &= rest - 1)
        retire(c, (node_id)__builtin_ctzll(rest));
}

/* ---- the end ---- */

static node_id core_leader(const struct cluster *c) {
    node_id leader = 0;
    for (node_set rest = c->core; rest != 0; rest &= rest - 1) {
        node_id id = (node_id)__builtin_ctzll(rest);
        const struct process *p = &c->processes[id];
        if (!p->is_alive || cluster_view(c, id)->role != NODE_LEADER) continue;
        if (leader == 0 || cluster_view(c, id)->term > cluster_view(c, leader)->term) leader = id;
    }
    return leader;
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
    node_id leader = core_leader(c);
    if (leader == 0 || cluster_view(c, leader)->transfer != 0) return false;
    struct node_members m;
    c->impl->members(cluster_node_const(c, leader), &m);
    if (m.outgoing != 0 || !(m.voters >> leader & 1)) return false;
    for (node_set rest = c->core & node_members_all(&m); rest != 0; rest &= rest - 1)
        if (!has_converged(c, (node_id)__builtin_ctzll(rest), cluster_view(c, leader)))
            return false;
    return true;
}
