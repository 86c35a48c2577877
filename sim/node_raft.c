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
static_assert((int)RAFT_MESSAGES_MAX <= (int)NODE_PACKETS_MAX, "the batch holds the packets");
static_assert((int)RAFT_READS_MAX + 1 <= (int)NODE_READS_MAX, "the batch holds the reads");

enum { SESSION_WORDS = 4, MESSAGE_HEAD = offsetof(struct raft_message, entries) };
static_assert(sizeof(struct raft_session) == SESSION_WORDS * 8, "a session is a few words");
static_assert(RAFT_SESSIONS_MAX * SESSION_WORDS <= NODE_EXTRA_MAX, "an image holds the sessions");

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
        p->size = (uint16_t)raft_message_size(m);
        p->target = m->target;
        p->after = e->messages[i].after;
    }
}

static void convert_reads(const struct raft_effects *e, struct node_effects *out) {
    out->read_count = e->read_count;
    for (uint32_t i = 0; i < e->read_count; i++) {
        const struct raft_read *read = &e->reads[i];
        out->reads[i] = (struct node_read){read->handle, read->is_served, read->is_lease};
    }
}

static void convert(const struct raft_effects *e, struct node_effects *out) {
    out->save_chunk = e->save_chunk;
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
    convert_reads(e, out);
    out->refused = e->refusal != RAFT_ACCEPTED;
    out->leader = e->leader;
    out->lost_peer = e->lost_peer;
}

static struct raft_snapshot read_snapshot(const struct disk *disk) {
    const struct node_members *m = &disk->image.members;
    struct raft_snapshot s = {
        .index = disk->snapshot.index,
        .term = disk->snapshot.term,
        .state = disk->snapshot.state,
        .size = disk->image.size,
        .members = {.voters = m->voters, .outgoing = m->outgoing, .learners = m->learners},
    };
    memcpy(s.sessions, disk->image.extra, sizeof s.sessions);
    return s;
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    struct raft_config raft_config = {
        .self = config->self,
        .batch_max = (uint8_t)config->batch_max,
        .patience = (uint8_t)config->patience,
        .pre_vote = config->pre_vote,
        .check_quorum = config->check_quorum,
        .window = (uint16_t)config->window,
        .chunk_max = config->chunk_max,
        .lease_us = config->lease_us,
    };
    struct raft_snapshot snapshot = read_snapshot(disk);
    struct raft_durable durable = {
        .term = disk->term,
        .vote = disk->vote,
        .snapshot = &snapshot,
        .entry_count = disk->entry_count,
        .entries = (const struct raft_entry *)(const void *)disk->entries,
    };
    raft_init(node, &raft_config, &durable, begin(out));
    convert(begin(out), out);
}

/* True if the bytes have the size of a message. What they say, the core judges. */
static bool is_message(const void *bytes, size_t size) {
    if (size < MESSAGE_HEAD) return false;
    const struct raft_message *m = bytes;
    return m->entry_count <= RAFT_BATCH_MAX && size == raft_message_size(m);
}

/* The bytes that would travel with the message. */
static void convert_chunk(const struct raft_message *m, struct node_effects *out) {
    out->chunk.state = m->chunk.snapshot.state;
    out->chunk.size = m->chunk.snapshot.size;
    out->chunk.offset = m->chunk.offset;
    out->chunk.length = m->chunk.length;
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
        e.u.propose.type = (enum raft_entry_type)event->u.propose.type;
        e.u.propose.command = event->u.propose.command;
        e.u.propose.session = event->u.propose.session;
        e.u.propose.serial = event->u.propose.serial;
        break;
    case NODE_READ:
        e.type = RAFT_READ;
        e.u.read = event->u.read;
        break;
    case NODE_CHANGE:
        e.type = RAFT_CHANGE;
        e.u.change.voters = event->u.change.voters;
        e.u.change.learners = event->u.change.learners;
        e.u.change.is_joint = event->u.change.is_joint;
        break;
    case NODE_TRANSFER:
        e.type = RAFT_TRANSFER;
        e.u.target = event->u.target;
        break;
    case NODE_SAVED:
        e.type = RAFT_SAVED;
        e.u.saved = event->u.saved;
        break;
    case NODE_COMPACT:
        e.type = RAFT_COMPACT;
        e.u.compact.index = event->u.compact.index;
        e.u.compact.state = event->u.compact.state;
        e.u.compact.size = event->u.compact.size;
        break;
    }
    raft_step(node, &e, begin(out));
    convert(begin(out), out);
    if (out->save_chunk) convert_chunk(e.u.message, out);
}

static void stop(void *node) { (void)node; }

static void view(const void *node, struct node_view *out) {
    const struct raft *r = node;
    out->role = (enum node_role)r->role;
    out->vote = r->vote;
    out->leader = r->leader;
    out->transfer = r->transfer;
    out->term = r->term;
    out->commit = r->commit;
    out->last = r->last;
    out->last_term =
        r->last > r->snapshot.index ? raft_entry_at(r, r->last)->term : r->snapshot.term;
    out->snapshot = (struct node_snapshot){r->snapshot.index, r->snapshot.term, r->snapshot.state};
}

static struct node_entry entry(const void *node, uint64_t index) {
    struct node_entry e;
    memcpy(&e, raft_entry_at(node, index), sizeof e);
    return e;
}

static enum node_verdict verdict(const void *node, uint64_t index) {
    return (enum node_verdict)raft_verdict_at(node, index);
}

static struct node_members convert_members(const struct raft_members *m) {
    return (struct node_members){m->voters, m->outgoing, m->learners};
}

static void members(const void *node, struct node_members *out) {
    const struct raft *r = node;
    *out = convert_members(&r->members);
}

static void image(const void *node, struct node_image *out) {
    const struct raft_snapshot *s = &((const struct raft *)node)->snapshot;
    out->size = s->size;
    out->members = convert_members(&s->members);
    memset(out->extra, 0, sizeof out->extra);
    memcpy(out->extra, s->sessions, sizeof s->sessions);
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
    case RAFT_CHUNK_REPLY:
        out->type = PROMISE_APPEND;
        out->index = m->index;
        out->index_term = m->index_term;
        return m->accepted;
    case RAFT_PREVOTE_REPLY:
        out->type = PROMISE_PREVOTE;
        out->candidate = m->target;
        out->term = m->tag;
        return m->accepted;
    case RAFT_PREVOTE:
    case RAFT_APPEND:
    case RAFT_CHUNK:
    case RAFT_TIMEOUT_NOW:
    case RAFT_READ_REQUEST:
    case RAFT_READ_REPLY: return false;
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
    .supports = NODE_HAS_ALL,
    .is_flat = true,
    .start = start,
    .step = step,
    .stop = stop,
    .view = view,
    .entry = entry,
    .verdict = verdict,
    .members = members,
    .image = image,
    .progress = progress,
    .promise = promise,
};
