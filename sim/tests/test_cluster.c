/* test_cluster.c - the world, with an actor for a node: what it orders, the world must do, in order
 * and no more, and chosen faults must hit just where they say. At the end, whole runs of the real
 * node: they must be functions of their seed. */
#include "cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "profile.h"
#include "run.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

/* A line of words such as "write:1 leave:7", to compare what happened with a story. */
struct text {
    char line[6000];
    size_t length;
};

static void tell(struct text *t, const char *word, uint64_t value) {
    char number[24] = "";
    if (value != 0) snprintf(number, sizeof number, ":%" PRIu64, value);
    int n = snprintf(t->line + t->length, sizeof t->line - t->length, "%s%s%s",
                     t->length == 0 ? "" : " ", word, number);
    t->length += (size_t)n;
    cr_assert(t->length < sizeof t->line);
}

/* ---- the actor: a node whose next step the test has prepared ---- */

struct actor {
    node_id self;
};

struct heard {
    enum node_event_type type;
    node_id node;
    uint64_t value, at_us;
};

enum { HEARD_MAX = 8192 };

static struct cluster *world;
static struct stage {
    struct node_effects effects; /* What the next step orders. The one after orders nothing. */
    struct node_view view;
    uint64_t words[NODE_MAX]; /* The packets of `effects`: one word each. */
    struct node_config config;
} stages[NODE_MAX + 1];
static struct heard heard[HEARD_MAX];
static uint32_t heard_count;
static bool is_living[NODE_MAX + 1];
static uint32_t start_count;

static void clear_effects(struct node_effects *e) {
    memset(e, 0, offsetof(struct node_effects, scratch));
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    struct stage *s = &stages[config->self];
    cr_assert(!is_living[config->self], "its last life was not given back");
    is_living[config->self] = true;
    start_count++;
    ((struct actor *)node)->self = config->self;
    s->config = *config;
    s->view = (struct node_view){.term = disk->term,
                                 .vote = disk->vote,
                                 .last = disk_last(disk),
                                 .commit = disk->snapshot.index,
                                 .snapshot = disk->snapshot};
    clear_effects(&s->effects);
    clear_effects(out);
    out->timer = NODE_TIMER_ELECTION;
}

static void stop(void *node) {
    node_id id = ((struct actor *)node)->self;
    cr_assert(is_living[id]);
    is_living[id] = false;
}

static uint64_t event_value(const struct node_event *event) {
    uint64_t word = 0;
    switch (event->type) {
    case NODE_RECEIVE:
        cr_assert(event->u.packet.size == sizeof word);
        memcpy(&word, event->u.packet.bytes, sizeof word);
        return word;
    case NODE_PROPOSE: return event->u.command;
    case NODE_SAVED: return event->u.saved;
    case NODE_COMPACT: return event->u.compact.index;
    case NODE_TIMEOUT: return 0;
    }
    cr_assert(false);
    return 0;
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    node_id id = ((const struct actor *)node)->self;
    struct stage *s = &stages[id];
    cr_assert(heard_count < HEARD_MAX);
    heard[heard_count++] = (struct heard){event->type, id, event_value(event), world->clock_us};
    memcpy(out, &s->effects, offsetof(struct node_effects, scratch));
    clear_effects(&s->effects);
}

static void view(const void *node, struct node_view *out) {
    *out = stages[((const struct actor *)node)->self].view;
}

/* Every fifth entry is a no-op, of no client. */
static struct node_entry entry(const void *node, uint64_t index) {
    (void)node;
    return (struct node_entry){.term = 7, .command = index % 5 == 0 ? 0 : 100 + index};
}

static struct node_progress progress(const void *node, node_id peer) {
    (void)node, (void)peer;
    return (struct node_progress){0};
}

/* The promise of a packet is its word, so that FACT_LEAVE tells which packet leaves. */
static bool promise(const void *bytes, size_t size, struct promise *out) {
    cr_assert(size == sizeof out->term);
    out->type = PROMISE_VOTE;
    memcpy(&out->term, bytes, size);
    return true;
}

static const struct node_impl actor_impl = {
    .name = "actor",
    .size = sizeof(struct actor),
    .log_max = NODE_LOG_MAX,
    .is_flat = true,
    .start = start,
    .step = step,
    .stop = stop,
    .view = view,
    .entry = entry,
    .progress = progress,
    .promise = promise,
};

/* ---- the choices: each label answers what the test says, or the most that it may ---- */

static struct choices choices;
static uint32_t forced[CHOICE_LABEL_COUNT], asked[CHOICE_LABEL_COUNT];
static uint32_t bound_asked[CHOICE_LABEL_COUNT]; /* The last one. */
static node_set outside;                         /* The answers to CHOICE_CORE. */

static uint32_t next_forced(struct choices *c, enum choice_label label, uint16_t subject,
                            uint32_t bound) {
    (void)c;
    asked[label]++;
    bound_asked[label] = bound;
    if (label == CHOICE_CORE) return outside >> subject & 1;
    return forced[label] < bound ? forced[label] : bound - 1;
}

/* ---- the stage ---- */

/* Nothing happens for ten seconds but what the test orders. */
enum {
    QUIET_US = 10 * 1000 * 1000,
    LATENCY_US = 1000,
    SYNC_US = 100,
    HEARTBEAT_US = 500,
    DOWN_US = 1000
};

static struct cluster_config quiet(uint32_t nodes) {
    return (struct cluster_config){
        .nodes = nodes,
        .batch_max = 8,
        .compact_after = 512,
        .latency_us_min = LATENCY_US,
        .latency_us_max = 2 * LATENCY_US,
        .delay_us_max = 5000,
        .sync_us_min = SYNC_US,
        .sync_us_max = 2 * SYNC_US,
        .election_us_min = QUIET_US,
        .election_us_max = 2 * QUIET_US,
        .heartbeat_us = HEARTBEAT_US,
        .client_us = 6 * QUIET_US,
        .fault_us = 6 * QUIET_US,
        .down_us_max = 10000,
        .pause_us_max = 10000,
    };
}

static void begin(struct cluster_config config) {
    memset(forced, 0, sizeof forced);
    memset(asked, 0, sizeof asked);
    outside = 0;
    heard_count = 0;
    choices = (struct choices){.next = next_forced};
    cluster_reset(world, &config, &choices);
}

static void open_stage(void) {
    world = cluster_new(&actor_impl);
    cr_assert(world != NULL);
}

static void close_stage(void) {
    cluster_free(world);
    for (uint32_t id = 1; id <= NODE_MAX; id++) cr_assert(!is_living[id], "n%u", id);
}

TestSuite(cluster, .init = open_stage, .fini = close_stage);

/* When that event is due, of which there is one at most; 0: never. */
static uint64_t pending(enum event_type type, uint32_t id) {
    uint64_t due_us = 0;
    for (uint32_t i = 0; i < world->queue.count; i++) {
        if (world->queue.events[i].key != event_key(type, (node_id)id)) continue;
        cr_assert(due_us == 0, "event %u of n%u is pending twice", type, id);
        due_us = world->queue.events[i].due_us;
    }
    return due_us;
}

/* Before all that is pending: long overdue. */
static const struct change *happen_now(enum event_type type, node_id id) {
    cr_assert(queue_reset(&world->queue, (struct event){.key = event_key(type, id)}));
    uint64_t clock_us = world->clock_us;
    const struct change *change = cluster_step(world);
    cr_assert(world->clock_us == clock_us, "the clock shows when it happened");
    return change;
}

/* The node takes a step now, with the effects that were ordered. */
static const struct change *poke(node_id id) {
    const struct change *change = happen_now(EVENT_TIMER, id);
    cr_assert(change->node == id && change->fact_count > 0, "n%u took no step", id);
    return change;
}

static const struct change *fault_now(void) { return happen_now(EVENT_FAULT, 0); }

static void crash_now(node_id id) {
    forced[CHOICE_CRASH] = id;
    fault_now();
    forced[CHOICE_CRASH] = 0;
    cr_assert(!world->processes[id].is_alive);
}

