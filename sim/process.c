/* process.c - the lives and steps of a node, and its effects, with a crash between any two of them.
 */
#include "process.h"

#include <assert.h>

#include "client.h"
#include "contract.h"
#include "count.h"
#include "hash.h"

static struct event event_after(const struct cluster *c, node_id id, enum event_type type,
                                uint64_t delay_us) {
    return (struct event){.due_us = c->clock_us + delay_us, .key = event_key(type, id)};
}

void process_schedule(struct cluster *c, node_id id, enum event_type type, uint64_t delay_us) {
    bool has_room = queue_push(&c->queue, event_after(c, id, type, delay_us));
    assert(has_room); /* QUEUE_MAX holds all packets, and these of all nodes. */
}

void process_reschedule(struct cluster *c, node_id id, enum event_type type, uint64_t delay_us) {
    bool has_room = queue_reset(&c->queue, event_after(c, id, type, delay_us));
    assert(has_room);
}

static void count(struct cluster *c, enum sometimes event) { c->counts[event]++; }

/* ---- packets ---- */

static void travel(struct cluster *c, uint32_t slot) {
    const struct cluster_config *config = &c->config;
    const struct packet *p = network_packet(&c->network, slot);
    uint16_t link = choice_link(p->source, p->target);
    uint32_t range = config->latency_us_max - config->latency_us_min + 1;
    uint32_t delay = choice_take(c->choices, CHOICE_DELAY, link, config->delay_us_max + 1);
    if (delay > 0) count(c, SOMETIMES_DELAY);
    struct event event = {
        .due_us = c->clock_us + config->latency_us_min +
                  choice_take(c->choices, CHOICE_LATENCY, link, range) + delay,
        .key = event_key(EVENT_PACKET, p->target),
        .item = slot,
    };
    bool has_room = queue_push(&c->queue, event);
    assert(has_room);
}

/* The packet leaves the node: it may be lost, doubled or late. */
static void leave(struct cluster *c, uint32_t slot) {
    const struct packet *p = network_packet(&c->network, slot);
    uint16_t link = choice_link(p->source, p->target);
    if (p->has_promise && p->promise.type != PROMISE_PREVOTE)
        change_add(c, FACT_LEAVE, p->source)->u.promise = p->promise;
    bool is_cut = network_is_cut(&c->network, p->source, p->target);
    if (is_cut || choice_take(c->choices, CHOICE_LOSS, link, 2) != 0) {
        count(c, is_cut ? SOMETIMES_DROP_CUT : SOMETIMES_LOSS);
        network_free(&c->network, slot);
        return;
    }
    travel(c, slot);
    if (choice_take(c->choices, CHOICE_DUPLICATE, link, 2) == 0) return;
    uint32_t copy = network_put(&c->network, p->source, p->target, p->bytes, p->size);
    if (copy == 0) return;
    network_packet(&c->network, copy)->has_promise = p->has_promise;
    network_packet(&c->network, copy)->promise = p->promise;
    count(c, SOMETIMES_DUPLICATE);
    travel(c, copy);
}

/* A node whose disk hangs does not fill the network with packets that wait for it. */
static void hold(struct cluster *c, node_id id, uint32_t slot, uint64_t after) {
    enum { HELD_MAX = 64 };
    if (c->processes[id].hung_us > c->clock_us && c->network.held_count[id] >= HELD_MAX) {
        count(c, SOMETIMES_LOSS);
        network_free(&c->network, slot);
        return;
    }
    network_hold(&c->network, slot, after);
}

/* Nothing of what broke the contract is carried out. */
static void __attribute__((cold)) note_breach(struct cluster *c, node_id id,
                                              const struct contract_breach *breach) {
    change_add(c, FACT_CONTRACT, id)->u.breach = *breach;
}

/* False: what the node says of the packet's promise breaks the contract. */
static bool ask_promise(struct cluster *c, node_id id, struct packet *p) {
    p->has_promise = c->impl->promise(p->bytes, p->size, &p->promise);
    struct contract_breach breach;
    if (!p->has_promise || contract_promise(c, &p->promise, &breach)) return true;
    note_breach(c, id, &breach);
    return false;
}

static void note_prevote(struct cluster *c, node_id id, const struct packet *p) {
    if (!p->has_promise || p->promise.type != PROMISE_PREVOTE) return;
    change_add(c, FACT_PREVOTE, id)->u.promise = p->promise;
    c->change.prevote_count++;
}

