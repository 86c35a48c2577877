/* check_goal.c - what must hold once all is calm: stability, and transfer (D 3.10). */
#include "shadow.h"

/* Only followers, and the leader that the core has settled on. */
static bool is_undisturbed(const struct goal *g, const struct node_view *v, node_id id) {
    if (v->term != g->term) return false;
    return v->role == (id == g->leader ? NODE_LEADER : NODE_FOLLOWER);
}

static void check_stability(struct checks *k, const struct cluster *c, node_id id) {
    const struct goal *g = &c->goal;
    const struct node_view *v = cluster_view(c, id);
    if (!(c->core >> id & 1) || is_undisturbed(g, v, id)) return;
    static const char *const does[] = {[NODE_FOLLOWER] = "follows in",
                                       [NODE_PRECANDIDATE] = "asks for pre-votes in",
                                       [NODE_CANDIDATE] = "asks for votes in",
                                       [NODE_LEADER] = "leads"};
    check_fail(k, c, CHECK_STABILITY,
               "n%u %s term %llu, though n%u leads term %llu and nothing is wrong with it", id,
               does[v->role], (ull)v->term, g->leader, (ull)g->term);
}

/* The target campaigns in the next term, and nobody else does. */
static bool is_handover(const struct goal *g, const struct node_view *v, node_id id) {
    if (v->role == NODE_FOLLOWER) return v->term <= g->term + 1;
    if (id == g->target) return v->term == g->term + 1;
    return v->role == NODE_LEADER && id == g->leader && v->term == g->term;
}

static void check_handover(struct checks *k, const struct cluster *c, node_id id) {
    const struct goal *g = &c->goal;
    const struct node_view *v = cluster_view(c, id);
    if (g->is_refused)
        check_fail(k, c, CHECK_TRANSFER,
                   "n%u leads term %llu and refuses to hand over to n%u, which has all its entries",
                   g->leader, (ull)g->term, g->target);
    if (!(c->core >> id & 1) || is_handover(g, v, id)) return;
    check_fail(k, c, CHECK_TRANSFER,
               "n%u of term %llu hands over to n%u, but n%u campaigns in term %llu", g->leader,
               (ull)g->term, g->target, id, (ull)v->term);
}

void check_goal_step(struct checks *k, const struct cluster *c, node_id id) {
    const struct node_view *v = cluster_view(c, id);
    if (v->transfer != 0 && v->role != NODE_LEADER)
        check_fail(k, c, CHECK_TRANSFER, "n%u does not lead and hands over to n%u", id,
                   v->transfer);
    switch (c->goal.stage) {
    case GOAL_STAY: check_stability(k, c, id); return;
    case GOAL_HANDOVER:
        if (c->goal.is_asked) check_handover(k, c, id);
        else check_stability(k, c, id);
        return;
    case GOAL_SETTLE:
    case GOAL_REACHED: return;
    }
}

void check_goal_late(struct checks *k, const struct cluster *c) {
    const struct goal *g = &c->goal;
    if (g->is_asked)
        check_fail(k, c, CHECK_TRANSFER,
                   "n%u of term %llu was asked to hand over to n%u, which has all its entries, but "
                   "does not lead at %llu us",
                   g->leader, (ull)g->term, g->target, (ull)c->clock_us);
    else
        check_fail(
            k, c, CHECK_PROGRESS,
            "n%u leads term %llu and has not learned that n%u has all its entries at %llu us",
            g->leader, (ull)g->term, g->target, (ull)c->clock_us);
}