static uint64_t next_due(void) { return world->queue.events[world->queue.count - 1].due_us; }

static void run_for(uint64_t us) {
    uint64_t limit = world->clock_us + us;
    while (next_due() <= limit) cluster_step(world);
    world->clock_us = limit;
}

static void order_write(node_id id, uint64_t sequence) {
    stages[id].effects.write = sequence;
    stages[id].effects.save_vote = true;
    stages[id].view.term = sequence;
}

static void order_packet(node_id id, node_id target, uint64_t word, uint64_t after) {
    struct stage *s = &stages[id];
    uint32_t i = s->effects.packet_count++;
    s->words[i] = word;
    s->effects.packets[i] = (struct node_packet){
        .bytes = &s->words[i], .size = sizeof word, .target = target, .after = after};
}

static void order_apply(node_id id, uint64_t from, uint64_t to) {
    stages[id].effects.apply_from = from;
    stages[id].effects.apply_to = to;
}

/* ---- what happened, as a line ---- */

static uint64_t fact_value(const struct fact *fact) {
    switch (fact->type) {
    case FACT_WRITE:
    case FACT_DURABLE: return fact->u.write;
    case FACT_LEAVE: return fact->u.promise.term;
    case FACT_RESTORE: return fact->u.snapshot.index;
    case FACT_APPLY:
    case FACT_ANSWER: return fact->u.applied.index;
    case FACT_START:
    case FACT_STEP:
    case FACT_CRASH: return 0;
    }
    cr_assert(false);
    return 0;
}

static const char *facts(const struct change *change) {
    static const char *const names[] = {
        [FACT_START] = "start",     [FACT_STEP] = "step",     [FACT_WRITE] = "write",
        [FACT_DURABLE] = "durable", [FACT_LEAVE] = "leave",   [FACT_RESTORE] = "restore",
        [FACT_APPLY] = "apply",     [FACT_ANSWER] = "answer", [FACT_CRASH] = "crash"};
    static struct text t;
    t = (struct text){0};
    for (uint32_t i = 0; i < change->fact_count; i++)
        tell(&t, names[change->facts[i].type], fact_value(&change->facts[i]));
    return t.line;
}

/* All that the node was told since the run began. */
static const char *heard_by(node_id id) {
    static const char *const names[] = {[NODE_RECEIVE] = "receive",
                                        [NODE_TIMEOUT] = "timeout",
                                        [NODE_PROPOSE] = "propose",
                                        [NODE_SAVED] = "saved",
                                        [NODE_COMPACT] = "compact"};
    static struct text t;
    t = (struct text){0};
    for (uint32_t i = 0; i < heard_count; i++)
        if (heard[i].node == id) tell(&t, names[heard[i].type], heard[i].value);
    return t.line;
}

static uint32_t slots_in_use(const struct network *n) {
    uint32_t count = n->used;
    for (uint32_t slot = n->free_first; slot != 0; slot = n->packets[slot].next) count--;
    return count;
}

/* ---- effects ---- */

/* A batch of effects, and before which of them the node crashes (0: it does not). */
struct plan {
    bool has_write, has_snapshot, has_entries, has_answer;
    uint32_t packets, crash_before;
};

static void order_plan(const struct plan *plan) {
    struct stage *s = &stages[1];
    if (plan->has_write) order_write(1, 1);
    for (uint32_t i = 0; i < plan->packets; i++) order_packet(1, (node_id)(2 + i), i + 1, 0);
    s->effects.timer = NODE_TIMER_HEARTBEAT;
    s->effects.apply_snapshot = plan->has_snapshot;
    s->view.snapshot.index = 2;
    if (plan->has_entries) order_apply(1, 3, 6);
    if (plan->has_answer) s->effects.answer_from = 4;
    world->processes[1].crash_before = plan->crash_before;
}

/* What a plan comes to. */
struct story {
    struct text text;
    uint32_t effects;
    enum sometimes crash_point; /* As it is counted; SOMETIMES_CRASH: after all effects. */
};

/* One effect more; false when the node crashes before it. */
static bool survives(struct story *story, const struct plan *plan, enum sometimes crash_point) {
    if (++story->effects != plan->crash_before) return true;
    story->crash_point = crash_point;
    return false;
}

static bool tell_sends(struct story *story, const struct plan *plan) {
    if (plan->has_write && !survives(story, plan, SOMETIMES_CRASH_BEFORE_SAVE)) return false;
    if (plan->has_write) tell(&story->text, "write", 1);
    for (uint32_t i = 0; i < plan->packets; i++) {
        bool is_first = i == 0 && plan->has_write;
        enum sometimes point = is_first ? SOMETIMES_CRASH_BEFORE_SEND : SOMETIMES_CRASH_MIDST_SEND;
        if (!survives(story, plan, point)) return false;
        tell(&story->text, "leave", i + 1);
    }
    return true;
}

/* True if the story is told to the end; the node may still crash after all of it. */
static bool tell_plan(struct story *story, const struct plan *plan) {
    tell(&story->text, "step", 0);
    if (!tell_sends(story, plan)) return false;
    bool has_apply = plan->has_snapshot || plan->has_entries;
    if (has_apply && !survives(story, plan, SOMETIMES_CRASH_BEFORE_APPLY)) return false;
    if (plan->has_snapshot) tell(&story->text, "restore", 2);
    for (uint64_t i = 3; i <= 6 && plan->has_entries; i++) tell(&story->text, "apply", i);
    if (!plan->has_answer) return true;
    if (!survives(story, plan, SOMETIMES_CRASH_BEFORE_ANSWER)) return false;
    tell(&story->text, "answer", 4); /* 5 is a no-op: nobody waits for it. */
    tell(&story->text, "answer", 6);
    return true;
}

/* The counters of crashes, and where they fell. */
static void check_crash_counts(const struct plan *plan, enum sometimes crash_point) {
    cr_assert(world->counts[SOMETIMES_CRASH] == (plan->crash_before != 0));
    for (uint32_t i = SOMETIMES_CRASH_BEFORE_SAVE; i <= SOMETIMES_CRASH_BEFORE_ANSWER; i++)
        cr_assert(world->counts[i] == (i == crash_point), "counter %u", i);
}

static void check_plan(const struct plan *plan) {
    begin(quiet(5));
    order_plan(plan);
    struct story story = {.crash_point = SOMETIMES_CRASH};
    bool is_whole = tell_plan(&story, plan), is_alive = plan->crash_before == 0;
    if (!is_alive) tell(&story.text, "crash", 0);
    cr_assert_str_eq(facts(poke(1)), story.text.line);
    check_crash_counts(plan, story.crash_point);
    cr_assert(world->processes[1].is_alive == is_alive);
    cr_assert(pending(EVENT_TIMER, 1) == (is_alive ? HEARTBEAT_US : 0));
    cr_assert(pending(EVENT_SYNC, 1) == (is_alive && plan->has_write ? SYNC_US : 0));
    cr_assert(pending(EVENT_RESTART, 1) == (is_alive ? 0 : DOWN_US));
    cr_assert(world->disks[1].pending == (is_alive && plan->has_write));
    cr_assert(world->processes[1].crash_before == 0 && slots_in_use(&world->network) <= 3);
    if (is_whole && plan->has_entries) cr_assert(world->processes[1].applied == 6);
    cr_assert(world->client.acknowledged == (is_whole && plan->has_answer ? 2 : 0));
}

/* Goal: effects happen in their order, and a crash before any of them leaves just those before it.
 * Method: every batch with and without each kind of effect, a crash before each effect, after all
 * of them and never; the facts are compared with the story. */
Test(cluster, crash_leaves_the_effects_before_it) {
    for (uint32_t bits = 0; bits < 16; bits++)
        for (uint32_t packets = 0; packets <= 3; packets++)
            for (uint32_t crash_before = 0; crash_before <= 8; crash_before++) {
                struct plan plan = {.has_write = bits & 1,
                                    .has_snapshot = bits & 2,
                                    .has_entries = bits & 4,
                                    .has_answer = (bits & 12) == 12,
                                    .packets = packets,
                                    .crash_before = crash_before};
                check_plan(&plan);
            }
}

