/* check_config.c - configuration (6, D 4): one change at a time, quorums that meet, and nobody who
 * leads from outside. */
#include "shadow.h"

static uint32_t size_of(node_set set) { return (uint32_t)__builtin_popcountll(set); }

/* So many of the common members at least are in any majority of `set`. */
static uint32_t least_common(node_set set, node_set common) {
    uint32_t majority = size_of(set) / 2 + 1, others = size_of(set & ~common);
    return majority > others ? majority - others : 0;
}

/* No majority of one avoids every majority of the other. */
static bool majorities_meet(node_set a, node_set b) {
    node_set common = a & b;
    return least_common(a, common) + least_common(b, common) > size_of(common);
}

/* A quorum of a joint configuration holds a majority of each of its halves (D 4.3): where those of
 * one half meet, the quorums do. In Raft that half is the one that both configurations share, or
 * differ in by one voter. Without voters there is no quorum. */
static bool quorums_meet(const struct node_members *a, const struct node_members *b) {
    if (a->voters == 0 || b->voters == 0) return true;
    const node_set of_a[] = {a->voters, a->outgoing}, of_b[] = {b->voters, b->outgoing};
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t j = 0; j < 2; j++)
            if (of_a[i] != 0 && of_b[j] != 0 && majorities_meet(of_a[i], of_b[j])) return true;
    return false;
}

/* "A leader must not append a configuration before the last one is committed" (D 4.1). A follower
 * copies it from a leader's log: there it was committed even earlier. */
static bool is_committed(struct checks *k, const struct log_shadow *log, uint64_t index) {
    return index <= k->chain_last && check_holds_chain(k, log, index);
}

/* The configuration at `index`, which the node has appended, and the one before it, at `past`. */
static void check_change(struct checks *k, const struct cluster *c, node_id id, uint64_t index,
                         uint64_t past) {
    const struct log_shadow *log = &k->nodes[id].memory;
    const struct history_record *now = record_of(k, shadow_at(log, index));
    const struct history_record *before = record_of(k, shadow_at(log, index - 1));
    if (!is_committed(k, log, past))
        check_fail(k, c, CHECK_CONFIGURATION,
                   "n%u has a configuration at %llu, while the one at %llu is not committed", id,
                   (ull)index, (ull)past);
    if (!quorums_meet(&before->members, &now->members))
        check_fail(k, c, CHECK_CONFIGURATION,
                   "n%u has configurations at %llu and %llu whose quorums need not meet", id,
                   (ull)past, (ull)index);
}

/* A peer that leaves and comes back is a new one: the leader knows nothing of it (monotonic). */
static void forget_peers(struct node_shadow *n, const struct node_members *members) {
    node_set all = node_members_all(members);
    for (node_id peer = 1; peer <= NODE_MAX; peer++)
        if (!(all >> peer & 1)) n->match[peer] = 0;
}

/* The entries from `from` on are new: those that hold configurations, from the last one back. */
static void check_changes(struct checks *k, const struct cluster *c, node_id id, uint64_t from) {
    struct node_shadow *n = &k->nodes[id];
    const struct log_shadow *log = &n->memory;
    uint64_t index = record_of(k, shadow_at(log, log->last))->members_index;
    while (index >= from) {
        uint64_t past = record_of(k, shadow_at(log, index - 1))->members_index;
        check_change(k, c, id, index, past);
        forget_peers(n, &record_of(k, shadow_at(log, index))->members);
        index = past;
    }
}

/* "The leader steps down once it has committed the C_new log entry" (6). Whoever leads from
 * outside, also if it was elected so since its log was the best, has no reason to once it has
 * committed an entry of its own term: from then on the others can. Who knows no members never has
 * one. */
static void check_outsider(struct checks *k, const struct cluster *c, node_id id) {
    const struct log_shadow *log = &k->nodes[id].memory;
    const struct node_view *view = cluster_view(c, id);
    if (view->role != NODE_LEADER) return;
    const struct node_members *members = shadow_members(k, id, log);
    uint64_t index = record_of(k, shadow_at(log, log->last))->members_index;
    if ((members->voters | members->outgoing) >> id & 1) return;
    if (!shadow_holds(log, view->commit)) return;
    bool is_ready = record_of(k, shadow_at(log, view->commit))->term == view->term;
    if (members->voters != 0 && (view->commit < index || !is_ready)) return;
    check_fail(k, c, CHECK_CONFIGURATION,
               "n%u leads term %llu with entries up to %llu committed, and has no vote in the "
               "configuration at %llu",
               id, (ull)view->term, (ull)view->commit, (ull)index);
}

void check_config_compare(struct checks *k, const struct cluster *c, node_id id) {
    const struct log_shadow *log = &k->nodes[id].memory;
    if (k->undecided != NULL) return;
    struct node_members members;
    c->impl->members(cluster_node_const(c, id), &members);
    if (same_members(&members, shadow_members(k, id, log))) return;
    check_fail(k, c, CHECK_CONFIGURATION,
               "n%u acts on another configuration than its log (%llu..%llu) says", id,
               (ull)log->base + 1, (ull)log->last);
}

/* Votes are counted by the configuration that the node acts on: it is looked at again when the node
 * asks for votes, and when it has won. */
static bool is_promoted(const struct node_view *before, const struct node_view *after) {
    bool is_new = before->role != after->role || before->term != after->term;
    return is_new && after->role != NODE_FOLLOWER;
}

/* After the log and the commit of the step: what a leader commits and then appends, in one step, is
 * in that order. */
void check_config_step(struct checks *k, const struct cluster *c, const struct change *change,
                       node_id id) {
    const struct node_effects *e = change->effects;
    if (k->undecided != NULL) return;
    if (e->save_from != 0) check_changes(k, c, id, e->save_from);
    bool is_due = e->save_from != 0 || e->save_snapshot;
    if (is_due || is_promoted(change->before, cluster_view(c, id))) check_config_compare(k, c, id);
    check_outsider(k, c, id);
}