/* False: the contract is broken. */
static bool send(struct cluster *c, node_id id, const struct node_packet *p) {
    uint32_t slot = network_put(&c->network, id, p->target, p->bytes, p->size);
    if (slot == 0) { /* The network is full. */
        count(c, SOMETIMES_LOSS);
        return true;
    }
    if (!ask_promise(c, id, network_packet(&c->network, slot))) {
        network_free(&c->network, slot);
        return false;
    }
    note_prevote(c, id, network_packet(&c->network, slot));
    if (p->after > c->processes[id].durable) hold(c, id, slot, p->after);
    else leave(c, slot);
    return true;
}

/* ---- writes ---- */

static void make_durable(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    uint64_t sequence = disk_sync(&c->disks[id])->sequence;
    assert(sequence == p->durable + 1);
    p->durable = sequence;
    change_add(c, FACT_DURABLE, id)->u.write = sequence;
    for (uint32_t slot; (slot = network_release(&c->network, id, sequence)) != 0;) leave(c, slot);
}

static void start_sync(struct cluster *c, node_id id) {
    uint32_t range = c->config.sync_us_max - c->config.sync_us_min + 1;
    uint32_t more = choice_take(c->choices, CHOICE_SYNC_TIME, id, range);
    c->processes[id].is_syncing = true;
    process_schedule(c, id, EVENT_SYNC, c->config.sync_us_min + more);
}

/* True if the sync does not end now: it ends when the disk no longer hangs, or never. */
static bool is_hung(struct cluster *c, node_id id) {
    const struct process *p = &c->processes[id];
    if (p->hung_us <= c->clock_us) return false;
    if (p->hung_us != UINT64_MAX) process_schedule(c, id, EVENT_SYNC, p->hung_us - c->clock_us);
    return true;
}

/* A write that finds no place blocks its node: it takes no step until the disk goes on. */
static void block_if_full(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    if (p->hung_us <= c->clock_us || c->disks[id].pending < DISK_WRITES_MAX) return;
    if (p->resume_us < p->hung_us) p->resume_us = p->hung_us;
}

void process_hang(struct cluster *c, node_id id, uint64_t until_us) {
    assert(c->processes[id].is_alive);
    count(c, SOMETIMES_HANG);
    c->processes[id].hung_us = until_us;
    block_if_full(c, id);
}

void process_synced(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    struct disk *disk = &c->disks[id];
    assert(p->is_alive && p->is_syncing && disk->pending > 0);
    if (is_hung(c, id)) return;
    uint32_t left = choice_take(c->choices, CHOICE_SYNC_LEFT, id, disk->pending);
    while (disk->pending > left) make_durable(c, id);
    p->is_syncing = false;
    if (left > 0) {
        count(c, SOMETIMES_SYNC_PART);
        start_sync(c, id);
    }
    struct node_event saved = {.type = NODE_SAVED};
    saved.u.saved = p->durable;
    process_step(c, id, &saved);
}

/* Finds the last configuration of the log, up to `last`. */
static void find_members(struct cluster *c, node_id id, uint64_t last) {
    uint64_t base = cluster_view(c, id)->snapshot.index;
    while (last > base && c->impl->entry(cluster_node(c, id), last).type != NODE_MEMBERS) last--;
    c->processes[id].members_index = last;
}

/* The last configuration of the log before the entries that are being written. */
static struct node_members last_members(struct cluster *c, node_id id) {
    uint64_t index = c->processes[id].members_index;
    if (index > cluster_view(c, id)->snapshot.index)
        return c->impl->entry(cluster_node(c, id), index).members;
    struct node_image image;
    c->impl->image(cluster_node(c, id), &image);
    return image.members;
}

static void note_members(struct cluster *c, node_id id, uint64_t index,
                         const struct node_members *members) {
    struct node_members before = last_members(c, id);
    count_members(c, id, &before, members);
    c->has_changed = true;
    c->processes[id].members_before = node_members_all(&before);
    c->processes[id].members_index = index;
}

static void copy_entries(struct cluster *c, node_id id, uint64_t from, struct disk_write *w) {
    uint64_t last = cluster_view(c, id)->last;
    assert(from <= last + 1 && last + 1 - from <= NODE_WRITE_MAX);
    if (from <= c->processes[id].members_index) {
        count(c, SOMETIMES_CHANGE_ROLLED_BACK);
        find_members(c, id, from - 1);
    }
    w->entry_count = (uint32_t)(last + 1 - from);
    for (uint32_t i = 0; i < w->entry_count; i++) {
        w->entries[i] = c->impl->entry(cluster_node(c, id), from + i);
        if (w->entries[i].type == NODE_MEMBERS)
            note_members(c, id, from + i, &w->entries[i].members);
    }
}