/* Goal: the state machine is what was applied: a snapshot replaces it, entries add to it. Method:
 * apply some, restore, apply more: the state is the hash of the same. */
Test(cluster, state_machine_follows_applies) {
    begin(quiet(3));
    order_apply(1, 1, 4);
    poke(1);
    uint64_t state = 0;
    for (uint64_t i = 1; i <= 4; i++) state = hash_apply(state, 7, i % 5 == 0 ? 0 : 100 + i);
    cr_assert(world->processes[1].applied == 4 && world->processes[1].state == state);
    stages[1].view.snapshot = (struct node_snapshot){.index = 9, .term = 7, .state = 1234};
    stages[1].effects.apply_snapshot = true;
    order_apply(1, 10, 11);
    poke(1);
    state = hash_apply(hash_apply(1234, 7, 0), 7, 111);
    cr_assert(world->processes[1].applied == 11 && world->processes[1].state == state);
}

/* Goal: a write holds what the node has when it asks for it. Method: term, vote, log and snapshot
 * of two writes, the second while the first is pending; after each sync the disk is as ordered. */
Test(cluster, writes_hold_what_the_node_has) {
    begin(quiet(3));
    struct stage *s = &stages[1];
    const struct disk *d = &world->disks[1];
    order_write(1, 1);
    s->view.vote = 3;
    s->view.last = 6;
    s->effects.save_from = 1;
    order_apply(1, 1, 2);
    poke(1);
    s->effects.write = 2;
    s->effects.save_snapshot = true;
    s->effects.save_from = 5;
    s->view.snapshot = (struct node_snapshot){.index = 2, .term = 7, .state = 55};
    s->view.last = 5;
    s->view.term = 99; /* Not announced: not written. */
    poke(1);
    cr_assert(d->pending == 2 && d->term == 0 && disk_last(d) == 0);
    forced[CHOICE_SYNC_LEFT] = 1;
    cluster_step(world);
    cr_assert(d->term == 1 && d->vote == 3 && disk_last(d) == 6 && d->snapshot.index == 0);
    cluster_step(world);
    cr_assert(d->term == 1 && d->snapshot.index == 2 && d->snapshot.state == 55);
    cr_assert(disk_last(d) == 5 && d->entry_count == 3);
    for (uint32_t i = 0; i < 3; i++) cr_assert(d->entries[i].command == entry(NULL, 3 + i).command);
}

/* ---- durability ---- */

/* The twin of one node's writes and of the packets that wait for them. */
struct flow {
    uint64_t written, durable, word;
    uint32_t first, count;
    struct {
        uint64_t word, after;
    } held[8192];
};

static void tell_durable(struct flow *f, struct text *t) {
    tell(t, "durable", ++f->durable);
    for (; f->first < f->count && f->held[f->first].after <= f->durable; f->first++)
        tell(t, "leave", f->held[f->first].word);
}

/* A write, and packets that wait for it or for nothing. */
static void write_some(struct flow *f, uint64_t *random) {
    struct text t = {0};
    order_write(1, f->written + 1);
    tell(&t, "step", 0);
    if (f->written - f->durable == DISK_WRITES_MAX) tell_durable(f, &t);
    tell(&t, "write", ++f->written);
    for (uint32_t i = roll(random, 3); i > 0; i--) {
        bool waits = roll(random, 2) == 0;
        order_packet(1, 2, ++f->word, waits ? f->written : 0);
        if (!waits) tell(&t, "leave", f->word);
        if (waits) f->held[f->count].word = f->word;
        if (waits) f->held[f->count++].after = f->written;
    }
    cr_assert_str_eq(facts(poke(1)), t.line);
}

/* What comes next: a sync that leaves some writes pending, or a packet that arrives. */
static void sync_some(struct flow *f, uint64_t *random) {
    bool is_sync = pending(EVENT_SYNC, 1) != 0 && pending(EVENT_SYNC, 1) == next_due();
    uint64_t waiting = f->written - f->durable, left = roll(random, 4);
    forced[CHOICE_SYNC_LEFT] = (uint32_t)left;
    if (next_due() >= QUIET_US) return;
    const struct change *change = cluster_step(world);
    if (change->node != 1) return;
    cr_assert(is_sync && waiting > 0);
    if (left >= waiting) left = waiting - 1;
    struct text t = {0};
    while (waiting-- > left) tell_durable(f, &t);
    tell(&t, "step", 0);
    cr_assert_str_eq(facts(change), t.line);
    const struct heard *last = &heard[heard_count - 1];
    cr_assert(last->type == NODE_SAVED && last->value == f->durable);
}

/* Goal: writes become durable in order, each packet leaves just when its write is, and the node is
 * told. Method: random writes, and syncs that leave some pending, against the twin; with bursts
 * that fill the disk, so that the writer waits for the oldest. In the end all is durable. */
Test(cluster, packets_wait_for_their_writes) {
    static struct flow flow;
    uint32_t full = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t random = seed;
        uint32_t burst = 2 + (uint32_t)(seed % 12);
        begin(quiet(2));
        flow = (struct flow){0};
        for (uint32_t n = 0; n < 1500; n++) {
            full += flow.written - flow.durable == DISK_WRITES_MAX;
            if (roll(&random, burst) != 0) write_some(&flow, &random);
            else sync_some(&flow, &random);
        }
        forced[CHOICE_SYNC_LEFT] = 0;
        heard_count = 0;
        run_for(QUIET_US / 2);
        cr_assert(world->processes[1].durable == flow.written);
        cr_assert(slots_in_use(&world->network) == 0);
    }
    cr_assert(full > 1000, "the disk was full %u times", full);
}

/* Goal: a disk of which DISK_WRITES_MAX writes are pending makes the writer wait. Method: one write
 * more makes the oldest durable, with the packet that waited for it; the node is told at the sync.
 */
Test(cluster, full_disk_makes_the_writer_wait) {
    begin(quiet(2));
    for (uint64_t i = 1; i <= DISK_WRITES_MAX; i++) {
        order_write(1, i);
        order_packet(1, 2, 100 + i, i);
        poke(1);
    }
    cr_assert(world->disks[1].pending == DISK_WRITES_MAX && world->disks[1].term == 0);
    order_write(1, DISK_WRITES_MAX + 1);
    cr_assert_str_eq(facts(poke(1)), "step durable:1 leave:101 write:33");
    cr_assert(world->disks[1].pending == DISK_WRITES_MAX && world->disks[1].term == 1);
    heard_count = 0;
    cluster_step(world);
    cr_assert_str_eq(heard_by(1), "saved:33");
}

/* Goal: a crash keeps a prefix of the pending writes, of the length that is chosen, and the packets
 * that waited die. Method: every number of pending writes, every number kept; the next life starts
 * from what was kept and hears nothing of the last one's syncs. */
Test(cluster, crash_keeps_the_chosen_prefix) {
    for (uint32_t written = 0; written <= DISK_WRITES_MAX; written++)
        for (uint32_t kept = 0; kept <= written; kept++) {
            begin(quiet(2));
            for (uint32_t i = 1; i <= written; i++) {
                order_write(1, i);
                order_packet(1, 2, i, i);
                poke(1);
            }
            forced[CHOICE_CRASH_KEEP] = kept;
            crash_now(1);
            cr_assert(world->disks[1].term == kept && world->disks[1].pending == 0);
            cr_assert(world->counts[SOMETIMES_WRITE_KEPT] == (kept > 0));
            cr_assert(world->counts[SOMETIMES_WRITE_LOST] == (kept < written));
            cr_assert(world->counts[SOMETIMES_HELD_LOST] == (written > 0));
            cr_assert(slots_in_use(&world->network) == 0);
            heard_count = 0;
            cr_assert_str_eq(facts(cluster_step(world)), "start");
            cr_assert(world->clock_us == DOWN_US && stages[1].view.term == kept);
            run_for(QUIET_US / 2);
            cr_assert(heard_count == 0, "%u of %u: %s", kept, written, heard_by(2));
        }
}

