/* check_log.c - the logs in memory: leader-append-only, log-matching, and the shadow comparison. */
#include <assert.h>

#include "shadow.h"

/* The record of an entry that some log now has. Log Matching: "if two logs contain an entry with
 * the same index and term, then the logs are identical in all entries up through the given index"
 * (5.3). */
static history_id add_record(struct checks *k, const struct cluster *c, node_id id,
                             history_id parent, const struct node_entry *entry) {
    history_id rival = 0;
    history_id record = parent == 0 ? 0 : history_add(&k->history, parent, entry, &rival);
    if (rival != 0)
        check_fail(
            k, c, CHECK_LOG_MATCHING,
            "n%u has entry %llu of term %llu with another past or content than a log before it", id,
            (ull)record_of(k, rival)->index, (ull)entry->term);
    if (record == 0) k->undecided = "the history of entries is full";
    return record;
}

bool check_same_entry(const struct checks *k, history_id record, const struct node_entry *entry) {
    const struct history_record *r = record_of(k, record);
    return r->term == entry->term && r->body == history_body(entry);
}

/* Above its snapshot, what the leader had before the step it must have after it. */
static void check_append_only(struct checks *k, const struct cluster *c,
                              const struct change *change, node_id id) {
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    uint64_t from = change->effects->save_from;
    if (after->last < before->last)
        check_fail(k, c, CHECK_LEADER_APPEND_ONLY,
                   "n%u leads term %llu and dropped entries: its log ended at %llu, now at %llu",
                   id, (ull)after->term, (ull)before->last, (ull)after->last);
    if (from == 0 || from > before->last) return;
    for (uint64_t i = from; i <= before->last && i <= after->last; i++) {
        if (i <= after->snapshot.index || !shadow_holds(&k->nodes[id].memory, i)) continue;
        struct node_entry entry = c->impl->entry(cluster_node_const(c, id), i);
        if (check_same_entry(k, shadow_at(&k->nodes[id].memory, i), &entry)) continue;
        check_fail(k, c, CHECK_LEADER_APPEND_ONLY, "n%u leads term %llu and changed its entry %llu",
                   id, (ull)after->term, (ull)i);
    }
}

/* The image that a snapshot was saved with says the same configuration as the committed prefix. */
static void check_image(struct checks *k, const struct cluster *c, node_id id, history_id record) {
    struct node_image image;
    c->impl->image(cluster_node_const(c, id), &image);
    if (same_members(&image.members, &record_of(k, record)->members)) return;
    check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
               "n%u has a snapshot at %llu with another configuration than was committed there", id,
               (ull)record_of(k, record)->index);
}

/* The node's snapshot is a prefix of the committed chain, which somebody has applied; its log goes
 * on from there. An installed one may replace what was there; a suffix that stays must be one of
 * the same past. */
static void rebase(struct checks *k, const struct cluster *c, node_id id,
                   const struct node_effects *effects) {
    const struct node_snapshot *snapshot = &cluster_view(c, id)->snapshot;
    struct log_shadow *log = &k->nodes[id].memory;
    if (snapshot->index >= log->base && snapshot->index < k->history.base) {
        k->undecided = "a snapshot that is older than the history";
        return;
    }
    bool is_committed = snapshot->index <= k->chain_applied && snapshot->index >= log->base;
    history_id record = is_committed ? chain_at(k, snapshot->index)->record : 0;
    bool is_same = is_committed && record_of(k, record)->term == snapshot->term &&
                   chain_at(k, snapshot->index)->state == snapshot->state;
    bool is_replaced = effects->apply_snapshot &&
                       (log->last <= snapshot->index || effects->save_from == snapshot->index + 1);
    bool has_all = is_replaced || (snapshot->index <= log->last && is_committed &&
                                   shadow_at(log, snapshot->index) == record);
    if (!is_same)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u has a snapshot at %llu of term %llu that is not what was committed there",
                   id, (ull)snapshot->index, (ull)snapshot->term);
    else if (!has_all)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u has a snapshot at %llu of term %llu as committed, but the log that it kept "
                   "holds another entry there, or none",
                   id, (ull)snapshot->index, (ull)snapshot->term);
    if (!is_committed) k->undecided = "a snapshot of what was never applied";
    else check_image(k, c, id, record);
    log->base = snapshot->index;
    log->base_record = record;
    if (log->last < log->base) log->last = log->base;
}

