/* cluster.c - see cluster.h. */
#include "cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

static bool is_lost(const struct cluster *c, const struct raft_message *m) {
    if ((c->cut >> m->source & 1) || (c->cut >> m->target & 1)) return true;
    return c->lost[m->source] >> m->target & 1;
}

static void push(struct cluster *c, const struct raft_message *m) {
    if (m->target > c->node_count || is_lost(c, m)) return;
    cr_assert_lt(c->tail - c->head, CLUSTER_QUEUE_MAX, "the cluster does not settle");
    c->queue[c->tail++ % CLUSTER_QUEUE_MAX] = *m;
}

/* The bytes of a snapshot come in order, and all of them before it is applied. */
static void keep_chunk(struct cluster *c, raft_id id, const struct raft_event *event) {
    if (!c->nodes[id].effects.save_chunk) return;
    const struct raft_message *m = event->u.message;
    if (m->chunk.offset == 0) c->staged[id] = 0;
    cr_assert_eq(c->staged[id], m->chunk.offset);
    c->staged[id] += m->chunk.length;
    cr_assert_leq(c->staged[id], m->chunk.snapshot.size);
}

static void restore(struct cluster *c, raft_id id) {
    c->states[id] = c->nodes[id].raft.snapshot.state;
    c->applied[id] = c->nodes[id].raft.snapshot.index;
}

static void apply(struct cluster *c, raft_id id) {
    const struct node *n = &c->nodes[id];
    const struct raft_effects *e = &n->effects;
    if (e->apply_snapshot) {
        cr_assert_eq(c->staged[id], n->raft.snapshot.size);
        restore(c, id);
    }
    for (raft_index i = e->apply_from; i != 0 && i <= e->apply_to; i++) {
        cr_assert_eq(i, ++c->applied[id]);
        const struct raft_entry *entry = raft_entry_at(&n->raft, i);
        if (entry->type != RAFT_COMMAND || raft_verdict_at(&n->raft, i) != RAFT_EXECUTED) continue;
        c->states[id] = (c->states[id] ^ entry->command) * 0x9e3779b97f4a7c15;
    }
}

static void note_reads(struct cluster *c, raft_id id) {
    const struct raft_effects *e = &c->nodes[id].effects;
    for (uint8_t i = 0; i < e->read_count; i++) {
        cr_assert_lt(c->read_count, CLUSTER_READS_MAX);
        c->reads[c->read_count++] = e->reads[i];
        if (e->reads[i].is_served) cr_assert_leq(e->reads[i].index, c->nodes[id].raft.commit);
    }
}

static bool is_hung(const struct cluster *c, raft_id id) { return c->hung >> id & 1; }

static void send_all(struct cluster *c, raft_id id) {
    const struct raft_effects *e = &c->nodes[id].effects;
    for (uint8_t i = 0; i < e->message_count; i++)
        if (e->messages[i].after == 0 || !is_hung(c, id)) push(c, &e->messages[i].message);
}

/* A node may become leader when its vote is saved, and then has the next thing to save. */
void cluster_step(struct cluster *c, raft_id id, const struct raft_event *event) {
    struct node *n = &c->nodes[id];
    n->now_us = c->now_us;
    node_step(n, event);
    keep_chunk(c, id, event);
    send_all(c, id);
    apply(c, id);
    note_reads(c, id);
    if (n->effects.lost_peer != 0) c->told |= (raft_set)1 << n->effects.lost_peer;
    if (event->type != RAFT_SAVED) c->refusal = n->effects.refusal;
    if (n->raft.durable == n->raft.written || is_hung(c, id)) return;
    cluster_step(c, id, &(struct raft_event){.type = RAFT_SAVED, .u.saved = n->raft.written});
}

void cluster_start(struct cluster *c, raft_id node_count, struct start start) {
    cr_assert_leq(node_count, CLUSTER_NODES_MAX);
    c->rejection_count = c->chunk_count = 0;
    c->head = c->tail = 0;
    c->node_count = node_count;
    c->cut = 0;
    c->hung = 0;
    c->told = 0;
    memset(c->lost, 0, sizeof c->lost);
    c->now_us = 0;
    c->read_count = 0;
    memset(c->staged, 0, sizeof c->staged);
    if (start.voter_count == 0) start.voter_count = node_count;
    for (raft_id id = 1; id <= node_count; id++)
        if (id <= start.voter_count) cluster_replace(c, id, start);
        else cluster_replace(c, id, (struct start){.config = start.config, .joins = true});
}

void cluster_replace(struct cluster *c, raft_id id, struct start start) {
    if (start.voter_count == 0) start.voter_count = c->node_count;
    start.config.self = id;
    node_start(&c->nodes[id], start);
    restore(c, id);
}

void cluster_restart(struct cluster *c, raft_id id) {
    node_restart(&c->nodes[id]);
    restore(c, id);
}

void cluster_timeout(struct cluster *c, raft_id id) {
    cluster_step(c, id, &(struct raft_event){.type = RAFT_TIMEOUT});
}