/* ---- what is counted, and the digest ---- */

/* A step from one view to another, and the set of counters that tell it. */
struct move {
    enum node_role role_before, role;
    uint64_t term_before, term;
    uint64_t counted;
    uint64_t commit, save_from, answer_from;
    bool takes_snapshot, installs_snapshot, other_is_dead;
};

/* Node 1 moves; node 2 leads an older term throughout. */
static void take_move(const struct move *move) {
    begin(quiet(3));
    stages[2].view.role = NODE_LEADER;
    poke(2);
    struct stage *s = &stages[1];
    s->view = (struct node_view){.role = move->role_before, .term = move->term_before, .last = 4};
    poke(1);
    memset(world->counts, 0, sizeof world->counts);
    s->view.role = move->role;
    s->view.term = move->term;
    s->view.commit = move->commit;
    s->effects.save_from = move->save_from;
    s->effects.answer_from = move->answer_from;
    s->effects.save_snapshot = move->takes_snapshot || move->installs_snapshot;
    s->effects.apply_snapshot = move->installs_snapshot;
    if (move->answer_from != 0) order_apply(1, 1, 4);
    world->processes[2].is_alive = !move->other_is_dead;
    poke(1);
}

static uint64_t counted(enum sometimes event) { return (uint64_t)1 << event; }

/* Goal: a campaign knows what happened in it. Method: steps that are told by a counter, and their
 * neighbours that are not; just those counters grow. */
Test(cluster, steps_are_counted_for_what_they_are) {
    enum node_role F = NODE_FOLLOWER, C = NODE_CANDIDATE, L = NODE_LEADER;
    uint64_t election = counted(SOMETIMES_ELECTION), two = counted(SOMETIMES_TWO_LEADERS);
    uint64_t commit = counted(SOMETIMES_COMMIT) | counted(SOMETIMES_ACKNOWLEDGED);
    const struct move moves[] = {
        {F, F, 5, 6, 0, .commit = 4, .save_from = 5},
        {F, C, 5, 6, .counted = 0},
        {C, C, 5, 5, .counted = 0},
        {C, C, 5, 6, .counted = counted(SOMETIMES_SPLIT_VOTE)},
        {C, L, 5, 5, election | two, .save_from = 5},
        {C, L, 5, 5, election, .other_is_dead = true},
        {L, L, 5, 5, 0, .save_from = 5},
        {L, L, 5, 5, commit, .commit = 4, .answer_from = 1},
        {L, L, 5, 5, commit | counted(SOMETIMES_OLD_TERM), .commit = 4, .answer_from = 3},
        {L, F, 5, 6, counted(SOMETIMES_DEPOSED), .commit = 4},
        {F, F, 5, 5, counted(SOMETIMES_TRUNCATED), .save_from = 4},
        {F, F, 5, 5, counted(SOMETIMES_SNAPSHOT_TAKEN), .takes_snapshot = true},
        {F, F, 5, 5, counted(SOMETIMES_SNAPSHOT_INSTALLED), .installs_snapshot = true},
    };
    for (uint32_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        take_move(&moves[i]);
        for (uint32_t k = 0; k < SOMETIMES_COUNT; k++)
            cr_assert((world->counts[k] > 0) == (moves[i].counted >> k & 1), "move %u, %s", i,
                      sometimes_name((enum sometimes)k));
    }
}

/* The digest of 100 steps, of which one shows another view: `field` of them; 0: none. */
static uint64_t digest_with(uint32_t at, uint32_t field) {
    begin(quiet(2));
    for (uint32_t i = 0; i < 100; i++) {
        struct node_view *v = &stages[1].view;
        *v = (struct node_view){.term = 1};
        if (i == at && field == 1) v->term++;
        if (i == at && field == 2) v->commit++;
        if (i == at && field == 3) v->last++;
        if (i == at && field == 4) v->role = NODE_CANDIDATE;
        if (i == at && field == 5) v->vote = 2;
        if (i == at && field == 6) v->leader = 2;
        if (i == at && field == 7) order_apply(1, 1, 1);
        if (i == at && field == 8) world->processes[1].crash_before = 1;
        if (i == at && field == 9) run_for(1);
        if (i == at && field == 10) fault_now();
        if (i == at && field == 11) order_packet(1, 2, 1, 0);
        if (world->processes[1].is_alive) poke(1);
    }
    return world->digest;
}

/* Goal: two runs are equal if their digests are. Method: runs that differ in one step, early or
 * late, in one thing: all digests differ, and the same run has the same one. */
Test(cluster, digest_sees_every_difference) {
    for (uint32_t at = 0; at < 100; at += 33) {
        uint64_t digests[12];
        for (uint32_t field = 0; field < 12; field++) {
            digests[field] = digest_with(at, field);
            cr_assert(digests[field] == digest_with(at, field), "step %u", at);
            for (uint32_t other = 0; other < field; other++)
                cr_assert(digests[field] != digests[other], "step %u: %u as %u", at, field, other);
        }
    }
}

/* ---- packets ---- */

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void check_travel(uint32_t latency, uint32_t delay, bool is_lost, bool is_doubled) {
    begin(quiet(2));
    forced[CHOICE_LATENCY] = latency;
    forced[CHOICE_DELAY] = delay;
    forced[CHOICE_LOSS] = is_lost;
    forced[CHOICE_DUPLICATE] = is_doubled;
    order_packet(1, 2, 5, 0);
    cr_assert_str_eq(facts(poke(1)), "step leave:5");
    uint32_t expected = is_lost ? 0 : is_doubled ? 2 : 1;
    cr_assert(slots_in_use(&world->network) == expected);
    heard_count = 0;
    run_for(QUIET_US / 2);
    cr_assert(heard_count == expected);
    uint64_t at_us = LATENCY_US + least(latency, LATENCY_US) + least(delay, 5000);
    for (uint32_t i = 0; i < expected; i++)
        cr_assert(heard[i].node == 2 && heard[i].value == 5 && heard[i].at_us == at_us);
    cr_assert(slots_in_use(&world->network) == 0);
    cr_assert(world->counts[SOMETIMES_LOSS] == is_lost);
    cr_assert(world->counts[SOMETIMES_DUPLICATE] == (expected == 2));
    cr_assert(world->counts[SOMETIMES_DELAY] == (delay > 0 ? expected : 0));
}

/* Goal: a packet is lost, late or doubled just as chosen. Method: all combinations of loss, double,
 * latency and delay up to the most that there is; the times of its arrivals. */
Test(cluster, packets_travel_as_chosen) {
    static const uint32_t latencies[] = {0, 1, LATENCY_US - 1, UINT32_MAX};
    static const uint32_t delays[] = {0, 1, 2500, UINT32_MAX};
    for (uint32_t l = 0; l < 4; l++)
        for (uint32_t d = 0; d < 4; d++)
            for (uint32_t bits = 0; bits < 4; bits++)
                check_travel(latencies[l], delays[d], bits & 1, bits & 2);
}

/* Goal: a dead node hears nothing, but what it sent before is heard. Method: packets under way from
 * and to a node that crashes; another one after it is back. */
Test(cluster, dead_nodes_do_not_hear) {
    begin(quiet(3));
    order_packet(1, 2, 11, 0);
    order_packet(1, 3, 12, 0);
    world->processes[1].crash_before = 3;
    cr_assert_str_eq(facts(poke(1)), "step leave:11 leave:12 crash");
    order_packet(2, 1, 13, 0);
    poke(2);
    heard_count = 0;
    forced[CHOICE_DOWN_TIME] = 9000;
    crash_now(3);
    run_for(LATENCY_US);
    cr_assert_str_eq(heard_by(2), "receive:11");
    cr_assert_str_eq(heard_by(3), "");
    cr_assert(world->counts[SOMETIMES_DROP_DEAD] == 1);
    order_packet(2, 3, 14, 0); /* It arrives while node 3 is down. */
    poke(2);
    run_for(9000);
    order_packet(2, 3, 15, 0); /* It does not. */
    poke(2);
    run_for(LATENCY_US);
    cr_assert_str_eq(heard_by(3), "receive:15");
    cr_assert_str_eq(heard_by(1), "receive:13"); /* It was back in time. */
    cr_assert(world->counts[SOMETIMES_DROP_DEAD] == 2 && slots_in_use(&world->network) == 0);
}