static void save(struct cluster *c, node_id id) {
    const struct node_effects *e = &c->effects;
    const struct node_view *view = cluster_view(c, id);
    struct disk *disk = &c->disks[id];
    if (disk->pending == DISK_WRITES_MAX) make_durable(c, id); /* The writer waits for the disk. */
    struct disk_write *w = disk_write(disk);
    w->sequence = e->write;
    w->has_vote = e->save_vote;
    w->term = view->term;
    w->vote = view->vote;
    w->has_snapshot = e->save_snapshot;
    w->snapshot = view->snapshot;
    if (e->save_snapshot) c->impl->image(cluster_node(c, id), &w->image);
    w->from = e->save_from;
    w->entry_count = 0;
    if (e->save_from != 0) copy_entries(c, id, e->save_from, w);
    change_add(c, FACT_WRITE, id)->u.write = e->write;
    if (!c->processes[id].is_syncing) start_sync(c, id);
    block_if_full(c, id);
}

/* ---- the state machine and its clients ---- */

/* A chunk goes behind those before it. What is out of place spoils them all, until a first one
 * comes again. */
static void stage_chunk(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    const struct node_effects *e = &c->effects;
    bool is_next = e->chunk.state == p->staging.state && e->chunk.size == p->staging.size &&
                   e->chunk.offset == p->staging.bytes;
    if (e->chunk.offset > 0) count(c, SOMETIMES_CHUNK);
    if (e->chunk.offset > 0 && is_next && c->change.source != p->staging.source)
        count(c, SOMETIMES_SNAPSHOT_RESUMED);
    if (e->chunk.offset == 0 || !is_next) p->staging.bytes = 0;
    if (e->chunk.offset == 0 || is_next) p->staging.bytes += e->chunk.length;
    p->staging.state = e->chunk.state;
    p->staging.size = e->chunk.size;
    p->staging.source = c->change.source;
}

static void restore(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    const struct node_snapshot *s = &cluster_view(c, id)->snapshot;
    p->applied = s->index;
    p->state = s->state;
    count(c, SOMETIMES_SNAPSHOT_INSTALLED);
    struct fact *fact = change_add(c, FACT_RESTORE, id);
    fact->u.restore.snapshot = *s;
    fact->u.restore.is_whole =
        p->staging.size > 0 && p->staging.state == s->state && p->staging.bytes == p->staging.size;
}

/* What becomes of the entry at `index`. */
static const struct fact *note_entry(struct cluster *c, enum fact_type type, node_id id,
                                     uint64_t index) {
    struct fact *fact = change_add(c, type, id);
    fact->u.applied.index = index;
    fact->u.applied.verdict = c->impl->verdict(cluster_node(c, id), index);
    fact->u.applied.entry = c->impl->entry(cluster_node(c, id), index);
    return fact;
}

/* Only commands that are executed change the state machine. */
static void apply(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    for (uint64_t i = c->effects.apply_from; i <= c->effects.apply_to; i++) {
        const struct fact *fact = note_entry(c, FACT_APPLY, id, i);
        const struct node_entry *e = &fact->u.applied.entry;
        p->applied = i;
        switch (fact->u.applied.verdict) {
        case NODE_EXECUTED:
            if (e->type == NODE_COMMAND) p->state = hash_apply(p->state, e->term, e->command);
            break;
        case NODE_DUPLICATE: count(c, SOMETIMES_DUPLICATE_COMMAND); break;
        case NODE_EXPIRED: count(c, SOMETIMES_SESSION_EXPIRED); break;
        }
    }
}

static void answer(struct cluster *c, node_id id) {
    for (uint64_t i = c->effects.answer_from; i <= c->effects.apply_to; i++) {
        const struct fact *fact = note_entry(c, FACT_ANSWER, id, i);
        uint64_t type = fact->u.applied.entry.type;
        if (type == NODE_COMMAND || type == NODE_SESSION) client_answer(c, fact);
        else c->change.fact_count--; /* Of no client. */
    }
}

static void end_reads(struct cluster *c, node_id id) {
    for (uint32_t i = 0; i < c->effects.read_count; i++) {
        const struct node_read *read = &c->effects.reads[i];
        if (read->is_served) {
            struct fact *fact = change_add(c, FACT_SERVE, id);
            fact->u.read.handle = read->handle;
            fact->u.read.index = c->processes[id].applied;
            count(c, SOMETIMES_READ_SERVED);
            if (read->is_lease) count(c, SOMETIMES_READ_LEASE);
            if (cluster_view(c, id)->role != NODE_LEADER) count(c, SOMETIMES_READ_FOLLOWER);
        } else {
            count(c, SOMETIMES_READ_REFUSED);
        }
        client_read_end(c, id, read);
    }
}

