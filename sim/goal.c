/* goal.c - the stages of the calm phase. */
#include "goal.h"

#include <assert.h>

#include "calm.h"
#include "client.h"
#include "process.h"

/* The core may take this many of the longest election timeouts to settle, and of the times after
 * which clients ask again: for a session, a command and a read. The number is high because a node
 * with an outdated configuration and no pre-vote may campaign more often than the one that can win,
 * which then needs luck: 30 were too few for `raftsim run --seed 9573 --nodes 3..7` at d591e9c. */
enum { SETTLE_ELECTIONS = 120, SETTLE_RETRIES = 4 };
/* Longest election timeouts for which a leader must stay, and in which it must have handed over. */
enum { STAY_ELECTIONS = 8, HANDOVER_ELECTIONS = 2 };

/* Slow clocks and their timers take longer by up to `drift` per mille. */
static uint64_t elections_us(const struct cluster *c, uint32_t count) {
    enum { PER_MILLE = 1000 };
    return (uint64_t)count * c->config.election_us_max * (PER_MILLE + c->config.drift) / PER_MILLE;
}

/* A paused or delayed event may come first, or one of a node that was blocked by its disk. */
static uint64_t lateness_us(const struct cluster *c) {
    return (uint64_t)c->config.pause_us_max + c->config.hang_us_max + c->config.delay_us_max +
           c->config.latency_us_max;
}

static void begin_settle(struct cluster *c) {
    c->goal.stage = GOAL_SETTLE;
    c->goal.due_us = c->clock_us + elections_us(c, SETTLE_ELECTIONS) +
                     (uint64_t)SETTLE_RETRIES * c->config.retry_us + lateness_us(c);
}

void goal_begin(struct cluster *c) {
    struct goal *g = &c->goal;
    bool has_transfers = (c->impl->supports & NODE_HAS_TRANSFERS) != 0;
    *g = (struct goal){0};
    g->has_stay = choice_take(c->choices, CHOICE_STAY, 0, 2) != 0;
    if (has_transfers)
        g->target = (node_id)choice_take(c->choices, CHOICE_HANDOVER, 0, cluster_count(c) + 1);
    g->has_handover = g->target != 0;
    begin_settle(c);
}

/* The target becomes leader if its log has room for the no-op, and if it is a voter that can be
 * reached. Another voter of the core takes the place of one that is not. */
static node_id find_target(const struct cluster *c) {
    const struct goal *g = &c->goal;
    struct node_members m;
    c->impl->members(cluster_node_const(c, g->leader), &m);
    node_set able = m.voters & c->core & ~node_bit(g->leader);
    const struct node_view *v = cluster_view(c, g->leader);
    if (able == 0 || v->last - v->snapshot.index >= c->impl->log_max / 2) return 0;
    return able >> g->target & 1 ? g->target : (node_id)__builtin_ctzll(able);
}

static void begin_handover(struct cluster *c) {
    struct goal *g = &c->goal;
    g->target = g->has_handover ? find_target(c) : 0;
    g->has_stay = g->has_handover = false;
    g->stage = g->target != 0 ? GOAL_HANDOVER : GOAL_REACHED;
    if (g->target == 0) return;
    g->due_us = c->clock_us + elections_us(c, HANDOVER_ELECTIONS);
    process_reschedule(c, 0, EVENT_OPERATOR, 0);
}

static void begin_stay(struct cluster *c) {
    struct goal *g = &c->goal;
    g->leader = cluster_leader(c, c->core);
    g->term = cluster_view(c, g->leader)->term;
    if (!g->has_stay) {
        begin_handover(c);
        return;
    }
    g->stage = GOAL_STAY;
    g->due_us = c->clock_us + elections_us(c, STAY_ELECTIONS);
}

/* What has settled goes on only after a quiet time, in which what was removed is shut down and the
 * last packets of the trouble before it arrive. */
static void attend_settle(struct cluster *c) {
    struct goal *g = &c->goal;
    if (!cluster_is_settled(c)) return;
    bool has_more = g->has_stay || g->has_handover;
    if (!has_more) {
        g->stage = GOAL_REACHED;
        return;
    }
    if (!g->has_settled) {
        g->has_settled = true;
        g->quiet_us = c->clock_us + elections_us(c, 1);
        process_reschedule(c, 0, EVENT_OPERATOR, 0);
    } else if (c->clock_us >= g->quiet_us) {
        begin_stay(c);
    }
}

void cluster_attend_goal(struct cluster *c) {
    struct goal *g = &c->goal;
    switch (g->stage) {
    case GOAL_SETTLE: attend_settle(c); return;
    case GOAL_STAY:
        if (c->clock_us <= g->due_us) return;
        c->counts[SOMETIMES_STAY]++;
        begin_handover(c);
        return;
    case GOAL_HANDOVER:
        if (!g->is_asked || cluster_view(c, g->target)->role != NODE_LEADER) return;
        c->counts[SOMETIMES_HANDOVER]++;
        begin_settle(c);
        return;
    case GOAL_REACHED: return;
    }
    assert(false);
}

static void ask_for_handover(struct cluster *c) {
    struct goal *g = &c->goal;
    const struct node_view *v = cluster_view(c, g->leader);
    const void *node = cluster_node_const(c, g->leader);
    if (v->role != NODE_LEADER) return; /* The check of stability has judged that. */
    if (c->impl->progress(node, g->target).match < v->last) {
        process_schedule(c, 0, EVENT_OPERATOR, c->config.heartbeat_us);
        return;
    }
    struct node_event event = {.type = NODE_TRANSFER};
    event.u.target = g->target;
    g->is_asked = true;
    g->due_us = c->clock_us + elections_us(c, HANDOVER_ELECTIONS);
    process_step(c, g->leader, &event);
    g->is_refused = c->effects.refused;
}

void goal_occasion(struct cluster *c) {
    if (c->goal.stage == GOAL_HANDOVER && !c->goal.is_asked) ask_for_handover(c);
    if (c->goal.stage != GOAL_SETTLE) return;
    if (cluster_is_settled(c)) calm_retire_others(c);
    else c->goal.has_settled = false; /* It was disturbed: another quiet time is needed. */
}