/* Goal: a cut link drops what is sent and what is under way, in its direction only. Method: one
 * packet each way, with the link 1 to 2 cut before or after the sending, healed before or after the
 * arrival. */
Test(cluster, cut_links_drop_at_both_ends) {
    for (uint32_t bits = 0; bits < 8; bits++) {
        bool cut_before = bits & 1, heal_before = bits & 2, cut_late = bits & 4;
        begin(quiet(2));
        if (cut_before) network_partition(&world->network, NETWORK_ONE_WAY, 2, 1, 2, 0);
        order_packet(1, 2, 21, 0);
        order_packet(2, 1, 22, 0);
        poke(1);
        poke(2);
        cr_assert(slots_in_use(&world->network) == (cut_before ? 1 : 2));
        run_for(LATENCY_US / 2);
        if (heal_before) network_heal(&world->network);
        if (cut_late) network_partition(&world->network, NETWORK_ONE_WAY, 2, 1, 2, 0);
        bool arrives = !cut_before && !cut_late;
        run_for(LATENCY_US / 2);
        cr_assert_str_eq(heard_by(2), arrives ? "timeout receive:21" : "timeout", "%u", bits);
        cr_assert_str_eq(heard_by(1), "timeout receive:22");
        cr_assert(world->counts[SOMETIMES_DROP_CUT] == !arrives);
        cr_assert(slots_in_use(&world->network) == 0);
    }
}

/* Goal: a full network drops, and is no error. Method: more packets than it holds, each asked to be
 * doubled; as many arrive as there are slots, and then there is room again. */
Test(cluster, full_network_drops) {
    begin(quiet(NODE_MAX));
    forced[CHOICE_DUPLICATE] = 1;
    for (uint32_t round = 0; round < 20; round++) {
        for (node_id target = 2; target <= NODE_MAX; target++) order_packet(1, target, 1, 0);
        poke(1);
    }
    cr_assert(slots_in_use(&world->network) == NETWORK_PACKETS_MAX);
    heard_count = 0;
    run_for(LATENCY_US);
    cr_assert(heard_count == NETWORK_PACKETS_MAX && slots_in_use(&world->network) == 0);
    order_packet(1, 2, 1, 0);
    poke(1);
    run_for(LATENCY_US);
    cr_assert(heard_count == NETWORK_PACKETS_MAX + 3);
}

/* ---- processes ---- */

/* Goal: a paused process gets all its events, but only when it wakes up. Method: a sync, a timer
 * and a packet that fall into the pause; the node hears them in order at its end, others in time.
 */
Test(cluster, paused_nodes_hear_later) {
    for (uint32_t pause_us = 1500; pause_us < 10000; pause_us += 500) {
        begin(quiet(3));
        order_write(2, 1);
        stages[2].effects.timer = NODE_TIMER_HEARTBEAT;
        poke(2);
        order_packet(1, 2, 31, 0);
        order_packet(1, 3, 32, 0);
        poke(1);
        forced[CHOICE_PAUSE] = 2;
        forced[CHOICE_PAUSE_TIME] = pause_us - 1;
        fault_now();
        run_for(pause_us - 1);
        cr_assert_str_eq(heard_by(2), "timeout");
        cr_assert_str_eq(heard_by(3), "receive:32");
        cr_assert(world->disks[2].pending == 1);
        run_for(1);
        cr_assert_str_eq(heard_by(2), "timeout saved:1 timeout receive:31");
        for (uint32_t i = heard_count - 3; i < heard_count; i++)
            cr_assert(heard[i].at_us == pause_us);
    }
}

/* Goal: equal timeouts would split votes for ever: undisturbed, no two nodes time out together.
 * Method: the first timers of every number of nodes; then a chosen one, a heartbeat, and a step
 * that keeps the timer. */
Test(cluster, timers_are_as_ordered) {
    for (uint32_t n = 1; n <= NODE_MAX; n++) {
        begin(quiet(n));
        for (uint32_t id = 1; id <= n; id++) {
            uint64_t due = pending(EVENT_TIMER, id);
            cr_assert(due >= QUIET_US && due < 2 * QUIET_US);
            for (uint32_t other = 1; other < id; other++)
                cr_assert(pending(EVENT_TIMER, other) != due, "n%u and n%u of %u", other, id, n);
        }
        cr_assert(bound_asked[CHOICE_TIMEOUT] == QUIET_US);
    }
    stages[1].effects.timer = NODE_TIMER_HEARTBEAT;
    poke(1);
    cr_assert(pending(EVENT_TIMER, 1) == HEARTBEAT_US);
    happen_now(EVENT_CLIENT, 0); /* A step of node 1. */
    cr_assert(pending(EVENT_TIMER, 1) == HEARTBEAT_US);
    forced[CHOICE_TIMEOUT] = 4321;
    stages[1].effects.timer = NODE_TIMER_ELECTION;
    happen_now(EVENT_CLIENT, 0);
    cr_assert(pending(EVENT_TIMER, 1) == QUIET_US + 4321);
    poke(1);
    cr_assert(pending(EVENT_TIMER, 1) == 0);
}

/* Goal: the limits of a configuration are reached, not passed. Method: each time is chosen as long
 * as it can be. */
Test(cluster, chosen_times_end_at_their_limits) {
    begin(quiet(2));
    memset(forced, 0xff, sizeof forced);
    forced[CHOICE_PAUSE] = forced[CHOICE_CRASH] = forced[CHOICE_PARTITION] = 0;
    order_write(1, 1);
    stages[1].effects.timer = NODE_TIMER_ELECTION;
    poke(1);
    cr_assert(pending(EVENT_SYNC, 1) == 2 * SYNC_US);
    cr_assert(pending(EVENT_TIMER, 1) == 2 * QUIET_US - 1);
    happen_now(EVENT_CLIENT, 0);
    cr_assert(pending(EVENT_CLIENT, 0) == 2 * 6 * QUIET_US);
    forced[CHOICE_PAUSE] = 2;
    fault_now();
    cr_assert(world->processes[2].resume_us == 10000);
    cr_assert(pending(EVENT_FAULT, 0) == 6 * QUIET_US);
    forced[CHOICE_CRASH_POINT] = 0;
    crash_now(1);
    cr_assert(pending(EVENT_RESTART, 1) == DOWN_US + 10000 - 1);
}

/* Goal: a node is asked to compact when it has applied enough, once at a time, and again after a
 * sync if it did not. Method: applies below and at the limit; a node that ignores it, then obeys.
 */
Test(cluster, compaction_is_asked_for) {
    struct cluster_config config = quiet(2);
    config.compact_after = 4;
    begin(config);
    order_apply(1, 1, 3);
    poke(1);
    cr_assert(!world->processes[1].is_compacting && next_due() >= QUIET_US);
    order_apply(1, 4, 4);
    poke(1);
    cr_assert(pending(EVENT_COMPACT, 1) == world->clock_us || world->clock_us == 0);
    heard_count = 0;
    cluster_step(world);
    cr_assert_str_eq(heard_by(1), "compact:4");
    order_write(1, 1);
    poke(1);
    cluster_step(world); /* The sync. */
    cluster_step(world);
    cr_assert_str_eq(heard_by(1), "compact:4 timeout saved:1 compact:4");
    stages[1].view.snapshot.index = 4;
    order_write(1, 2);
    poke(1);
    cluster_step(world);
    cr_assert(next_due() >= QUIET_US, "it has compacted");
}

/* Goal: a life is given back before the next one starts; a node starts from its own disk with its
 * configuration, its state machine from the snapshot. Method: crashes, restarts and resets to other
 * sizes; the actor counts. */