/* The world stores the state machine as of what it has applied, and tells the node, which may drop
 * the entries or, while they are not durable, ignore it: then the next sync asks again. */
static void compact_if_due(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    uint64_t base = cluster_view(c, id)->snapshot.index;
    if (p->is_compacting || p->applied < base + c->config.compact_after) return;
    p->is_compacting = true;
    process_schedule(c, id, EVENT_COMPACT, 0);
}

/* ---- a step ---- */

enum { PER_MILLE = 1000 };

/* The dullest timeout is a place in the range that no other node has. In the calm phase, where all
 * choices are dull, it must vary: or a node without a chance could come first each time, and depose
 * for ever whom the others would elect. */
static uint32_t own_slot(const struct cluster *c, node_id id, uint32_t range) {
    if (!c->is_calm) return (uint32_t)((uint64_t)range * (id - 1u) / cluster_count(c));
    uint64_t words[] = {c->clock_us, id};
    return (uint32_t)(hash_words(0, words, sizeof words / sizeof words[0]) % range);
}

/* By the node's own clock. */
static void start_timer(struct cluster *c, node_id id, uint64_t length_us) {
    process_reschedule(c, id, EVENT_TIMER, length_us + length_us * c->slowness[id] / PER_MILLE);
}

static void set_timer(struct cluster *c, node_id id, enum node_timer timer) {
    const struct cluster_config *config = &c->config;
    if (timer == NODE_TIMER_HEARTBEAT) {
        start_timer(c, id, config->heartbeat_us);
        return;
    }
    assert(timer == NODE_TIMER_ELECTION);
    uint32_t range = config->election_us_max - config->election_us_min;
    uint32_t offset = choice_take(c->choices, CHOICE_TIMEOUT, id, range);
    if (offset == 0) offset = own_slot(c, id, range);
    start_timer(c, id, config->election_us_min + offset);
}

/* True if the node crashes here, before its next effect. */
static bool crashes(struct cluster *c, node_id id, enum sometimes event) {
    struct process *p = &c->processes[id];
    if (p->crash_before == 0 || --p->crash_before > 0) return false;
    count(c, event);
    process_crash(c, id);
    return true;
}

static void carry_out(struct cluster *c, node_id id) {
    const struct node_effects *e = &c->effects;
    if (e->save_chunk) stage_chunk(c, id); /* A crash forgets it: none comes before it. */
    if (e->write != 0) {
        if (crashes(c, id, SOMETIMES_CRASH_BEFORE_SAVE)) return;
        save(c, id);
    }
    for (uint32_t i = 0; i < e->packet_count; i++) {
        bool is_first = i == 0 && e->write != 0;
        enum sometimes before = is_first ? SOMETIMES_CRASH_BEFORE_SEND : SOMETIMES_CRASH_MIDST_SEND;
        if (crashes(c, id, before)) return;
        if (!send(c, id, &e->packets[i])) return;
    }
    if (e->timer != NODE_TIMER_KEEP) set_timer(c, id, e->timer);
    if (e->apply_snapshot || e->apply_to != 0) {
        if (crashes(c, id, SOMETIMES_CRASH_BEFORE_APPLY)) return;
        if (e->apply_snapshot) restore(c, id);
        if (e->apply_to != 0) apply(c, id);
    }
    if (e->answer_from != 0 || e->read_count > 0) {
        if (crashes(c, id, SOMETIMES_CRASH_BEFORE_ANSWER)) return;
        if (e->answer_from != 0) answer(c, id);
        end_reads(c, id);
    }
    if (c->processes[id].crash_before > 0) {
        process_crash(c, id);
        return;
    }
    if (e->apply_to != 0 || e->apply_snapshot) compact_if_due(c, id);
}

/* What the node's own clock shows, which started with the cluster's. */
static uint64_t now_us(const struct cluster *c, node_id id) {
    if (c->slowness[id] == 0) return c->clock_us;
    return c->clock_us * PER_MILLE / (PER_MILLE + c->slowness[id]);
}

static void note_place(const struct cluster *c, uint64_t step, node_id id, uint8_t event) {
    if (c->place == NULL) return;
    *c->place = (struct cluster_place){step, event, id, c->change.source};
}

/* A node that breaks the contract is shown as it was before: nobody sees what it may not answer. */
static void __attribute__((cold)) refuse_answer(struct cluster *c, node_id id,
                                                const struct contract_breach *breach) {
    c->processes[id].view = c->processes[id].before;
    note_breach(c, id, breach);
}

static void pass_term(struct cluster *c, uint64_t term) {
    if (term > c->term_max) c->term_max = term;
}

