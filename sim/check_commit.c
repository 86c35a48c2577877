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

struct log_key check_log_key(const struct checks *k, const struct log_shadow *log) {
    return (struct log_key){record_of(k, shadow_at(log, log->last))->term, log->last};
}

/* The least up-to-date log that a majority of them would vote for, judged by their durable logs:
 * the key of the majority-th of them in order (5.4.1). A voter that does not exist votes for none.
 * REQUIRES: there are voters. */
static struct log_key electable_by(const struct checks *k, node_set voters) {
    struct log_key keys[NODE_MAX];
    uint32_t count = 0;
    for (node_set rest = voters; rest != 0; rest &= rest - 1) {
        node_id id = (node_id)__builtin_ctzll(rest);
        struct log_key key = {UINT64_MAX, UINT64_MAX};
        if (id <= k->node_count) key = check_log_key(k, &k->nodes[id].disk);
        uint32_t i = count++;
        for (; i > 0 && is_below(key, keys[i - 1]); i--) keys[i] = keys[i - 1];
        keys[i] = key;
    }
    return keys[count / 2];
}

/* The least up-to-date log that could win: a joint configuration needs both majorities (D 4.3). */
static struct log_key electable_in(const struct checks *k, const struct node_members *members) {
    struct log_key key = electable_by(k, members->voters);
    if (members->outgoing == 0) return key;
    struct log_key old = electable_by(k, members->outgoing);
    return is_below(key, old) ? old : key;
}

static bool is_electable(struct checks *k, const struct node_members *members, struct log_key key) {
    if (members->voters == 0) return false; /* Nobody can be elected. */
    if (same_members(members, &k->electable_in) && is_below(key, k->electable)) return false;
    k->electable_in = *members;
    k->electable = electable_in(k, members);
    return !is_below(key, k->electable);
}

/* A node whose log lacks an entry of the chain could not be elected by those whom it asks: the
 * voters of its own configuration, be it old, and be it in it or not. */
static void check_candidate(struct checks *k, const struct cluster *c, node_id id,
                            const struct log_shadow *log) {
    if (check_holds_chain(k, log, k->chain_last)) return;
    struct log_key key = check_log_key(k, log);
    if (!is_electable(k, shadow_members(k, id, log), key)) return;
    check_fail(
        k, c, CHECK_COMMITTED_DURABILITY,
        "n%u lacks committed entry %llu, and a quorum would elect its log (last %llu of term %llu)",
        id, (ull)k->chain_last, (ull)key.index, (ull)key.term);
}

void check_durability_memory(struct checks *k, const struct cluster *c, node_id id) {
    check_candidate(k, c, id, &k->nodes[id].memory);
}

