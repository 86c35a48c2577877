/* check_commit.c - the committed chain: state-machine-safety, commit-quorum, committed-durability
 * and acknowledged. */
#include <assert.h>

#include "hash.h"
#include "shadow.h"

bool check_holds_chain(struct checks *k, const struct log_shadow *log, uint64_t index) {
    if (index <= log->base) return true; /* Its snapshot was compared when it was taken. */
    return index <= log->last && shadow_at(log, index) == chain_at(k, index)->record;
}

/* ---- committed-durability ---- */

static bool is_below(struct log_key a, struct log_key b) {
    return a.term != b.term ? a.term < b.term : a.index < b.index;
}

struct log_key check_log_key(const struct checks *k, const struct log_shadow *log) {
    return (struct log_key){record_of(k, shadow_at(log, log->last))->term, log->last};
}

/* The least up-to-date log that a quorum would vote for, judged by their durable logs: the key of
 * the quorum-th of them in order (5.4.1). */
static struct log_key electable(const struct checks *k) {
    struct log_key keys[NODE_MAX];
    uint32_t count = 0;
    for (node_id id = 1; id <= k->node_count; id++) {
        struct log_key key = check_log_key(k, &k->nodes[id].disk);
        uint32_t i = count++;
        for (; i > 0 && is_below(key, keys[i - 1]); i--) keys[i] = keys[i - 1];
        keys[i] = key;
    }
    return keys[count / 2];
}

/* No node that lacks an entry of the chain could be elected with this log. */
static void check_candidate(struct checks *k, const struct cluster *c, node_id id,
                            const struct log_shadow *log) {
    if (check_holds_chain(k, log, k->chain_last)) return;
    struct log_key key = check_log_key(k, log);
    if (is_below(key, k->electable)) return;
    k->electable = electable(k);
    if (is_below(key, k->electable)) return;
    check_fail(
        k, c, CHECK_COMMITTED_DURABILITY,
        "n%u lacks committed entry %llu, and a quorum would elect its log (last %llu of term %llu)",
        id, (ull)k->chain_last, (ull)key.index, (ull)key.term);
}

void check_durability_memory(struct checks *k, const struct cluster *c, node_id id) {
    check_candidate(k, c, id, &k->nodes[id].memory);
}

void check_durability_all(struct checks *k, const struct cluster *c) {
    k->electable = electable(k);
    for (node_id id = 1; id <= k->node_count; id++) {
        check_candidate(k, c, id, &k->nodes[id].disk);
        if (k->nodes[id].is_alive) check_candidate(k, c, id, &k->nodes[id].memory);
    }
}

void check_durability_disk(struct checks *k, const struct cluster *c, node_id id,
                           struct log_key before) {
    struct log_key after = check_log_key(k, &k->nodes[id].disk);
    if (is_below(after, before))
        check_durability_all(k, c); /* It would vote for more than before. */
    else check_candidate(k, c, id, &k->nodes[id].disk);
}

/* ---- the chain ---- */

static void check_quorum(struct checks *k, const struct cluster *c, node_id id, uint64_t index) {
    const struct log_shadow *own = &k->nodes[id].memory;
    uint64_t term = cluster_view(c, id)->term;
    history_id record = shadow_at(own, index);
    if (record_of(k, record)->term != term)
        check_fail(k, c, CHECK_COMMIT_QUORUM,
                   "n%u leads term %llu and commits up to entry %llu, which is of term %llu", id,
                   (ull)term, (ull)index, (ull)record_of(k, record)->term);
    uint32_t synced = 0;
    for (node_id peer = 1; peer <= k->node_count; peer++) {
        const struct log_shadow *disk = &k->nodes[peer].disk;
        if (index <= disk->base) synced += chain_at(k, index)->record == record;
        else synced += index <= disk->last && shadow_at(disk, index) == record;
    }
    if (synced * 2 > k->node_count) return;
    check_fail(k, c, CHECK_COMMIT_QUORUM,
               "n%u leads term %llu and commits entry %llu, which only %u of %u have synced", id,
               (ull)term, (ull)index, synced, k->node_count);
}

