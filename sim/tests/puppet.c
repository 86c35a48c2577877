/* puppet.c - the strings: the node, the choices that make the wanted event happen, the verbs. */
#include "puppet.h"

#include <assert.h>
#include <string.h>

/* ---- the node ---- */

static void clear_next(struct puppet *p) {
    memset(&p->next, 0, offsetof(struct node_effects, scratch));
    p->next.timer = NODE_TIMER_ELECTION; /* So that it can always be made to step. */
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    (void)config;
    struct puppet *p = node;
    p->view = (struct node_view){
        .vote = disk->vote,
        .term = p->start_term != 0 ? p->start_term : disk->term,
        .commit = p->start_commit != 0 ? p->start_commit : disk->snapshot.index,
        .last = disk_last(disk),
        .snapshot = disk->snapshot,
    };
    p->image = disk->image;
    for (uint32_t i = 0; i < disk->entry_count; i++)
        p->log[(disk->snapshot.index + 1 + i) % NODE_LOG_MAX] = disk->entries[i];
    p->written = 0;
    clear_next(p);
    memcpy(out, &p->next, offsetof(struct node_effects, scratch));
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    (void)event;
    struct puppet *p = node;
    memcpy(out, &p->next, offsetof(struct node_effects, scratch));
    clear_next(p);
}

static void stop(void *node) { (void)node; }

static struct node_entry entry(const void *node, uint64_t index) {
    const struct puppet *p = node;
    return p->log[index % NODE_LOG_MAX];
}

static void view(const void *node, struct node_view *out) {
    const struct puppet *p = node;
    *out = p->view;
    out->last_term =
        p->view.last > p->view.snapshot.index ? entry(p, p->view.last).term : p->view.snapshot.term;
}

static enum node_verdict verdict(const void *node, uint64_t index) {
    const struct puppet *p = node;
    return (enum node_verdict)p->verdicts[index % NODE_LOG_MAX];
}

/* In force at `index` of its log. */
static struct node_members members_at(const struct puppet *p, uint64_t index) {
    for (uint64_t i = index; i > p->view.snapshot.index; i--) {
        struct node_entry e = entry(p, i);
        if (e.type == NODE_MEMBERS) return e.members;
    }
    return p->image.members;
}

static void members(const void *node, struct node_members *out) {
    const struct puppet *p = node;
    *out = p->is_forged ? p->forged : members_at(p, p->view.last);
}

static void image(const void *node, struct node_image *out) {
    const struct puppet *p = node;
    *out = p->image;
}

static struct node_progress progress(const void *node, node_id peer) {
    const struct puppet *p = node;
    return p->peers[peer];
}

static bool promise(const void *bytes, size_t size, struct promise *out) {
    if (size != sizeof *out) return false;
    memcpy(out, bytes, sizeof *out);
    return true;
}

