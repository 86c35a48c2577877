/* node_raft.c - the adapter: raft/ behind the door of node.h. */
#include <assert.h>
#include <string.h>

#include "disk.h"
#include "node.h"
#include "raft.h"

static_assert((int)RAFT_NODES_MAX == (int)NODE_MAX, "ids are the same");
static_assert((int)RAFT_LOG_MAX <= (int)NODE_LOG_MAX, "the disk holds any log");
static_assert((int)RAFT_BATCH_MAX <= (int)NODE_WRITE_MAX / 2, "a write holds a batch");
static_assert(sizeof(struct raft_message) <= NODE_PACKET_MAX, "a packet holds a message");
static_assert(sizeof(struct raft_effects) <= NODE_SCRATCH_MAX, "the scratch holds the messages");
static_assert(sizeof(struct raft_entry) == sizeof(struct node_entry), "entries are the same");

static struct raft_effects *begin(struct node_effects *out) {
    return (struct raft_effects *)(void *)out->scratch;
}

/* A packet is the bytes of the message that count. */
static void convert_packets(const struct raft_effects *e, struct node_effects *out) {
    out->packet_count = e->message_count;
    for (uint32_t i = 0; i < e->message_count; i++) {
        const struct raft_message *m = &e->messages[i].message;
        struct node_packet *p = &out->packets[i];
        p->bytes = m;
        p->size = (uint16_t)(RAFT_MESSAGE_HEAD + m->entry_count * sizeof m->entries[0]);
        p->target = m->target;
        p->after = e->messages[i].after;
    }
}

static void convert(const struct raft_effects *e, struct node_effects *out) {
    out->write = e->write;
    out->save_vote = e->save_vote;
    out->save_snapshot = e->save_snapshot;
    out->save_from = e->save_from;
    convert_packets(e, out);
    out->timer = (enum node_timer)e->timer;
    out->apply_snapshot = e->apply_snapshot;
    out->apply_from = e->apply_from;
    out->apply_to = e->apply_to;
    out->answer_from = e->answer_from;
    out->refused = e->refusal != RAFT_ACCEPTED;
    out->leader = e->leader;
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    struct raft_config raft_config = {
        .self = config->self, .voters = config->voters, .batch_max = (uint8_t)config->batch_max};
    const struct node_snapshot *s = &disk->snapshot;
    struct raft_durable durable = {
        .term = disk->term,
        .vote = disk->vote,
        .snapshot = {s->index, s->term, s->state},
        .entry_count = disk->entry_count,
        .entries = (const struct raft_entry *)(const void *)disk->entries,
    };
    raft_init(node, &raft_config, &durable, begin(out));
    convert(begin(out), out);
}

/* True if the bytes have the size of a message. What they say, the core judges. */
static bool is_message(const void *bytes, size_t size) {
    if (size < RAFT_MESSAGE_HEAD) return false;
    const struct raft_message *m = bytes;
    return m->entry_count <= RAFT_BATCH_MAX &&
           size == RAFT_MESSAGE_HEAD + m->entry_count * sizeof m->entries[0];
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    struct raft_event e = {.now_us = event->now_us};
    switch (event->type) {
    case NODE_RECEIVE:
        e.type = RAFT_RECEIVE;
        e.u.message = event->u.packet.bytes;
        static const struct raft_message nothing = {0};
        if (!is_message(event->u.packet.bytes, event->u.packet.size)) e.u.message = &nothing;
        break;
    case NODE_TIMEOUT: e.type = RAFT_TIMEOUT; break;
    case NODE_PROPOSE:
        e.type = RAFT_PROPOSE;
        e.u.command = event->u.command;
        break;
    case NODE_SAVED:
        e.type = RAFT_SAVED;
        e.u.saved = event->u.saved;
        break;
    case NODE_COMPACT:
        e.type = RAFT_COMPACT;
        e.u.compact.index = event->u.compact.index;
        e.u.compact.state = event->u.compact.state;
        break;
    }
    raft_step(node, &e, begin(out));
    convert(begin(out), out);
}

static void stop(void *node) { (void)node; }

static void view(const void *node, struct node_view *out) {
    const struct raft *r = node;
    out->role = (enum node_role)r->role;
    out->vote = r->vote;
    out->leader = r->leader;
    out->term = r->term;
    out->commit = r->commit;
    out->last = r->last;
    out->last_term =
        r->last > r->snapshot.index ? raft_entry_at(r, r->last)->term : r->snapshot.term;
    out->snapshot = (struct node_snapshot){r->snapshot.index, r->snapshot.term, r->snapshot.state};
}

static struct node_entry entry(const void *node, uint64_t index) {
    const struct raft_entry *e = raft_entry_at(node, index);
    return (struct node_entry){e->term, e->command};
}

static struct node_progress progress(const void *node, node_id peer) {
    const struct raft *r = node;
    return (struct node_progress){.match = r->peers[peer].match, .next = r->peers[peer].next};
}

static bool promise(const void *bytes, size_t size, struct promise *out) {
    if (!is_message(bytes, size)) return false;
    const struct raft_message *m = bytes;
    out->term = m->term;
    switch ((enum raft_message_type)m->type) {
    case RAFT_VOTE:
        out->type = PROMISE_VOTE;
        out->candidate = m->source;
        return true;
    case RAFT_VOTE_REPLY:
        out->type = PROMISE_VOTE;
        out->candidate = m->target;
        return m->accepted;
    case RAFT_APPEND_REPLY:
    case RAFT_SNAPSHOT_REPLY:
        out->type = PROMISE_APPEND;
        out->index = m->index;
        out->index_term = m->index_term;
        return m->accepted;
    case RAFT_APPEND:
    case RAFT_SNAPSHOT: return false;
    }
    return false;
}

#ifndef NODE_RAFT
#define NODE_RAFT node_raft /* Mutants of the core build this file under names of their own. */
#define NODE_RAFT_NAME "raft"
#endif

const struct node_impl NODE_RAFT = {
    .name = NODE_RAFT_NAME,
    .size = sizeof(struct raft),
    .log_max = RAFT_LOG_MAX,
    .is_flat = true,
    .start = start,
    .step = step,
    .stop = stop,
    .view = view,
    .entry = entry,
    .progress = progress,
    .promise = promise,
};
