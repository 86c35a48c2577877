/* check_disk.c - what is durable: vote-once, promise-durable, match-truth and recovery. */
#include <assert.h>

#include "shadow.h"

static struct pending_write *pending_at(struct node_shadow *n, uint32_t i) {
    assert(i < DISK_WRITES_MAX);
    return &n->writes[(n->first + i) % DISK_WRITES_MAX];
}

/* ---- match-truth ---- */

/* What a log has at an index: below its snapshot that is what was committed. */
static history_id record_in(struct checks *k, const struct log_shadow *log, uint64_t index) {
    if (index > log->last) return 0;
    return index <= log->base ? chain_at(k, index)->record : shadow_at(log, index);
}

/* "match never exceeds the durable matching prefix of the peer", for peers that have not gone on to
 * a later term: those may have replaced what the old leader had confirmed. */
void check_match(struct checks *k, const struct cluster *c, node_id id, node_id peer,
                 uint64_t match) {
    const struct node_shadow *leader = &k->nodes[id], *n = &k->nodes[peer];
    if (peer > k->node_count || n->term > cluster_view(c, id)->term) return;
    if (match <= n->disk.last && match <= k->history.base) return; /* All have compacted it. */
    history_id record = record_in(k, &n->disk, match);
    if (record != 0 && record == record_in(k, &leader->memory, match)) return;
    check_fail(k, c, CHECK_MATCH_TRUTH,
               "n%u leads term %llu and takes n%u to hold entry %llu, which is not durable there",
               id, (ull)cluster_view(c, id)->term, peer, (ull)match);
}

/* The durable log of `peer` was rewritten: what leaders know of it must still be true. */
static void check_matches(struct checks *k, const struct cluster *c, node_id peer) {
    for (node_id id = 1; id <= k->node_count; id++) {
        if (id == peer || !k->nodes[id].is_alive) continue;
        if (cluster_view(c, id)->role != NODE_LEADER) continue;
        if (k->nodes[id].match[peer] > 0) check_match(k, c, id, peer, k->nodes[id].match[peer]);
    }
}

/* ---- writes ---- */

/* A vote that the disk holds for a term does not change in that term. */
static void check_vote(struct checks *k, const struct cluster *c, node_id id,
                       const struct pending_write *w) {
    const struct node_shadow *n = &k->nodes[id];
    if (w->term == n->term && n->vote != 0 && w->vote != n->vote)
        check_fail(k, c, CHECK_VOTE_ONCE, "n%u voted for n%u in term %llu and now saves n%u", id,
                   n->vote, (ull)n->term, w->vote);
    if (w->term < n->term)
        check_fail(k, c, CHECK_MONOTONIC, "n%u saves term %llu where its disk holds term %llu", id,
                   (ull)w->term, (ull)n->term);
}

static void note_write(struct checks *k, const struct cluster *c, const struct change *change,
                       const struct fact *fact) {
    struct node_shadow *n = &k->nodes[fact->node];
    const struct node_view *view = cluster_view(c, fact->node);
    const struct node_effects *e = change->effects;
    assert(n->pending < DISK_WRITES_MAX);
    if (n->pending == 0) n->first = 0;
    struct pending_write *w = pending_at(n, n->pending++);
    w->sequence = fact->u.write;
    w->has_vote = e->save_vote;
    w->term = view->term;
    w->vote = view->vote;
    w->has_snapshot = e->save_snapshot;
    w->snapshot = view->snapshot;
    w->snapshot_record = n->memory.base_record;
    w->from = e->save_from;
    w->count = e->save_from != 0 ? (uint32_t)(n->memory.last + 1 - e->save_from) : 0;
    for (uint32_t i = 0; i < w->count; i++) w->records[i] = shadow_at(&n->memory, e->save_from + i);
    if (w->has_vote) check_vote(k, c, fact->node, w);
}

/* From here on the node may still show entries. Who has none, as one that has not joined yet, will
 * get a snapshot, or entries that are recent; should they be very late, they are not in the history
 * any more, and the run ends undecided. */
