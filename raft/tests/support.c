/* support.c - see support.h. */
#include "support.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

static raft_set set_up_to(raft_id count) { return UINT64_MAX >> (63 - count) & ~(raft_set)1; }

uint64_t command_at(raft_index index, raft_term term) { return index * 16 + term; }

uint64_t state_at(raft_index index) { return index * 1000; }

char *log_repeat(char *log, char term, unsigned length) {
    memset(log, term, length);
    log[length] = '\0';
    return log;
}

static struct raft_entry entry_at(raft_index index, char digit) {
    raft_term term = (raft_term)(digit - '0');
    return (struct raft_entry){.term = term, .command = command_at(index, term)};
}

void node_start(struct node *n, struct start start) {
    const char *log = start.log != NULL ? start.log : "";
    struct raft_entry entries[RAFT_LOG_MAX];
    uint32_t count = (uint32_t)strlen(log);
    cr_assert_leq(count, RAFT_LOG_MAX);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = entry_at(start.snapshot.index + 1 + i, log[i]);
    struct raft_config config = {
        .self = start.self != 0 ? start.self : 1,
        .voters = set_up_to(start.voter_count != 0 ? start.voter_count : 3),
        .batch_max = start.batch_max != 0 ? start.batch_max : RAFT_BATCH_MAX,
    };
    struct raft_durable durable = {start.term, start.vote, start.snapshot, count, entries};
    raft_init(&n->raft, &config, &durable, &n->effects);
}

void node_step(struct node *n, const struct raft_event *event) {
    raft_step(&n->raft, event, &n->effects);
}

void node_receive(struct node *n, struct raft_message m) {
    m.target = n->raft.self;
    node_step(n, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = &m});
}

void node_timeout(struct node *n) { node_step(n, &(struct raft_event){.type = RAFT_TIMEOUT}); }

void node_propose(struct node *n, uint64_t command) {
    node_step(n, &(struct raft_event){.type = RAFT_PROPOSE, .u.command = command});
}

void node_compact(struct node *n, raft_index index) {
    struct raft_event event = {.type = RAFT_COMPACT};
    event.u.compact.index = index;
    event.u.compact.state = state_at(index);
    node_step(n, &event);
}

void node_saved(struct node *n, raft_write write) {
    node_step(n, &(struct raft_event){.type = RAFT_SAVED, .u.saved = write});
}

void node_save(struct node *n) { node_saved(n, n->raft.written); }

void node_campaign(struct node *n) {
    node_timeout(n);
    cr_assert_eq(n->raft.role, RAFT_CANDIDATE);
    node_save(n);
}

void node_elect(struct node *n) {
    node_campaign(n);
    for (raft_id id = 1; id <= RAFT_NODES_MAX && n->raft.role == RAFT_CANDIDATE; id++)
        if (id != n->raft.self) node_receive(n, message_grant(id, n->raft.term));
    cr_assert_eq(n->raft.role, RAFT_LEADER);
}

struct raft_message message_vote(raft_id source, raft_term term, raft_index last,
                                 raft_term last_term) {
    return (struct raft_message){
        .type = RAFT_VOTE, .source = source, .term = term, .index = last, .index_term = last_term};
}

struct raft_message message_grant(raft_id source, raft_term term) {
    return (struct raft_message){
        .type = RAFT_VOTE_REPLY, .source = source, .accepted = true, .term = term};
}

struct raft_message message_append(raft_id source, raft_term term, const char *log, raft_index from,
                                   raft_index to) {
    cr_assert_geq(from, 1);
    cr_assert_leq(to, strlen(log));
    cr_assert_leq(to + 1 - from, RAFT_BATCH_MAX);
    struct raft_message m = {
        .type = RAFT_APPEND, .source = source, .term = term, .index = from - 1};
    if (m.index > 0) m.index_term = entry_at(m.index, log[m.index - 1]).term;
    m.entry_count = (uint8_t)(to + 1 - from);
    for (uint8_t i = 0; i < m.entry_count; i++)
        m.entries[i] = entry_at(from + i, log[from + i - 1]);
    return m;
}

struct raft_message message_accepted(raft_id source, raft_term term, raft_index index) {
    return (struct raft_message){.type = RAFT_APPEND_REPLY,
                                 .source = source,
                                 .accepted = true,
                                 .term = term,
                                 .index = index};
}

struct raft_message message_rejected(raft_id source, raft_term term, raft_index index,
                                     raft_index hint, raft_term hint_term) {
    return (struct raft_message){.type = RAFT_APPEND_REPLY,
                                 .source = source,
                                 .term = term,
                                 .index = index,
                                 .index_term = hint_term,
                                 .hint = hint};
}

struct raft_message message_snapshot(raft_id source, raft_term term, raft_index index,
                                     raft_term index_term) {
    return (struct raft_message){.type = RAFT_SNAPSHOT,
                                 .source = source,
                                 .term = term,
                                 .index = index,
                                 .index_term = index_term,
                                 .state = state_at(index)};
}

const struct raft_outgoing *sent_to(const struct node *n, enum raft_message_type type,
                                    raft_id target) {
    const struct raft_outgoing *found = NULL;
    for (uint8_t i = 0; i < n->effects.message_count; i++) {
        const struct raft_outgoing *o = &n->effects.messages[i];
        if (o->message.target != target) continue;
        cr_assert_null(found, "two messages to node %u", target);
        found = o;
    }
    cr_assert_not_null(found, "nothing was sent to node %u", target);
    cr_assert_eq(found->message.type, type, "sent type %u, not %u", found->message.type, type);
    cr_assert_eq(found->message.source, n->raft.self);
    cr_assert_eq(found->message.term, n->raft.term);
    return found;
}

