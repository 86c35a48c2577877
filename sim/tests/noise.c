/* noise.c - the noisy wrapper: every byte that the node does not define is drawn anew. */
#include "noise.h"

#include <criterion/criterion.h>
#include <string.h>

#include "raft.h"

static uint64_t state;

void noise_seed(uint64_t seed) { state = seed; }

static uint64_t next_word(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 29;
}

/* All bytes differ from 0 and 1: a boolean that nobody has set must not look like one. */
static void scribble(void *bytes, size_t size) {
    unsigned char *b = bytes;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = next_word() | 0x4242424242424242;
        memcpy(b + i, &word, size - i < sizeof word ? size - i : sizeof word);
    }
}

/* ---- effects ---- */

static bool is_request(enum node_event_type type) {
    return type == NODE_PROPOSE || type == NODE_CHANGE || type == NODE_TRANSFER;
}

/* What no flag, count or number announces. */
static void scribble_unannounced(struct node_effects *out, bool may_refuse) {
    if (!out->save_chunk) scribble(&out->chunk, sizeof out->chunk);
    for (uint32_t i = out->packet_count; i < NODE_PACKETS_MAX; i++)
        scribble(&out->packets[i], sizeof out->packets[i]);
    if (out->apply_to == 0) scribble(&out->apply_from, sizeof out->apply_from);
    for (uint32_t i = out->read_count; i < NODE_READS_MAX; i++)
        scribble(&out->reads[i], sizeof out->reads[i]);
    if (may_refuse && out->refused) return;
    scribble(&out->leader, sizeof out->leader);
    if (!may_refuse) scribble(&out->refused, sizeof out->refused);
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    scribble(node, node_raft.size);
    scribble(out, sizeof *out);
    node_raft.start(node, config, disk, out);
    scribble_unannounced(out, false);
}

/* The bytes of a packet end where its size says. */
static void step_on_packet(void *node, const struct node_event *event, struct node_effects *out) {
    alignas(8) unsigned char bytes[NODE_PACKET_MAX + 64];
    struct node_event copy = *event;
    scribble(bytes, sizeof bytes);
    memcpy(bytes, event->u.packet.bytes, event->u.packet.size);
    copy.u.packet.bytes = bytes;
    node_raft.step(node, &copy, out);
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    scribble(out, sizeof *out);
    if (event->type == NODE_RECEIVE) step_on_packet(node, event, out);
    else node_raft.step(node, event, out);
    scribble_unannounced(out, is_request(event->type));
}

/* ---- what checks may know ---- */

static void view(const void *node, struct node_view *out) {
    scribble(out, sizeof *out);
    node_raft.view(node, out);
}

static struct node_view view_of(const void *node) {
    struct node_view v;
    view(node, &v);
    return v;
}

static struct node_entry entry(const void *node, uint64_t index) {
    struct node_view v = view_of(node);
    cr_assert(v.snapshot.index < index && index <= v.last);
    return node_raft.entry(node, index);
}

static enum node_verdict verdict(const void *node, uint64_t index) {
    struct node_view v = view_of(node);
    cr_assert(v.snapshot.index < index && index <= v.commit);
    return node_raft.verdict(node, index);
}

static void members(const void *node, struct node_members *out) {
    scribble(out, sizeof *out);
    node_raft.members(node, out);
}

/* The words beyond those that the core wants to find again. */
static void image(const void *node, struct node_image *out) {
    enum { USED = RAFT_SESSIONS_MAX * sizeof(struct raft_session) / sizeof(uint64_t) };
    scribble(out, sizeof *out);
    node_raft.image(node, out);
    for (uint32_t i = USED; i < NODE_EXTRA_MAX; i++) out->extra[i] = next_word();
}

static struct node_progress progress(const void *node, node_id peer) {
    struct node_members m;
    members(node, &m);
    cr_assert(view_of(node).role == NODE_LEADER);
    cr_assert(peer <= NODE_MAX && (node_members_all(&m) >> peer & 1));
    return node_raft.progress(node, peer);
}

static bool promise(const void *bytes, size_t size, struct promise *out) {
    struct promise p;
    scribble(out, sizeof *out);
    if (!node_raft.promise(bytes, size, &p)) return false;
    out->type = p.type;
    out->term = p.term;
    if (p.type != PROMISE_APPEND) out->candidate = p.candidate;
    if (p.type == PROMISE_APPEND) out->index = p.index;
    if (p.type == PROMISE_APPEND) out->index_term = p.index_term;
    return true;
}

static void stop(void *node) {
    node_raft.stop(node);
    scribble(node, node_raft.size);
}

const struct node_impl node_noisy = {
    .name = "noisy",
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