static void extend_chain(struct checks *k, const struct cluster *c, node_id id, uint64_t index,
                         uint64_t term) {
    const struct log_shadow *log = &k->nodes[id].memory;
    if (index <= k->chain_last && chain_at(k, index)->term > term) chain_at(k, index)->term = term;
    if (index - k->history.base >= HISTORY_INDEXES_MAX) {
        k->undecided = "the committed chain is full";
        return;
    }
    if (index <= k->chain_last || !check_holds_chain(k, log, k->chain_last)) return;
    for (uint64_t i = k->chain_last + 1; i <= index; i++) {
        history_id record = shadow_at(log, i);
        const struct history_record *r = record_of(k, record);
        uint64_t state = hash_apply(chain_at(k, i - 1)->state, r->term, r->command);
        *chain_at(k, i) = (struct chain_entry){record, term, state};
    }
    k->chain_last = index;
    check_durability_all(k, c);
}

/* A node's commit index is a prefix of the chain. */
static void check_prefix(struct checks *k, const struct cluster *c, node_id id) {
    uint64_t index = cluster_view(c, id)->commit;
    const struct log_shadow *log = &k->nodes[id].memory;
    if (index > k->chain_last)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u commits up to %llu, but leaders committed only up to %llu", id, (ull)index,
                   (ull)k->chain_last);
    else if (!check_holds_chain(k, log, index))
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u has commit %llu, but its log holds no such entry or not the one committed",
                   id, (ull)index);
}

void check_commit_step(struct checks *k, const struct cluster *c, const struct change *change,
                       node_id id) {
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    uint64_t from = change->effects->save_from;
    if (k->undecided != NULL) return;
    if (after->commit < before->commit)
        check_fail(k, c, CHECK_MONOTONIC, "n%u lowered its commit index from %llu to %llu", id,
                   (ull)before->commit, (ull)after->commit);
    bool has_led =
        before->role == NODE_LEADER && after->role == NODE_LEADER && before->term == after->term;
    if (has_led && after->commit > before->commit && after->commit <= after->last) {
        check_quorum(k, c, id, after->commit);
        extend_chain(k, c, id, after->commit, after->term);
        if (k->undecided != NULL) return;
        check_election_commit(k, c, id, after->commit, after->term);
    }
    if (after->commit > before->commit || (from != 0 && from <= after->commit))
        check_prefix(k, c, id);
    if (from != 0) check_durability_memory(k, c, id);
}

/* ---- the state machines ---- */

static void check_apply(struct checks *k, const struct cluster *c, const struct fact *fact) {
    struct node_shadow *n = &k->nodes[fact->node];
    uint64_t index = fact->u.applied.index;
    if (index != n->applied + 1)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY, "n%u applies entry %llu after entry %llu",
                   fact->node, (ull)index, (ull)n->applied);
    n->applied = index;
    if (index <= k->chain_last && index > k->history.base) {
        const struct history_record *r = record_of(k, chain_at(k, index)->record);
        if (r->term == fact->u.applied.entry.term && r->command == fact->u.applied.entry.command)
            return;
    }
    check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
               "n%u applies at %llu an entry of term %llu that is not what was committed there",
               fact->node, (ull)index, (ull)fact->u.applied.entry.term);
}

static void check_restore(struct checks *k, const struct cluster *c, const struct fact *fact) {
    struct node_shadow *n = &k->nodes[fact->node];
    if (fact->u.snapshot.index < n->applied)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u goes back to a snapshot at %llu after applying entry %llu", fact->node,
                   (ull)fact->u.snapshot.index, (ull)n->applied);
    n->applied = fact->u.snapshot.index;
}

static void check_answer(struct checks *k, const struct cluster *c, const struct fact *fact) {
    uint64_t index = fact->u.applied.index;
    if (index <= k->chain_last && index > k->history.base) {
        const struct history_record *r = record_of(k, chain_at(k, index)->record);
        if (r->command == fact->u.applied.entry.command) return;
    }
    check_fail(k, c, CHECK_ACKNOWLEDGED,
               "n%u acknowledges command %llu at %llu, where it is not committed", fact->node,
               (ull)fact->u.applied.entry.command, (ull)index);
}

void check_commit_fact(struct checks *k, const struct cluster *c, const struct fact *fact) {
    switch (fact->type) {
    case FACT_APPLY: check_apply(k, c, fact); return;
    case FACT_RESTORE: check_restore(k, c, fact); return;
    case FACT_ANSWER: check_answer(k, c, fact); return;
    case FACT_START:
    case FACT_STEP:
    case FACT_WRITE:
    case FACT_DURABLE:
    case FACT_LEAVE:
    case FACT_CRASH: break;
    }
    assert(false);
}