void process_step(struct cluster *c, node_id id, struct node_event *event) {
    struct process *p = &c->processes[id];
    assert(p->is_alive);
    event->now_us = now_us(c, id);
    struct change *change = &c->change;
    change->node = id;
    p->before = p->view;
    change->before = &p->before;
    change->effects = &c->effects;
    change->source = event->type == NODE_RECEIVE ? event->u.packet.source : 0;
    note_place(c, c->steps + 1, id, (uint8_t)event->type);
    c->impl->step(cluster_node(c, id), event, &c->effects);
    c->impl->view(cluster_node(c, id), &p->view);
    c->steps++;
    struct contract_breach breach;
    if (!contract_step(c, id, event, &breach)) {
        refuse_answer(c, id, &breach);
        return;
    }
    pass_term(c, p->view.term);
    change_add(c, FACT_STEP, id);
    count_step(c, id, change->before);
    carry_out(c, id);
    if (event->type == NODE_SAVED && p->is_alive) compact_if_due(c, id);
}

static struct node_config config_of(const struct cluster *c, node_id id) {
    const struct cluster_config *config = &c->config;
    enum { PATIENCE_MAX = 255 };
    uint32_t patience = config->election_us_min / config->heartbeat_us;
    if (patience == 0) patience = 1;
    return (struct node_config){
        .self = id,
        .voters = cluster_voters(c),
        .batch_max = config->batch_max,
        .window = config->window,
        .chunk_max = config->chunk,
        .patience = patience < PATIENCE_MAX ? patience : PATIENCE_MAX,
        .pre_vote = config->pre_vote >> id % 8 & 1,
        .check_quorum = config->check_quorum >> id % 8 & 1,
        .lease_us = config->lease_us,
    };
}

void process_start(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    const struct disk *disk = &c->disks[id];
    assert(!p->is_alive);
    void *node = cluster_node(c, id);
    if (p->has_memory) c->impl->stop(node);
    *p = (struct process){.is_alive = true, .has_memory = true};
    p->applied = disk->snapshot.index;
    p->state = disk->snapshot.state;
    struct node_config config = config_of(c, id);
    note_place(c, c->steps, id, CLUSTER_PLACE_START);
    c->impl->start(node, &config, disk, &c->effects);
    c->impl->view(node, &p->view);
    struct contract_breach breach;
    if (!contract_start(c, id, &breach)) {
        refuse_answer(c, id, &breach);
        set_timer(c, id, NODE_TIMER_ELECTION);
        return;
    }
    pass_term(c, p->view.term);
    find_members(c, id, cluster_view(c, id)->last);
    change_add(c, FACT_START, id);
    set_timer(c, id, c->effects.timer);
}

void process_crash(struct cluster *c, node_id id) {
    struct process *p = &c->processes[id];
    struct disk *disk = &c->disks[id];
    assert(p->is_alive);
    count(c, SOMETIMES_CRASH);
    uint32_t kept = choice_take(c->choices, CHOICE_CRASH_KEEP, id, disk->pending + 1);
    if (kept > 0) count(c, SOMETIMES_WRITE_KEPT);
    if (kept < disk->pending) count(c, SOMETIMES_WRITE_LOST);
    for (uint32_t i = 0; i < kept; i++) disk_sync(disk);
    disk_lose(disk);
    if (network_forget(&c->network, id) > 0) count(c, SOMETIMES_HELD_LOST);
    queue_remove(&c->queue, event_key(EVENT_TIMER, id));
    queue_remove(&c->queue, event_key(EVENT_SYNC, id));
    queue_remove(&c->queue, event_key(EVENT_COMPACT, id));
    p->is_alive = false;
    p->crash_before = 0;
    p->resume_us = 0;
    p->hung_us = 0;
    change_add(c, FACT_CRASH, id);
    if (c->config.wipe_same_id != 0 && choice_take(c->choices, CHOICE_WIPE, id, 2) != 0)
        process_wipe(c, id);
    if (c->gone >> id & 1) return;
    enum { DOWN_US_MIN = 1000 };
    uint32_t down = choice_take(c->choices, CHOICE_DOWN_TIME, id, c->config.down_us_max);
    process_schedule(c, id, EVENT_RESTART, DOWN_US_MIN + down);
}

void process_stop(struct cluster *c, node_id id) {
    c->gone |= node_bit(id);
    if (c->processes[id].is_alive) process_crash(c, id);
    queue_remove(&c->queue, event_key(EVENT_RESTART, id));
}

void process_wipe(struct cluster *c, node_id id) {
    assert(!c->processes[id].is_alive);
    disk_clear(&c->disks[id]);
    change_add(c, FACT_WIPE, id);
}