Test(cluster, lives_begin_and_end_in_turn) {
    for (uint32_t n = NODE_MAX; n >= 1; n /= 2) {
        uint32_t starts = start_count;
        begin(quiet(n));
        cr_assert(start_count == starts + n && world->change.fact_count == n);
        order_write(1, 1);
        stages[1].view.vote = 9;
        stages[1].view.snapshot = (struct node_snapshot){.index = 3, .term = 7, .state = 33};
        stages[1].effects.save_snapshot = stages[1].effects.apply_snapshot = true;
        poke(1);
        run_for(SYNC_US);
        order_apply(1, 4, 6);
        poke(1);
        crash_now(1);
        stages[1].view = (struct node_view){0};
        run_for(DOWN_US);
        cr_assert(world->processes[1].applied == 3 && world->processes[1].state == 33);
        cr_assert(start_count == starts + n + 1 && world->processes[1].is_alive);
        cr_assert(stages[1].view.term == 1 && stages[1].view.vote == 9);
        cr_assert(stages[1].config.self == 1 && stages[1].config.batch_max == 8);
        cr_assert(__builtin_popcountll(stages[1].config.voters) == (int)n);
        cr_assert(!(stages[1].config.voters & 1) && stages[1].config.voters >> n & 1);
        crash_now(1); /* The next reset finds it dead. */
    }
}

/* ---- client ---- */

static const char *ask_client(node_id id) {
    heard_count = 0;
    happen_now(EVENT_CLIENT, 0);
    return heard_by(id);
}

/* Goal: the client finds the leader. Method: it stays with who accepts, follows a refusal to the
 * leader named or to the next node, goes on from a node that is down or paused, and asks whom the
 * choice says. Commands are numbered, heard or not. */
Test(cluster, client_follows_the_leader) {
    begin(quiet(3));
    cr_assert_str_eq(ask_client(1), "propose:1");
    stages[1].effects.refused = true;
    stages[1].effects.leader = 3;
    cr_assert_str_eq(ask_client(1), "propose:2");
    stages[3].effects.refused = true;
    cr_assert_str_eq(ask_client(3), "propose:3");
    cr_assert(world->counts[SOMETIMES_REFUSED] == 2);
    crash_now(1);
    cr_assert_str_eq(ask_client(1), ""); /* 4 */
    forced[CHOICE_PAUSE] = 2;
    fault_now();
    cr_assert_str_eq(ask_client(2), ""); /* 5 */
    cr_assert(world->counts[SOMETIMES_UNHEARD] == 2);
    cr_assert_str_eq(ask_client(3), "propose:6");
    cr_assert_str_eq(ask_client(3), "propose:7");
    run_for(DOWN_US);
    forced[CHOICE_CLIENT_TARGET] = 1;
    cr_assert_str_eq(ask_client(1), "propose:8");
    forced[CHOICE_CLIENT_TIME] = 77;
    ask_client(1);
    cr_assert(pending(EVENT_CLIENT, 0) == world->clock_us + 6 * QUIET_US + 77);
}

/* Goal: nobody hears a client that is cut off. Method: with node 1 outside the core of the calm
 * phase, the client goes on to the next node. */
Test(cluster, client_does_not_reach_beyond_the_core) {
    begin(quiet(3));
    outside = node_bit(1);
    cluster_calm(world);
    cr_assert_str_eq(ask_client(1), "");
    cr_assert_str_eq(ask_client(2), "propose:2");
}

/* ---- faults ---- */

/* The twin of the faults: what the choices of one occasion say. */
struct verdict {
    node_set cut[NODE_MAX + 1];
    uint32_t paused, crashed, crash_point;
    uint64_t pause_us;
};

static uint32_t value_of(const struct choice_list *list, uint32_t label, uint32_t nth) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].label == label && nth-- == 0) return list->items[i].value;
    return 0;
}

/* A partition takes two nodes, and one with sides a side for each node. */
static void check_partition_choices(const struct choice_list *list, uint32_t chosen, uint32_t n) {
    uint32_t nodes = 0, sides = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct choice *item = &list->items[i];
        if (item->label != CHOICE_PARTITION_NODE) continue;
        if (nodes < 2) nodes += item->bound == n;
        else sides += item->bound == 2 && item->subject == sides + 1;
    }
    bool has_sides = chosen == NETWORK_HALVES + 1 || chosen == NETWORK_BRIDGE + 1;
    cr_assert(nodes == (chosen == 0 ? 0 : 2) && sides == (has_sides ? n : 0));
}

/* Of CHOICE_PARTITION_NODE, the first two are the nodes; then come the sides, node by node. */
static void judge_partition(const struct choice_list *list, struct verdict *v) {
    static struct network network;
    uint32_t shape = value_of(list, CHOICE_PARTITION, 0), n = world->config.nodes;
    check_partition_choices(list, shape, n);
    memcpy(network.cut, v->cut, sizeof v->cut);
    if (value_of(list, CHOICE_HEAL, 0) != 0) network_heal(&network);
    node_set side = 0;
    for (uint32_t id = 1; id <= n; id++)
        if (value_of(list, CHOICE_PARTITION_NODE, id + 1) != 0) side |= node_bit((node_id)id);
    if (shape != 0)
        network_partition(&network, (enum network_shape)(shape - 1), (node_id)n,
                          (node_id)(1 + value_of(list, CHOICE_PARTITION_NODE, 0)),
                          (node_id)(1 + value_of(list, CHOICE_PARTITION_NODE, 1)), side);
    memcpy(v->cut, network.cut, sizeof v->cut);
}

static void check_occasion(const struct choice_list *list, struct verdict *v,
                           const struct change *change) {
    judge_partition(list, v);
    cr_assert(memcmp(v->cut, world->network.cut, sizeof v->cut) == 0);
    uint32_t shape = value_of(list, CHOICE_PARTITION, 0);
    for (uint32_t i = 0; i < NETWORK_SHAPE_COUNT; i++)
        cr_assert(world->counts[SOMETIMES_HALVES + i] == (i + 1 == shape));
    uint32_t paused = value_of(list, CHOICE_PAUSE, 0), crashed = value_of(list, CHOICE_CRASH, 0);
    uint32_t point = value_of(list, CHOICE_CRASH_POINT, 0);
    bool is_crash = crashed != 0 && point == 0;
    cr_assert_str_eq(facts(change), is_crash ? "crash" : "");
    if (is_crash) cr_assert(change->facts[0].node == crashed);
    for (uint32_t id = 1; id <= world->config.nodes; id++) {
        const struct process *p = &world->processes[id];
        bool is_dead = is_crash && id == crashed;
        cr_assert(p->is_alive == !is_dead);
        cr_assert(p->crash_before == (id == crashed ? point : 0));
        uint64_t resume_us = world->clock_us + 1 + value_of(list, CHOICE_PAUSE_TIME, 0);
        cr_assert(p->resume_us == (id == paused && !is_dead ? resume_us : 0));
    }
}

/* Goal: a fault is what was chosen, where it was chosen. Method: random occasions; their choices,
 * as recorded, are read back and tell which links are cut, who pauses and who crashes, and when. */
Test(cluster, faults_hit_as_chosen) {
    struct choice items[64];
    struct choice_odds odds;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) odds.odds[i] = CHOICE_UNIFORM;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        begin(quiet(3 + (uint32_t)(seed % 7)));
        struct choice_list list = {.items = items, .capacity = 64};
        choices_random(&choices, seed, &odds, &list);
        struct verdict verdict = {0};
        for (uint32_t occasion = 0; occasion < 3; occasion++) {
            list.count = 0;
            memset(world->counts, 0, sizeof world->counts);
            world->queue.count = 0; /* Nothing else is due. */
            for (uint32_t id = 1; id <= world->config.nodes; id++) {
                world->processes[id].is_alive = true;
                world->processes[id].crash_before = 0;
                world->processes[id].resume_us = 0;
            }
            check_occasion(&list, &verdict, fault_now());
        }
    }
}