void cluster_propose(struct cluster *c, raft_id id, uint64_t command) {
    struct raft_event event = {.type = RAFT_PROPOSE, .u.propose = {RAFT_COMMAND, command, 0, 0}};
    cluster_step(c, id, &event);
}

void cluster_change(struct cluster *c, raft_id id, const char *voters, const char *learners) {
    struct raft_event event = {.type = RAFT_CHANGE,
                               .u.change = {ids(voters), ids(learners), false}};
    cluster_step(c, id, &event);
}

void cluster_transfer(struct cluster *c, raft_id id, raft_id target) {
    cluster_step(c, id, &(struct raft_event){.type = RAFT_TRANSFER, .u.target = target});
}

void cluster_read(struct cluster *c, raft_id id, uint64_t handle) {
    cluster_step(c, id, &(struct raft_event){.type = RAFT_READ, .u.read = handle});
}

void cluster_compact(struct cluster *c, raft_id id) {
    struct raft_event event = {
        .type = RAFT_COMPACT,
        .u.compact = {c->nodes[id].raft.commit, c->states[id], SNAPSHOT_SIZE}};
    cluster_step(c, id, &event);
}

void cluster_receive(struct cluster *c, raft_id id, struct raft_message m) {
    m.target = id;
    cluster_step(c, id, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = &m});
}

void cluster_settle(struct cluster *c) {
    uint32_t limit = c->head + 100 * CLUSTER_QUEUE_MAX;
    while (c->head != c->tail) {
        cr_assert_lt(c->head, limit, "the cluster does not settle");
        struct raft_message m = c->queue[c->head++ % CLUSTER_QUEUE_MAX];
        if (is_lost(c, &m)) continue;
        c->rejection_count += m.type == RAFT_APPEND_REPLY && !m.accepted;
        c->chunk_count += m.type == RAFT_CHUNK;
        cluster_receive(c, m.target, m);
    }
}

void cluster_run(struct cluster *c, raft_id id, unsigned count) {
    for (; count > 0; count--) {
        cluster_timeout(c, id);
        cluster_settle(c);
    }
}

/* The timers of the others run out first, unheard: who checks quorums votes for nobody before. */
void cluster_elect(struct cluster *c, raft_id id) {
    raft_set cut = c->cut;
    if (c->nodes[id].raft.config.check_quorum) {
        c->cut = ids_up_to(c->node_count);
        for (raft_id other = 1; other <= c->node_count; other++)
            if (other != id) cluster_timeout(c, other);
        c->cut = cut;
    }
    for (int i = 0; i < 3 && c->nodes[id].raft.role != RAFT_LEADER; i++) cluster_run(c, id, 1);
    cr_assert_eq(c->nodes[id].raft.role, RAFT_LEADER);
    cluster_run(c, id, 1);
}

void cluster_link(struct cluster *c, raft_id a, raft_id b, bool is_up) {
    raft_set set[] = {(raft_set)1 << a, (raft_set)1 << b};
    c->lost[a] = is_up ? c->lost[a] & ~set[1] : c->lost[a] | set[1];
    c->lost[b] = is_up ? c->lost[b] & ~set[0] : c->lost[b] | set[0];
}

raft_id cluster_leader(const struct cluster *c) {
    raft_id leader = 0;
    for (raft_id id = 1; id <= c->node_count; id++) {
        const struct raft *r = &c->nodes[id].raft;
        if (r->role != RAFT_LEADER) continue;
        if (leader == 0 || r->term > c->nodes[leader].raft.term) leader = id;
    }
    return leader;
}

void cluster_assert_read(const struct cluster *c, uint64_t handle, bool is_served) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < c->read_count; i++) {
        if (c->reads[i].handle != handle) continue;
        cr_assert_eq(c->reads[i].is_served, is_served, "read %" PRIu64, handle);
        found++;
    }
    cr_assert_eq(found, 1, "read %" PRIu64 " ended %u times", handle, found);
}

static void assert_same_log(const struct raft *a, const struct raft *b) {
    cr_assert_eq(a->last, b->last, "last entry %" PRIu64 " of node %u, %" PRIu64 " of node %u",
                 a->last, a->config.self, b->last, b->config.self);
    raft_index low = a->snapshot.index > b->snapshot.index ? a->snapshot.index : b->snapshot.index;
    for (raft_index i = low + 1; i <= a->last; i++)
        cr_assert_arr_eq(raft_entry_at(a, i), raft_entry_at(b, i), sizeof(struct raft_entry));
}

void cluster_assert_converged(const struct cluster *c) {
    cr_assert_eq(c->told, 0);
    raft_id first = 0;
    for (raft_id id = 1; id <= c->node_count; id++) {
        const struct raft *r = &c->nodes[id].raft;
        if (c->cut >> id & 1) continue;
        if (first == 0) first = id;
        assert_same_log(r, &c->nodes[first].raft);
        cr_assert_eq(r->commit, r->last, "node %u: commit %" PRIu64 " of %" PRIu64, id, r->commit,
                     r->last);
        cr_assert_eq(c->applied[id], r->commit);
        cr_assert_eq(c->states[id], c->states[first], "the states of %u and %u", id, first);
    }
}