const struct raft_outgoing *sent_alone(const struct node *n, enum raft_message_type type,
                                       raft_id target) {
    cr_assert_eq(n->effects.message_count, 1, "%u messages were sent", n->effects.message_count);
    return sent_to(n, type, target);
}

void assert_log(const struct node *n, const char *log) {
    const struct raft *r = &n->raft;
    char held[RAFT_LOG_MAX + 1] = "";
    for (raft_index i = r->snapshot.index + 1; i <= r->last; i++)
        held[i - r->snapshot.index - 1] = (char)('0' + raft_entry_at(r, i)->term);
    cr_assert_str_eq(held, log, "node %u holds \"%s\", not \"%s\"", r->self, held, log);
}

void assert_no_effects(const struct node *n) {
    const struct raft_effects *e = &n->effects;
    cr_assert_eq(e->write, 0);
    cr_assert_not(e->save_vote || e->save_snapshot || e->save_from != 0);
    cr_assert_eq(e->message_count, 0);
    cr_assert_eq(e->timer, RAFT_TIMER_KEEP);
    cr_assert_not(e->apply_snapshot);
    cr_assert(e->apply_from == 0 && e->apply_to == 0);
    cr_assert_eq(e->answer_from, 0);
}

static bool is_cut(const struct cluster *c, const struct raft_message *m) {
    return (c->cut >> m->source & 1) || (c->cut >> m->target & 1);
}

static void push(struct cluster *c, const struct raft_message *m) {
    if (is_cut(c, m)) return;
    cr_assert_lt(c->tail - c->head, CLUSTER_QUEUE_MAX, "the cluster does not settle");
    c->queue[c->tail++ % CLUSTER_QUEUE_MAX] = *m;
}

/* A node may become leader when its vote is saved, and then has the next thing to save. */
static void step(struct cluster *c, raft_id id, const struct raft_event *event) {
    struct node *n = &c->nodes[id];
    node_step(n, event);
    for (uint8_t i = 0; i < n->effects.message_count; i++) push(c, &n->effects.messages[i].message);
    if (n->raft.durable == n->raft.written) return;
    step(c, id, &(struct raft_event){.type = RAFT_SAVED, .u.saved = n->raft.written});
}

void cluster_start(struct cluster *c, raft_id node_count, raft_term term, const char *log) {
    cr_assert_leq(node_count, CLUSTER_NODES_MAX);
    c->rejection_count = 0;
    c->head = c->tail = 0;
    c->node_count = node_count;
    c->cut = 0;
    for (raft_id id = 1; id <= node_count; id++)
        node_start(&c->nodes[id],
                   (struct start){.self = id, .voter_count = node_count, .term = term, .log = log});
}

void cluster_replace(struct cluster *c, raft_id id, const char *log) {
    struct start start = {
        .self = id, .voter_count = c->node_count, .term = c->nodes[id].raft.term, .log = log};
    node_start(&c->nodes[id], start);
}

void cluster_timeout(struct cluster *c, raft_id id) {
    step(c, id, &(struct raft_event){.type = RAFT_TIMEOUT});
}

void cluster_propose(struct cluster *c, raft_id id, uint64_t command) {
    step(c, id, &(struct raft_event){.type = RAFT_PROPOSE, .u.command = command});
}

void cluster_compact(struct cluster *c, raft_id id, raft_index index) {
    struct raft_event event = {.type = RAFT_COMPACT};
    event.u.compact.index = index;
    event.u.compact.state = state_at(index);
    step(c, id, &event);
}

void cluster_receive(struct cluster *c, raft_id id, struct raft_message m) {
    m.target = id;
    step(c, id, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = &m});
}

void cluster_settle(struct cluster *c) {
    uint32_t limit = c->head + 100 * CLUSTER_QUEUE_MAX;
    while (c->head != c->tail) {
        cr_assert_lt(c->head, limit, "the cluster does not settle");
        struct raft_message m = c->queue[c->head++ % CLUSTER_QUEUE_MAX];
        if (is_cut(c, &m)) continue;
        c->rejection_count += m.type == RAFT_APPEND_REPLY && !m.accepted;
        cluster_receive(c, m.target, m);
    }
}

static void assert_same_log(const struct raft *a, const struct raft *b) {
    cr_assert_eq(a->last, b->last, "last entry %" PRIu64 " of node %u, %" PRIu64 " of node %u",
                 a->last, a->self, b->last, b->self);
    raft_index low = a->snapshot.index > b->snapshot.index ? a->snapshot.index : b->snapshot.index;
    for (raft_index i = low + 1; i <= a->last; i++) {
        cr_assert_eq(raft_entry_at(a, i)->term, raft_entry_at(b, i)->term);
        cr_assert_eq(raft_entry_at(a, i)->command, raft_entry_at(b, i)->command);
    }
}

void cluster_assert_converged(const struct cluster *c) {
    for (raft_id id = 1; id <= c->node_count; id++) {
        assert_same_log(&c->nodes[id].raft, &c->nodes[1].raft);
        cr_assert_eq(c->nodes[id].raft.commit, c->nodes[id].raft.last,
                     "node %u: commit %" PRIu64 " of %" PRIu64, id, c->nodes[id].raft.commit,
                     c->nodes[id].raft.last);
    }
}