static void append(struct checks *k, const struct cluster *c, node_id id, uint64_t from,
                   uint64_t last) {
    struct log_shadow *log = &k->nodes[id].memory;
    assert(from > log->base && from <= log->last + 1); /* The contract. */
    history_id parent = shadow_at(log, from - 1);
    for (uint64_t i = from; i <= last && k->undecided == NULL; i++) {
        struct node_entry entry = c->impl->entry(cluster_node_const(c, id), i);
        parent = add_record(k, c, id, parent, &entry);
        log->records[i % NODE_LOG_MAX] = parent;
    }
    log->last = last;
}

void check_log_step(struct checks *k, const struct cluster *c, const struct change *change,
                    node_id id) {
    const struct node_effects *e = change->effects;
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    struct log_shadow *log = &k->nodes[id].memory;
    if (before->role == NODE_LEADER && after->role == NODE_LEADER && before->term == after->term)
        check_append_only(k, c, change, id);
    if (e->save_snapshot) rebase(k, c, id, e);
    if (e->save_from != 0 && k->undecided == NULL) append(k, c, id, e->save_from, after->last);
    if (after->last == log->last && after->snapshot.index == log->base) return;
    check_fail(
        k, c, CHECK_SHADOW, "n%u holds %llu..%llu, but by what it declared its log is %llu..%llu",
        id, (ull)after->snapshot.index + 1, (ull)after->last, (ull)log->base + 1, (ull)log->last);
    k->undecided = "a log that is not what its node declared";
}

/* Its memory starts as what its disk holds. */
void check_log_start(struct checks *k, const struct cluster *c, node_id id) {
    struct node_shadow *n = &k->nodes[id];
    n->is_alive = true;
    n->memory.base = n->disk.base;
    n->memory.base_record = n->disk.base_record;
    n->memory.last = n->disk.last;
    for (uint64_t i = n->disk.base + 1; i <= n->disk.last; i++)
        n->memory.records[i % NODE_LOG_MAX] = n->disk.records[i % NODE_LOG_MAX];
    n->applied = n->disk.base;
    const struct node_view *view = cluster_view(c, id);
    if (view->term < n->term || view->commit < n->disk.base)
        check_fail(k, c, CHECK_MONOTONIC,
                   "n%u starts with term %llu and commit %llu, below its disk's %llu and %llu", id,
                   (ull)view->term, (ull)view->commit, (ull)n->term, (ull)n->disk.base);
    if (view->commit > n->disk.base)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u starts with commit %llu above its snapshot at %llu", id, (ull)view->commit,
                   (ull)n->disk.base);
    check_log_compare(k, c, id);
}

void check_log_compare(struct checks *k, const struct cluster *c, node_id id) {
    const struct log_shadow *log = &k->nodes[id].memory;
    const struct node_view *view = cluster_view(c, id);
    uint64_t state = log->base == 0 ? 0 : chain_at(k, log->base)->state;
    bool is_same = view->snapshot.index == log->base && view->last == log->last &&
                   view->last_term == record_of(k, shadow_at(log, log->last))->term &&
                   view->snapshot.state == state &&
                   view->snapshot.term == record_of(k, log->base_record)->term;
    for (uint64_t i = log->base + 1; is_same && i <= log->last; i++) {
        struct node_entry entry = c->impl->entry(cluster_node_const(c, id), i);
        is_same = check_same_entry(k, shadow_at(log, i), &entry);
    }
    struct node_image image;
    c->impl->image(cluster_node_const(c, id), &image);
    is_same = is_same && same_members(&image.members, shadow_members_at(k, id, log, log->base));
    if (is_same) return;
    check_fail(k, c, CHECK_SHADOW, "n%u has a log that differs from what it declared (%llu..%llu)",
               id, (ull)log->base + 1, (ull)log->last);
    k->undecided = "a log that is not what its node declared";
}