/* Goal: the dead are left alone. Method: a crash and a pause of a node that is down change nothing.
 */
Test(cluster, faults_spare_the_dead) {
    begin(quiet(3));
    crash_now(2);
    forced[CHOICE_CRASH] = 2;
    forced[CHOICE_CRASH_POINT] = 3;
    forced[CHOICE_PAUSE] = 2;
    cr_assert_str_eq(facts(fault_now()), "");
    cr_assert(world->processes[2].crash_before == 0 && world->processes[2].resume_us == 0);
    cr_assert(pending(EVENT_RESTART, 2) == DOWN_US);
}

/* ---- time ---- */

/* Goal: the slack says which events may come first; the clock follows and never goes back. Method:
 * three packets, 300 us apart; for each slack, the answer that is furthest off. */
Test(cluster, slack_says_what_may_come_first) {
    static const struct {
        uint32_t slack_us, within, expected;
    } cases[] = {{0, 1, 41},   {299, 1, 41}, {300, 2, 42},
                 {599, 2, 42}, {600, 3, 43}, {UINT32_MAX, 8, 43}};
    for (uint32_t i = 0; i < 6; i++) {
        begin(quiet(3));
        for (uint32_t k = 0; k < 3; k++) {
            forced[CHOICE_LATENCY] = 300 * k;
            order_packet(1, 2, 41 + k, 0);
            poke(1);
        }
        world->config.slack_us = cases[i].slack_us;
        heard_count = 0;
        asked[CHOICE_EVENT] = 0;
        forced[CHOICE_EVENT] = cases[i].slack_us == UINT32_MAX ? 2 : 9;
        cluster_step(world);
        cr_assert(asked[CHOICE_EVENT] == (cases[i].within > 1));
        if (cases[i].within > 1 && cases[i].within < 8)
            cr_assert(bound_asked[CHOICE_EVENT] == cases[i].within);
        cr_assert(heard[0].value == cases[i].expected, "slack %u", cases[i].slack_us);
        uint64_t clock_us = LATENCY_US + 300 * (cases[i].expected - 41);
        cr_assert(world->clock_us == clock_us);
        forced[CHOICE_EVENT] = 0;
        cluster_step(world);
        cr_assert(world->clock_us >= clock_us);
    }
}

/* ---- the calm phase ---- */

/* Those who should be outside: the lowest of them, as long as the others are a quorum. */
static node_set expected_core(uint32_t nodes) {
    node_set core = cluster_voters(world);
    for (uint32_t id = 1; id <= nodes; id++)
        if ((outside >> id & 1) && (uint32_t)__builtin_popcountll(core) * 2 - 2 > nodes)
            core &= ~node_bit((node_id)id);
    return core;
}

static void check_core(uint32_t nodes, node_set core) {
    cr_assert(world->core == core && (uint32_t)__builtin_popcountll(core) * 2 > nodes);
    for (uint32_t s = 1; s <= nodes; s++)
        for (uint32_t t = 1; t <= nodes; t++) {
            bool is_linked = s == t || ((core >> s & 1) && (core >> t & 1));
            cr_assert(network_is_cut(&world->network, (node_id)s, (node_id)t) == !is_linked,
                      "%u to %u of %u", s, t, nodes);
        }
}

/* Faults of all kinds at once: a partition, one node dead, one paused, one about to crash. */
static void harm(uint32_t nodes) {
    network_partition(&world->network, NETWORK_MUTE, (node_id)nodes, (node_id)nodes, 1, 0);
    network_partition(&world->network, NETWORK_RING, (node_id)nodes, 1, 1, 0);
    forced[CHOICE_DOWN_TIME] = 9000;
    crash_now(1);
    forced[CHOICE_PAUSE] = nodes;
    forced[CHOICE_PAUSE_TIME] = 9000;
    forced[CHOICE_CRASH] = nodes;
    forced[CHOICE_CRASH_POINT] = 4;
    if (nodes > 1) fault_now();
}

/* Goal: once faults end, they end for a quorum at least, and no choice can begin new ones. Method:
 * each number of nodes after faults of all kinds; nobody, everybody or every other one is chosen to
 * stay outside. Whoever is alive again hears a packet once, though all choices say otherwise. */
Test(cluster, calm_ends_all_faults) {
    for (uint32_t n = 1; n <= NODE_MAX; n++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            begin(quiet(n));
            harm(n);
            outside = kind == 0 ? 0 : kind == 1 ? ~(node_set)0 : (node_set)0xaaaaaaaaaaaaaaaa;
            for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) forced[i] = 1;
            cluster_calm(world);
            check_core(n, expected_core(n));
            memset(asked, 0, sizeof asked);
            run_for(0);
            heard_count = 0;
            for (node_id target = 1; target < n; target++) order_packet((node_id)n, target, 1, 0);
            order_write((node_id)n, 1);
            poke((node_id)n);
            run_for(QUIET_US / 2);
            for (uint32_t id = 1; id < n; id++) {
                bool is_linked = (world->core >> n & 1) && (world->core >> id & 1);
                cr_assert_str_eq(heard_by((node_id)id), is_linked ? "receive:1" : "");
            }
            for (uint32_t id = 1; id <= n; id++) cr_assert(world->processes[id].is_alive);
            for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) cr_assert(asked[i] == 0);
            cr_assert(pending(EVENT_FAULT, 0) == 0);
        }
}

/* A core of all three nodes that has done what it must. */
static void settle(void) {
    begin(quiet(3));
    cluster_calm(world);
    world->client.is_done = true;
    for (uint32_t id = 1; id <= 3; id++) {
        struct process *p = &world->processes[id];
        p->applied = 8;
        p->views[p->newest] = (struct node_view){.term = 5, .last = 8, .last_term = 5, .commit = 8};
        if (id == 2) p->views[p->newest].role = NODE_LEADER;
    }
}

/* Goal: the calm phase ends only when its whole goal is reached. Method: a settled cluster with one
 * thing wrong at a time, at each node of the core; at a node outside of it, nothing matters. */
Test(cluster, settled_needs_every_part_of_the_goal) {
    settle();
    cr_assert(cluster_is_settled(world));
    world->client.is_done = false;
    cr_assert(!cluster_is_settled(world));
    for (uint32_t id = 1; id <= 3; id++)
        for (uint32_t wrong = 0; wrong < 7; wrong++) {
            settle();
            struct process *p = &world->processes[id];
            struct node_view *v = &p->views[p->newest];
            if (wrong == 0) p->is_alive = false;
            if (wrong == 1) p->applied--;
            if (wrong == 2) v->term--;
            if (wrong == 3) v->last++;
            if (wrong == 4) v->last_term--;
            if (wrong == 5) v->commit--;
            if (wrong == 6) v->role = NODE_FOLLOWER;
            bool is_fine = wrong == 6 && id != 2;
            cr_assert(cluster_is_settled(world) == is_fine, "n%u, %u", id, wrong);
            world->core &= ~node_bit((node_id)id);
            cr_assert(cluster_is_settled(world) == (id != 2), "n%u, %u", id, wrong);
        }
}

/* Goal: after an answer in the calm phase the client is content. Method: an answer before it does
 * not count, one in it does; then it proposes no more. */
Test(cluster, calm_client_wants_one_answer) {
    begin(quiet(1));
    for (uint32_t i = 0; i < 2; i++) {
        order_apply(1, i + 1, i + 1);
        stages[1].effects.answer_from = i + 1;
        poke(1);
        cr_assert(world->client.acknowledged == i + 1 && world->client.acknowledged_max == i + 1);
        cr_assert(world->client.is_done == (i == 1));
        cr_assert_str_eq(ask_client(1), i == 0 ? "propose:1" : "");
        if (i == 0) cluster_calm(world);
    }
}

/* ---- the real node ---- */

struct weather {
    enum profile profile;
    uint32_t nodes, steps;
};

