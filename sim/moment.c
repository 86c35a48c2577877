/* moment.c - recognizes critical moments by what a step has changed. */
#include "moment.h"

#include <assert.h>

#include "fault.h"
#include "process.h"

/* A moment is about a node, and may concern another one. */
enum moment {
    MOMENT_OFFICE,   /* A node takes office; the other one is an older leader that still leads. */
    MOMENT_TRANSFER, /* A leader begins to hand over to the other one. */
    MOMENT_CHANGE,   /* A leader has appended a configuration, which names the other one anew. */
    MOMENT_INSTALL,  /* A node receives a snapshot from the other one. */
    MOMENT_MINORITY, /* A leader has appended an entry that no other node has. */
    MOMENT_SYNCED,   /* A follower has made entries durable; the leader has not heard of it. */
    MOMENT_NONE
};

static_assert((int)SOMETIMES_MOMENT_SYNCED - (int)SOMETIMES_MOMENT_OFFICE == (int)MOMENT_SYNCED,
              "the counts stand in the same order");

static node_id lowest(node_set set) { return set == 0 ? 0 : (node_id)__builtin_ctzll(set); }

/* A node that the configuration names and the one before it did not. */
static node_id newcomer(struct cluster *c, node_id id) {
    struct node_members m;
    c->impl->members(cluster_node(c, id), &m);
    return lowest(node_members_all(&m) & ~c->processes[id].members_before);
}

static enum moment moment_of_leader(struct cluster *c, node_id id, node_id *other) {
    const struct node_view *before = c->change.before, *after = cluster_view(c, id);
    if (before->role != NODE_LEADER) {
        *other = cluster_leader(c, cluster_ids(c) & ~node_bit(id));
        return MOMENT_OFFICE;
    }
    if (before->transfer != after->transfer && after->transfer != 0) {
        *other = after->transfer;
        return MOMENT_TRANSFER;
    }
    uint64_t from = c->effects.save_from;
    if (from == 0) return MOMENT_NONE;
    if (c->processes[id].members_index < from) return MOMENT_MINORITY;
    *other = newcomer(c, id);
    return MOMENT_CHANGE;
}

static enum moment moment_of(struct cluster *c, node_id id, enum event_type type, node_id *other) {
    *other = 0;
    if (cluster_view(c, id)->role == NODE_LEADER) return moment_of_leader(c, id, other);
    if (c->effects.save_chunk) {
        *other = c->change.source;
        return MOMENT_INSTALL;
    }
    if (type != EVENT_SYNC) return MOMENT_NONE;
    *other = cluster_leader(c, cluster_ids(c) & ~node_bit(id));
    return MOMENT_SYNCED;
}

/* What may go wrong then. */
enum hurt {
    HURT_NOTHING,
    HURT_CRASH,
    HURT_ISOLATE,
    HURT_PAUSE,
    HURT_CRASH_OTHER,
    HURT_ISOLATE_OTHER,
    HURT_PAUSE_OTHER,
    HURT_COUNT
};

static void hurt_node(struct cluster *c, enum hurt hurt, node_id id) {
    switch (hurt) {
    case HURT_CRASH: fault_crash(c, id); return;
    case HURT_ISOLATE: fault_isolate(c, id); return;
    case HURT_PAUSE: fault_pause(c, id); return;
    case HURT_NOTHING:
    case HURT_CRASH_OTHER:
    case HURT_ISOLATE_OTHER:
    case HURT_PAUSE_OTHER:
    case HURT_COUNT: break;
    }
    assert(false);
}

static void hurt_at(struct cluster *c, enum moment moment, enum hurt hurt, node_id id,
                    node_id other) {
    c->counts[(int)SOMETIMES_MOMENT_OFFICE + (int)moment]++;
    if (hurt <= HURT_PAUSE) hurt_node(c, hurt, id);
    else if (other != 0) hurt_node(c, (enum hurt)((int)hurt - (int)HURT_PAUSE), other);
}

/* Packets that have been in flight for long, and would be for long, reach the leader now: they may
 * be answers from a term in which it led before. It is at that moment a new leader, or its log has
 * just grown again to where it ended then. */
static void hasten_packets(struct cluster *c, node_id id) {
    uint64_t soon_us = c->clock_us + c->config.latency_us_max;
    for (uint32_t i = 0; i < c->queue.count; i++) {
        struct event event = queue_at(&c->queue, i);
        if (event.key != event_key(EVENT_PACKET, id) || event.due_us <= soon_us) continue;
        queue_take(&c->queue, i);
        event.due_us = soon_us;
        bool has_room = queue_push(&c->queue, event);
        assert(has_room);
        c->counts[SOMETIMES_HASTENED]++;
    }
}

void moment_attend(struct cluster *c, enum event_type type) {
    node_id id = c->change.node, other;
    if (c->change.effects == NULL || !c->processes[id].is_alive) return;
    enum moment moment = moment_of(c, id, type, &other);
    if (moment == MOMENT_NONE) return;
    bool has_grown = moment == MOMENT_OFFICE || moment == MOMENT_MINORITY;
    if (has_grown && choice_take(c->choices, CHOICE_LATE, id, 2) != 0) hasten_packets(c, id);
    uint32_t hurt = choice_take(c->choices, CHOICE_MOMENT, (uint16_t)moment, HURT_COUNT);
    if (hurt != HURT_NOTHING) hurt_at(c, moment, (enum hurt)hurt, id, other);
}