static uint64_t needed_by(const struct checks *k, const struct node_shadow *n) {
    enum { RECENT = HISTORY_INDEXES_MAX / 2 };
    bool is_empty = n->disk.last == 0 && n->pending == 0 && (!n->is_alive || n->memory.last == 0);
    if (!is_empty) return n->disk.base;
    return k->history.top > RECENT ? k->history.top - RECENT : 0;
}

static void forget_compacted(struct checks *k) {
    uint64_t base = UINT64_MAX;
    for (node_id id = 1; id <= k->node_count; id++) {
        uint64_t needed = needed_by(k, &k->nodes[id]);
        if (needed < base) base = needed;
    }
    if (base > k->history.base) history_forget(&k->history, base);
}

static void store_log(struct log_shadow *log, const struct pending_write *w) {
    for (uint32_t i = 0; i < w->count; i++)
        log->records[(w->from + i) % NODE_LOG_MAX] = w->records[i];
    log->last = w->from + w->count - 1;
}

static void store_snapshot(struct node_shadow *n, const struct pending_write *w) {
    n->snapshot = w->snapshot;
    n->disk.base = w->snapshot.index;
    n->disk.base_record = w->snapshot_record;
    if (n->disk.last < n->disk.base) n->disk.last = n->disk.base;
}

/* The oldest pending write becomes part of what is durable. */
static void store(struct checks *k, const struct cluster *c, node_id id) {
    struct node_shadow *n = &k->nodes[id];
    assert(n->pending > 0);
    const struct pending_write *w = pending_at(n, 0);
    n->first = (n->first + 1) % DISK_WRITES_MAX;
    n->pending--;
    struct log_key before = check_log_key(k, &n->disk);
    bool is_rewrite = w->from != 0 && w->from <= n->disk.last;
    if (w->has_vote) {
        check_vote(k, c, id, w);
        n->term = w->term;
        n->vote = w->vote;
    }
    if (w->has_snapshot) store_snapshot(n, w);
    if (w->from != 0) store_log(&n->disk, w);
    if (w->has_snapshot) forget_compacted(k);
    if (is_rewrite) check_matches(k, c, id);
    if (w->from != 0 || w->has_snapshot) check_durability_disk(k, c, id, before);
}

/* ---- promises ---- */

/* "Each server will vote for at most one candidate in a given term" (5.2): the last vote that left
 * tells, be it durable or not. */
static void check_only_vote(struct checks *k, const struct cluster *c, node_id id,
                            const struct promise *p) {
    struct node_shadow *n = &k->nodes[id];
    if (p->term == n->promised_term && p->candidate != n->promised_candidate)
        check_fail(k, c, CHECK_VOTE_ONCE,
                   "n%u lets a vote for n%u in term %llu leave, and one for n%u has left before",
                   id, p->candidate, (ull)p->term, n->promised_candidate);
    if (p->term <= n->promised_term) return;
    n->promised_term = p->term;
    n->promised_candidate = p->candidate;
}

/* The disk may have gone on to a later term: the node never votes in an earlier one again. */
static bool is_vote_kept(const struct node_shadow *n, const struct promise *p) {
    return n->term > p->term || (n->term == p->term && n->vote == p->candidate);
}

static bool is_append_kept(struct checks *k, const struct node_shadow *n, const struct promise *p) {
    if (n->term < p->term || p->index > n->disk.last) return false;
    if (p->index <= k->history.base) return true;
    history_id record = record_in(k, &n->disk, p->index);
    return record != 0 && record_of(k, record)->term == p->index_term;
}