const struct node_impl node_puppet = {
    .name = "puppet",
    .size = sizeof(struct puppet),
    .log_max = NODE_LOG_MAX,
    .supports = NODE_HAS_NEXT | NODE_HAS_PRE_VOTE,
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

/* ---- the world ---- */

static uint32_t answer(struct choices *c, enum choice_label label, uint16_t subject,
                       uint32_t bound) {
    (void)subject;
    const struct world *w = (const struct world *)(const void *)c;
    assert(w->answers[label] < bound);
    return w->answers[label];
}

static void watch(struct world *w, const struct change *change) {
    checks_observe(w->checks, w->cluster, change);
    w->is_over = checks_violation(w->checks) != NULL || checks_undecided(w->checks) != NULL;
}

void world_open(struct world *w) {
    *w = (struct world){.cluster = cluster_new(&node_puppet), .checks = checks_new()};
    assert(w->cluster != NULL);
    assert(w->checks != NULL);
}

void world_close(struct world *w) {
    cluster_free(w->cluster);
    checks_free(w->checks);
}

void world_reset(struct world *w, uint32_t node_count, uint32_t enabled) {
    const struct cluster_config config = {
        .nodes = node_count,
        .spares = w->spares,
        .batch_max = 8,
        .window = 8,
        .chunk = 1,
        .snapshot = 1,
        .retry_us = 100,
        .compact_after = 512,
        .slack_us = UINT32_MAX, /* Any event that is pending may be made to happen. */
        .election_us_min = 1000,
        .election_us_max = 1001,
        .heartbeat_us = 100,
        .client_us = 100,
        .fault_us = 100,
        .down_us_max = 1,
        .pause_us_max = 1,
        .wipe_same_id = 1, /* A crash may wipe the disk. */
    };
    w->choices = (struct choices){.next = answer};
    memset(w->answers, 0, sizeof w->answers);
    w->answers[CHOICE_LOSS] = 1; /* A packet leaves, and that is all that it is for. */
    w->ignored = 0;
    memset(w->cluster->memory, 0, w->cluster->stride * (node_count + w->spares + 1));
    checks_reset(w->checks, enabled, &config);
    watch(w, cluster_reset(w->cluster, &config, &w->choices));
}

struct puppet *puppet(struct world *w, node_id id) { return cluster_node(w->cluster, id); }

/* Where the queue has the event: the answer that makes it the next one. */
static uint32_t position(const struct queue *q, uint32_t key) {
    uint32_t i = 0;
    while (i < q->count && queue_at(q, i).key != key) i++;
    assert(i < q->count);
    return i;
}

static void happens(struct world *w, enum event_type type, node_id id) {
    if (w->is_over) {
        w->ignored++;
        return;
    }
    w->answers[CHOICE_EVENT] = position(&w->cluster->queue, event_key(type, id));
    watch(w, cluster_step(w->cluster));
}

/* ---- what the next step declares ---- */

uint64_t saves(struct world *w, node_id id) {
    struct puppet *p = puppet(w, id);
    if (p->next.write == 0) p->next.write = ++p->written;
    return p->next.write;
}

/* A story may skip terms: they count as passed. */
static void pass_terms(struct world *w, uint64_t term) {
    if (w->cluster->term_max < term) w->cluster->term_max = term;
}

void saves_vote(struct world *w, node_id id, uint64_t term, node_id vote) {
    pass_terms(w, term);
    struct puppet *p = puppet(w, id);
    saves(w, id);
    p->next.save_vote = true;
    p->view.term = term;
    p->view.vote = vote;
}

static void saves_from(struct world *w, node_id id, uint64_t from) {
    struct puppet *p = puppet(w, id);
    saves(w, id);
    if (p->next.save_from == 0 || p->next.save_from > from) p->next.save_from = from;
}

void saves_command(struct world *w, node_id id, uint64_t index, struct node_entry entry) {
    struct puppet *p = puppet(w, id);
    p->log[index % NODE_LOG_MAX] = entry;
    p->view.last = index;
    saves_from(w, id, index);
}

void saves_entry(struct world *w, node_id id, uint64_t index, uint64_t term) {
    saves_command(w, id, index,
                  (struct node_entry){
                      .term = term, .type = NODE_COMMAND, .command = index << 32 | (term + 1)});
}

static struct node_entry members_entry(uint64_t term, struct node_members members) {
    return (struct node_entry){.term = term, .type = NODE_MEMBERS, .members = members};
}

void saves_members(struct world *w, node_id id, uint64_t index, uint64_t term,
                   struct node_members members) {
    saves_command(w, id, index, members_entry(term, members));
}

void truncates(struct world *w, node_id id, uint64_t last) {
    puppet(w, id)->view.last = last;
    saves_from(w, id, last + 1);
}

void receives_snapshot(struct world *w, node_id id, node_id source) {
    struct puppet *p = puppet(w, id);
    const struct puppet *s = puppet(w, source);
    p->next.save_chunk = true;
    p->next.chunk.state = s->view.snapshot.state;
    p->next.chunk.size = p->next.chunk.length = s->image.size;
    p->next.apply_snapshot = true;
    p->image = s->image;
}

void serves(struct world *w, node_id id, uint64_t handle) {
    struct puppet *p = puppet(w, id);
    p->next.reads[p->next.read_count++] = (struct node_read){.handle = handle, .is_served = true};
}

void promises(struct world *w, node_id id, struct promise promise, uint64_t after) {
    struct puppet *p = puppet(w, id);
    uint32_t i = p->next.packet_count++;
    p->promises[i] = promise;
    p->next.packets[i] = (struct node_packet){
        .bytes = &p->promises[i],
        .size = sizeof promise,
        .target = id == 1 ? 2 : 1,
        .after = after,
    };
}

void promises_vote(struct world *w, node_id id, node_id candidate, uint64_t term, uint64_t after) {
    promises(w, id, (struct promise){.type = PROMISE_VOTE, .candidate = candidate, .term = term},
             after);
}

void promises_prevote(struct world *w, node_id id, node_id candidate, uint64_t term) {
    promises(w, id, (struct promise){.type = PROMISE_PREVOTE, .candidate = candidate, .term = term},
             0);
}

void promises_append(struct world *w, node_id id, uint64_t index, uint64_t term, uint64_t after) {
    struct promise promise = {.type = PROMISE_APPEND,
                              .term = puppet(w, id)->view.term,
                              .index = index,
                              .index_term = term};
    promises(w, id, promise, after);
}

/* ---- events ---- */

void steps(struct world *w, node_id id) { happens(w, EVENT_TIMER, id); }

static void hears_packet(struct world *w, node_id id, node_id peer, const struct promise *promise) {
    struct cluster *c = w->cluster;
    const uint64_t nothing = 0;
    uint32_t slot = network_put(&c->network, peer, id, &nothing, sizeof nothing);
    network_packet(&c->network, slot)->has_promise = promise != NULL;
    if (promise != NULL) network_packet(&c->network, slot)->promise = *promise;
    bool has_room =
        queue_push(&c->queue, (struct event){.key = event_key(EVENT_PACKET, id), .item = slot});
    assert(has_room);
    happens(w, EVENT_PACKET, id);
}

void hears(struct world *w, node_id id, node_id peer) { hears_packet(w, id, peer, NULL); }

void hears_promise(struct world *w, node_id id, node_id peer, struct promise promise) {
    hears_packet(w, id, peer, &promise);
}

void syncs_but(struct world *w, node_id id, uint32_t left) {
    w->answers[CHOICE_SYNC_LEFT] = left;
    happens(w, EVENT_SYNC, id);
    w->answers[CHOICE_SYNC_LEFT] = 0;
}

void syncs(struct world *w, node_id id) { syncs_but(w, id, 0); }

void crashes(struct world *w, node_id id, uint32_t kept) {
    w->answers[CHOICE_CRASH] = id;
    w->answers[CHOICE_CRASH_KEEP] = kept;
    happens(w, EVENT_FAULT, 0);
    w->answers[CHOICE_CRASH] = 0;
    w->answers[CHOICE_CRASH_KEEP] = 0;
}

void wipes(struct world *w, node_id id) {
    w->answers[CHOICE_WIPE] = 1;
    crashes(w, id, 0);
    w->answers[CHOICE_WIPE] = 0;
}

void crashes_before(struct world *w, node_id id, uint32_t effect) {
    w->answers[CHOICE_CRASH] = id;
    w->answers[CHOICE_CRASH_POINT] = effect;
    happens(w, EVENT_FAULT, 0);
    w->answers[CHOICE_CRASH] = 0;
    w->answers[CHOICE_CRASH_POINT] = 0;
}

void restarts(struct world *w, node_id id) { happens(w, EVENT_RESTART, id); }

void begins_read(struct world *w, uint64_t handle) {
    static struct change change;
    change.fact_count = 1;
    change.facts[0] = (struct fact){.type = FACT_READ, .u.read.handle = handle};
    if (!w->is_over) watch(w, &change);
    else w->ignored++;
}

/* ---- moves ---- */

void follows(struct world *w, node_id id, uint64_t term) {
    puppet(w, id)->view.role = NODE_FOLLOWER;
    saves_vote(w, id, term, 0);
    steps(w, id);
    syncs(w, id);
}

void votes(struct world *w, node_id id, node_id candidate, uint64_t term) {
    struct puppet *p = puppet(w, id);
    p->view.role = id == candidate ? NODE_CANDIDATE : NODE_FOLLOWER;
    saves_vote(w, id, term, candidate);
    promises_vote(w, id, candidate, term, p->written);
    steps(w, id);
}

void leads(struct world *w, node_id id, uint64_t term) {
    struct puppet *p = puppet(w, id);
    p->view.role = NODE_LEADER;
    p->view.leader = id;
    p->view.term = term;
    pass_terms(w, term);
    for (node_id peer = 1; peer <= NODE_MAX; peer++)
        p->peers[peer] = (struct node_progress){.match = 0, .next = p->view.last + 1};
    steps(w, id);
}

void elects(struct world *w, node_id id, uint64_t term, node_set voters) {
    for (node_id voter = 1; voter <= NODE_MAX; voter++) {
        if (!(voters & node_bit(voter))) continue;
        votes(w, voter, id, term);
        syncs(w, voter);
    }
    leads(w, id, term);
}

/* What it has declared, and a follower's promise of it. */
static void takes(struct world *w, node_id id, uint64_t index, uint64_t term) {
    const struct puppet *p = puppet(w, id);
    if (p->view.role != NODE_LEADER) promises_append(w, id, index, term, p->written);
    steps(w, id);
}

void appends(struct world *w, node_id id, uint64_t index, uint64_t term) {
    saves_entry(w, id, index, term);
    takes(w, id, index, term);
}

void reconfigures(struct world *w, node_id id, uint64_t index, uint64_t term,
                  struct node_members members) {
    saves_members(w, id, index, term, members);
    takes(w, id, index, term);
}

void replicates(struct world *w, node_set targets, uint64_t index, uint64_t term) {
    for (node_id id = 1; id <= NODE_MAX; id++) {
        if (!(targets & node_bit(id))) continue;
        appends(w, id, index, term);
        syncs(w, id);
    }
}

void replicates_members(struct world *w, node_set targets, uint64_t index, uint64_t term,
                        struct node_members members) {
    for (node_id id = 1; id <= NODE_MAX; id++) {
        if (!(targets & node_bit(id))) continue;
        reconfigures(w, id, index, term, members);
        syncs(w, id);
    }
}

void copies(struct world *w, node_id id, node_id source, uint64_t index) {
    struct node_entry e = entry(puppet(w, source), index);
    saves_command(w, id, index, e);
    takes(w, id, index, e.term);
    syncs(w, id);
}

void learns(struct world *w, node_id id, node_id peer, uint64_t match) {
    puppet(w, id)->peers[peer] = (struct node_progress){.match = match, .next = match + 1};
    hears(w, id, peer);
}

void commits(struct world *w, node_id id, uint64_t index) {
    struct puppet *p = puppet(w, id);
    p->next.apply_from = p->view.commit + 1;
    p->next.apply_to = index;
    p->view.commit = index;
    steps(w, id);
}

void answers(struct world *w, node_id id, uint64_t index) {
    struct puppet *p = puppet(w, id);
    p->next.answer_from = p->view.commit + 1;
    commits(w, id, index);
}

void takes_snapshot(struct world *w, node_id id, struct node_snapshot snapshot) {
    struct puppet *p = puppet(w, id);
    saves(w, id);
    p->next.save_snapshot = true;
    if (!p->next.apply_snapshot)
        p->image = (struct node_image){.size = 1, .members = members_at(p, snapshot.index)};
    p->view.snapshot = snapshot;
    steps(w, id);
}

void compacts(struct world *w, node_id id) {
    const struct process *process = &w->cluster->processes[id];
    uint64_t index = process->applied;
    takes_snapshot(w, id,
                   (struct node_snapshot){index, entry(puppet(w, id), index).term, process->state});
}

void installs(struct world *w, node_id id, node_id source) {
    struct puppet *p = puppet(w, id);
    receives_snapshot(w, id, source);
    truncates(w, id, puppet(w, source)->view.snapshot.index);
    p->view.commit = p->view.last;
    takes_snapshot(w, id, puppet(w, source)->view.snapshot);
}