static const struct weather weathers[] = {
    {PROFILE_SWARM, 3, 1500},  {PROFILE_CRASHY, 1, 600}, {PROFILE_SWARM, 5, 1500},
    {PROFILE_SPLIT, 9, 1500},  {PROFILE_LOSSY, 2, 1000}, {PROFILE_SWARM, NODE_MAX, 3000},
    {PROFILE_CRASHY, 4, 1500}, {PROFILE_CALM, 3, 1000},
};
enum { WEATHER_COUNT = sizeof weathers / sizeof weathers[0] };

static void draw(const struct weather *w, uint64_t seed, struct cluster_config *config,
                 struct choice_odds *odds) {
    struct profile_request request = {.profile = w->profile,
                                      .nodes_min = w->nodes,
                                      .nodes_max = w->nodes,
                                      .steps = w->steps,
                                      .log_max = node_raft.log_max};
    profile_draw(&request, seed, config, odds);
}

static void execute(struct simulator *s, const struct weather *w, uint64_t seed,
                    struct choice_list *record, struct run_result *out) {
    struct cluster_config config;
    struct choice_odds odds;
    struct choices c;
    draw(w, seed, &config, &odds);
    choices_random(&c, seed, &odds, record);
    run_execute(s, &config, &c, out);
}

static void execute_alone(const struct weather *w, uint64_t seed, struct run_result *out) {
    struct simulator s;
    cr_assert(simulator_new(&s, &node_raft, CHECK_ALL));
    execute(&s, w, seed, NULL, out);
    simulator_free(&s);
}

static void check_same(const struct run_result *a, const struct run_result *b, uint32_t weather,
                       uint64_t seed) {
    cr_assert(a->digest == b->digest && a->steps == b->steps && a->events == b->events,
              "weather %u, seed %u", weather, (unsigned)seed);
    cr_assert(a->outcome == b->outcome && a->calm_us == b->calm_us);
    cr_assert(memcmp(a->counts, b->counts, sizeof a->counts) == 0);
}

/* Goal: a seed is a run, and another seed another one. Method: weathers of all kinds, each seed
 * twice on new memory; digests of different seeds differ. */
Test(run, same_seed_same_digest) {
    for (uint32_t w = 0; w < WEATHER_COUNT; w++) {
        uint64_t before = 0;
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct run_result a, b;
            execute_alone(&weathers[w], seed, &a);
            execute_alone(&weathers[w], seed, &b);
            check_same(&a, &b, w, seed);
            cr_assert(a.digest != before && a.steps >= weathers[w].steps);
            before = a.digest;
        }
    }
}

/* Goal: a run leaves nothing to the next one in the same simulator. Method: each weather on new
 * memory, then in one simulator after every other weather, larger and smaller, A B A. */
Test(run, reused_simulator_remembers_nothing) {
    static struct run_result fresh[WEATHER_COUNT];
    for (uint32_t w = 0; w < WEATHER_COUNT; w++) execute_alone(&weathers[w], 7, &fresh[w]);
    struct simulator s;
    cr_assert(simulator_new(&s, &node_raft, CHECK_ALL));
    for (uint32_t a = 0; a < WEATHER_COUNT; a++)
        for (uint32_t b = 0; b < WEATHER_COUNT; b++) {
            struct run_result result;
            execute(&s, &weathers[a], 7, NULL, &result);
            check_same(&result, &fresh[a], a, 7);
            execute(&s, &weathers[b], 7, NULL, &result);
            check_same(&result, &fresh[b], b, 7);
        }
    simulator_free(&s);
}

/* Goal: a run is its list of choices. Method: record each weather: that changes nothing; its replay
 * is the same run and uses the list up; a list cut short goes on dull and is no divergence, one of
 * another configuration is. */
Test(run, replay_is_the_same_run) {
    enum { CHOICES_MAX = 1 << 20 };
    struct choice *items = malloc(CHOICES_MAX * sizeof *items);
    struct simulator s;
    cr_assert(items != NULL && simulator_new(&s, &node_raft, CHECK_ALL));
    for (uint32_t w = 0; w < WEATHER_COUNT; w++) {
        struct choice_list list = {.items = items, .capacity = CHOICES_MAX};
        struct run_result plain, recorded, replayed;
        execute(&s, &weathers[w], 9, NULL, &plain);
        execute(&s, &weathers[w], 9, &list, &recorded);
        cr_assert(list.count <= CHOICES_MAX);
        check_same(&plain, &recorded, w, 9);
        struct cluster_config config;
        struct choice_odds odds;
        draw(&weathers[w], 9, &config, &odds);
        struct choices c;
        choices_replay(&c, items, list.count);
        run_execute(&s, &config, &c, &replayed);
        check_same(&plain, &replayed, w, 9);
        cr_assert(c.u.replay.position == list.count && !c.is_exhausted);
        choices_replay(&c, items, list.count / 2);
        run_execute(&s, &config, &c, &replayed);
        cr_assert(c.is_exhausted && replayed.outcome != RUN_DIVERGED);
        config.client_us++;
        choices_replay(&c, items, list.count);
        run_execute(&s, &config, &c, &replayed);
        cr_assert(replayed.outcome == RUN_DIVERGED);
    }
    simulator_free(&s);
    free(items);
}

/* Every slot that was used is free, under way or held: one of them, once. */
static void check_slots(const struct cluster *c) {
    const struct network *n = &c->network;
    uint32_t places[NETWORK_PACKETS_MAX + 1] = {0};
    for (uint32_t slot = n->free_first; slot != 0; slot = n->packets[slot].next) places[slot]++;
    for (uint32_t i = 0; i < c->queue.count; i++)
        if (event_type(c->queue.events[i]) == EVENT_PACKET) places[c->queue.events[i].item]++;
    for (uint32_t id = 1; id <= c->config.nodes; id++) {
        uint32_t slot = n->held_first[id];
        for (; slot != 0; slot = n->packets[slot].next) places[slot]++;
    }
    for (uint32_t slot = 1; slot <= n->used; slot++)
        cr_assert(places[slot] == 1, "slot %u is in %u places", slot, places[slot]);
}

/* What is pending fits what the process is. */
static void check_process(const struct cluster *c, node_id id) {
    const struct process *p = &c->processes[id];
    uint32_t counts[EVENT_FAULT + 1] = {0};
    for (uint32_t i = 0; i < c->queue.count; i++)
        if (event_node(c->queue.events[i]) == id) counts[event_type(c->queue.events[i])]++;
    cr_assert(counts[EVENT_RESTART] == !p->is_alive, "n%u", id);
    cr_assert(counts[EVENT_SYNC] == (p->is_alive && p->is_syncing), "n%u", id);
    cr_assert(counts[EVENT_COMPACT] == (p->is_alive && p->is_compacting), "n%u", id);
    cr_assert(counts[EVENT_TIMER] <= p->is_alive, "n%u", id);
    cr_assert((c->disks[id].pending > 0) == (p->is_alive && p->is_syncing), "n%u", id);
}

/* Goal: in any weather the clock never goes back, no packet is lost track of, and what is pending
 * fits the processes. Method: swarm runs, half of them with an infinite slack and any event chosen;
 * the books are checked every few events, through the calm phase too. */
Test(run, books_balance) {
    struct cluster *c = cluster_new(&node_raft);
    cr_assert(c != NULL);
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct cluster_config config;
        struct choice_odds odds;
        struct choices source;
        draw(&weathers[seed % 3], seed, &config, &odds);
        if (seed % 2 == 0) config.slack_us = UINT32_MAX;
        if (seed % 2 == 0) odds.odds[CHOICE_EVENT] = CHOICE_UNIFORM;
        choices_random(&source, seed, &odds, NULL);
        cluster_reset(c, &config, &source);
        for (uint32_t n = 0; n < 6000; n++) {
            uint64_t clock_us = c->clock_us;
            cluster_step(c);
            cr_assert(c->clock_us >= clock_us && c->events == n + 1);
            if (n == 4000) cluster_calm(c);
            if (n % 32 != 0) continue;
            check_slots(c);
            for (node_id id = 1; id <= config.nodes; id++) check_process(c, id);
        }
    }
    cluster_free(c);
}