static void check_promise(struct checks *k, const struct cluster *c, const struct fact *fact) {
    const struct promise *p = &fact->u.promise;
    const struct node_shadow *n = &k->nodes[fact->node];
    if (p->type == PROMISE_VOTE) check_only_vote(k, c, fact->node, p);
    if (p->type == PROMISE_VOTE && !is_vote_kept(n, p))
        check_fail(k, c, CHECK_PROMISE_DURABLE,
                   "n%u lets a vote for n%u in term %llu leave that its disk does not hold",
                   fact->node, p->candidate, (ull)p->term);
    if (p->type == PROMISE_APPEND && !is_append_kept(k, n, p))
        check_fail(k, c, CHECK_PROMISE_DURABLE,
                   "n%u confirms entry %llu of term %llu in term %llu before it is durable",
                   fact->node, (ull)p->index, (ull)p->index_term, (ull)p->term);
}

/* ---- recovery ---- */

static bool holds_log(const struct checks *k, const struct node_shadow *n, const struct disk *d) {
    if (n->disk.base != d->snapshot.index || n->disk.last != disk_last(d)) return false;
    for (uint32_t i = 0; i < d->entry_count; i++) {
        history_id record = shadow_at(&n->disk, n->disk.base + 1 + i);
        if (!check_same_entry(k, record, &d->entries[i])) return false;
    }
    return true;
}

static bool holds_snapshot(const struct checks *k, node_id id, const struct disk *d) {
    const struct node_snapshot *a = &k->nodes[id].snapshot, *b = &d->snapshot;
    const struct log_shadow *log = &k->nodes[id].disk;
    return a->index == b->index && a->term == b->term && a->state == b->state &&
           same_members(shadow_members_at(k, id, log, log->base), &d->image.members);
}

static bool holds(const struct checks *k, node_id id, const struct disk *d) {
    const struct node_shadow *n = &k->nodes[id];
    return n->term == d->term && n->vote == d->vote && holds_snapshot(k, id, d) &&
           holds_log(k, n, d);
}

/* Which prefix of the pending writes the crash has kept, what was read back tells. */
static void check_recovery(struct checks *k, const struct cluster *c, node_id id) {
    struct node_shadow *n = &k->nodes[id];
    const struct disk *disk = &c->disks[id];
    while (!holds(k, id, disk) && n->pending > 0) store(k, c, id);
    if (!holds(k, id, disk)) {
        check_fail(k, c, CHECK_RECOVERY,
                   "n%u reads back term %llu, vote %u and a log up to %llu: not what it had saved",
                   id, (ull)disk->term, disk->vote, (ull)disk_last(disk));
        k->undecided = "a disk that holds what was never written";
    }
    n->pending = 0;
}

/* The disk is empty: the node knows no members until a leader tells it, as one that joins. What it
 * had promised before still counts. */
static void forget_disk(struct checks *k, const struct cluster *c, node_id id) {
    struct node_shadow *n = &k->nodes[id];
    n->is_wiped = true;
    n->term = 0;
    n->vote = 0;
    n->snapshot = (struct node_snapshot){0};
    n->pending = 0;
    n->disk.base = n->disk.last = 0;
    n->disk.base_record = HISTORY_ROOT;
    check_durability_all(k, c);
}

void check_disk_compare(struct checks *k, const struct cluster *c, node_id id) {
    if (holds(k, id, &c->disks[id])) return;
    check_fail(k, c, CHECK_RECOVERY, "the disk of n%u is not what was synced", id);
}

void check_disk_fact(struct checks *k, const struct cluster *c, const struct change *change,
                     const struct fact *fact) {
    switch (fact->type) {
    case FACT_START: check_recovery(k, c, fact->node); return;
    case FACT_WRITE: note_write(k, c, change, fact); return;
    case FACT_DURABLE:
        assert(pending_at(&k->nodes[fact->node], 0)->sequence == fact->u.write);
        store(k, c, fact->node);
        return;
    case FACT_LEAVE: check_promise(k, c, fact); return;
    case FACT_WIPE: forget_disk(k, c, fact->node); return;
    case FACT_PREVOTE:
    case FACT_STEP:
    case FACT_RESTORE:
    case FACT_APPLY:
    case FACT_ANSWER:
    case FACT_READ:
    case FACT_SERVE:
    case FACT_CRASH:
    case FACT_CONTRACT: break;
    }
    assert(false);
}