void check_durability_all(struct checks *k, const struct cluster *c) {
    k->electable_in = (struct node_members){0}; /* None: `electable` may be too high now. */
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

static bool has_synced(struct checks *k, node_id id, uint64_t index, history_id record) {
    const struct log_shadow *disk = &k->nodes[id].disk;
    if (index <= disk->base) return chain_at(k, index)->record == record;
    return index <= disk->last && shadow_at(disk, index) == record;
}

static node_set synced_by(struct checks *k, uint64_t index, history_id record) {
    node_set set = 0;
    for (node_id id = 1; id <= k->node_count; id++)
        if (has_synced(k, id, index, record)) set |= node_bit(id);
    return set;
}

/* A leader goes by the latest configuration in its log. Where it has appended one in this very
 * step, it may have committed before that: by the one before. */
static bool is_quorum(const struct checks *k, node_id id, const struct node_view *before,
                      uint64_t index, node_set set) {
    const struct log_shadow *log = &k->nodes[id].memory;
    if (node_is_quorum(shadow_members(k, id, log), set)) return true;
    return shadow_holds(log, before->last) && index <= before->last &&
           node_is_quorum(shadow_members_at(k, id, log, before->last), set);
}

static void check_quorum(struct checks *k, const struct cluster *c, node_id id,
                         const struct node_view *before) {
    const struct log_shadow *log = &k->nodes[id].memory;
    uint64_t term = before->term, index = cluster_view(c, id)->commit;
    history_id record = shadow_at(log, index);
    if (record_of(k, record)->term != term)
        check_fail(k, c, CHECK_COMMIT_QUORUM,
                   "n%u leads term %llu and commits up to entry %llu, which is of term %llu", id,
                   (ull)term, (ull)index, (ull)record_of(k, record)->term);
    node_set synced = synced_by(k, index, record);
    if (is_quorum(k, id, before, index, synced)) return;
    const struct node_members *members = shadow_members(k, id, log);
    bool is_joint = node_is_majority(members->voters, synced); /* That half is not it. */
    node_set voters = is_joint ? members->outgoing : members->voters;
    check_fail(k, c, CHECK_COMMIT_QUORUM,
               "n%u leads term %llu and commits entry %llu, which only %d of %d %s have synced", id,
               (ull)term, (ull)index, __builtin_popcountll(voters & synced),
               __builtin_popcountll(voters), is_joint ? "outgoing voters" : "voters");
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
    for (uint64_t i = k->chain_last + 1; i <= index; i++)
        *chain_at(k, i) = (struct chain_entry){.record = shadow_at(log, i), .term = term};
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
    /* It may have stepped down with it: "once it has committed the C_new log entry" (6). */
    bool has_led = before->role == NODE_LEADER && before->term == after->term;
    bool is_held = shadow_holds(&k->nodes[id].memory, after->commit);
    if (has_led && after->commit > before->commit && is_held) {
        check_quorum(k, c, id, before);
        extend_chain(k, c, id, after->commit, after->term);
        if (k->undecided != NULL) return;
        check_election_commit(k, c, id, after->commit, after->term);
    }
    if (after->commit > before->commit || (from != 0 && from <= after->commit))
        check_prefix(k, c, id);
    if (from != 0 || change->effects->save_snapshot) check_durability_memory(k, c, id);
}

/* ---- the state machines ---- */

/* The entry that an apply or an answer is about is the one of the chain. */
static bool is_of_chain(struct checks *k, const struct fact *fact) {
    uint64_t index = fact->u.applied.index;
    if (index > k->chain_last || index <= k->history.base) return false;
    return check_same_entry(k, chain_at(k, index)->record, &fact->u.applied.entry);
}

static const char *verdict_name(uint32_t verdict) {
    static const char *const names[] = {
        [NODE_EXECUTED] = "executed", [NODE_DUPLICATE] = "duplicate", [NODE_EXPIRED] = "expired"};
    assert(verdict <= NODE_EXPIRED);
    return names[verdict];
}

/* Whoever applies an entry of the chain first says what becomes of it: a function of the log
 * (D 6.3), so that all others must say the same. */
static void check_verdict(struct checks *k, const struct cluster *c, const struct fact *fact) {
    uint64_t index = fact->u.applied.index;
    const struct node_entry *entry = &fact->u.applied.entry;
    enum node_verdict verdict = fact->u.applied.verdict;
    struct chain_entry *e = chain_at(k, index);
    if (index == k->chain_applied + 1) {
        bool is_change = entry->type == NODE_COMMAND && verdict == NODE_EXECUTED;
        uint64_t state = chain_at(k, index - 1)->state;
        e->verdict = (uint8_t)verdict;
        e->state = is_change ? hash_apply(state, entry->term, entry->command) : state;
        k->chain_applied = index;
        check_client_apply(k, c, fact);
    } else if (index <= k->chain_applied && e->verdict != verdict) {
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u applies entry %llu as %s, another node before it as %s", fact->node,
                   (ull)index, verdict_name(verdict), verdict_name(e->verdict));
    }
}

static void check_apply(struct checks *k, const struct cluster *c, const struct fact *fact) {
    struct node_shadow *n = &k->nodes[fact->node];
    uint64_t index = fact->u.applied.index;
    if (index != n->applied + 1)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY, "n%u applies entry %llu after entry %llu",
                   fact->node, (ull)index, (ull)n->applied);
    n->applied = index;
    if (is_of_chain(k, fact)) {
        check_verdict(k, c, fact);
        return;
    }
    check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
               "n%u applies at %llu an entry of term %llu that is not what was committed there",
               fact->node, (ull)index, (ull)fact->u.applied.entry.term);
}

/* What the snapshot says was judged when the node took it over; its bytes must have come, too. */
static void check_restore(struct checks *k, const struct cluster *c, const struct fact *fact) {
    struct node_shadow *n = &k->nodes[fact->node];
    uint64_t index = fact->u.restore.snapshot.index;
    if (index < n->applied)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u goes back to a snapshot at %llu after applying entry %llu", fact->node,
                   (ull)index, (ull)n->applied);
    if (!fact->u.restore.is_whole)
        check_fail(k, c, CHECK_STATE_MACHINE_SAFETY,
                   "n%u installs a snapshot at %llu of which bytes are missing", fact->node,
                   (ull)index);
    n->applied = index;
}

/* A command that has expired is not done: nothing is acknowledged. */
static void check_answer(struct checks *k, const struct cluster *c, const struct fact *fact) {
    if (fact->u.applied.verdict == NODE_EXPIRED || is_of_chain(k, fact)) return;
    check_fail(k, c, CHECK_ACKNOWLEDGED,
               "n%u acknowledges command %llu at %llu, where it is not committed", fact->node,
               (ull)fact->u.applied.entry.command, (ull)fact->u.applied.index);
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
    case FACT_PREVOTE:
    case FACT_READ:
    case FACT_SERVE:
    case FACT_CRASH:
    case FACT_WIPE:
    case FACT_CONTRACT: break;
    }
    assert(false);
}
