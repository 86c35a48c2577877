/* actor.c - the play: the node, the choices that the test has made, the stage, the story. */
#include "actor.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the actor: a node whose next step the test has prepared ---- */

struct actor {
    node_id self;
};

enum { HEARD_MAX = 8192 };

struct cluster *world;
struct stage stages[NODE_MAX + 1];
struct heard heard[HEARD_MAX];
uint32_t heard_count;
uint32_t actor_start_count;
static bool is_living[NODE_MAX + 1];

static void clear_effects(struct node_effects *e) {
    memset(e, 0, offsetof(struct node_effects, scratch));
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    struct stage *s = &stages[config->self];
    cr_assert(!is_living[config->self], "its last life was not given back");
    is_living[config->self] = true;
    actor_start_count++;
    ((struct actor *)node)->self = config->self;
    s->config = *config;
    s->image = disk->image;
    memset(s->entries, 0, sizeof s->entries);
    memset(s->match, 0, sizeof s->match);
    s->verdict = NODE_EXECUTED;
    s->is_forged = false;
    s->view = (struct node_view){.term = disk->term,
                                 .vote = disk->vote,
                                 .last = disk_last(disk),
                                 .commit = disk->snapshot.index,
                                 .snapshot = disk->snapshot};
    clear_effects(&s->effects);
    clear_effects(out);
    out->timer = NODE_TIMER_ELECTION;
    if (s->at_start != NULL) s->at_start(s, out);
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
    case NODE_PROPOSE: return event->u.propose.command;
    case NODE_READ: return event->u.read;
    case NODE_CHANGE: return event->u.change.voters;
    case NODE_TRANSFER: return event->u.target;
    case NODE_SAVED: return event->u.saved;
    case NODE_COMPACT: return event->u.compact.index;
    case NODE_TIMEOUT: return 0;
    }
    cr_assert(false);
    return 0;
}

/* What a test leaves open is completed so that it keeps to node.h: the log goes as far as what is
 * applied, terms that nobody showed count as passed, what is saved is a write, and a timer that ran
 * out is set again. */
static void complete(struct stage *s, const struct node_event *event) {
    struct node_view *v = &s->view;
    struct node_effects *e = &s->effects;
    node_id id = s->config.self;
    uint64_t to = e->apply_to;
    bool is_saving = e->save_vote || e->save_snapshot || e->save_from != 0;
    if (is_saving && e->write == 0)
        e->write = world->processes[id].durable + world->disks[id].pending + 1;
    if (v->commit < to) v->commit = to;
    if (v->last < to) v->last = to;
    if (v->last < v->snapshot.index) v->last = v->snapshot.index;
    if (world->term_max < v->term) world->term_max = v->term;
    if (event->type == NODE_TIMEOUT && e->timer == NODE_TIMER_KEEP) e->timer = NODE_TIMER_ELECTION;
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    node_id id = ((const struct actor *)node)->self;
    struct stage *s = &stages[id];
    cr_assert(heard_count < HEARD_MAX);
    heard[heard_count++] = (struct heard){event->type, id, event_value(event), world->clock_us};
    s->event = *event;
    if (!s->is_forged) complete(s, event);
    memcpy(out, &s->effects, offsetof(struct node_effects, scratch));
    clear_effects(&s->effects);
}

static void view(const void *node, struct node_view *out) {
    *out = stages[((const struct actor *)node)->self].view;
}

struct node_entry actor_entry(const void *node, uint64_t index) {
    const struct stage *s = node == NULL ? NULL : &stages[((const struct actor *)node)->self];
    for (uint32_t i = 0; s != NULL && i < ACTOR_ENTRIES_MAX; i++)
        if (s->entries[i].index == index) return s->entries[i].entry;
    if (index % 5 == 0) return (struct node_entry){.term = 7, .type = NODE_NOOP};
    return (struct node_entry){.term = 7, .type = NODE_COMMAND, .command = 100 + index};
}

static enum node_verdict verdict(const void *node, uint64_t index) {
    (void)index;
    return stages[((const struct actor *)node)->self].verdict;
}

static void members(const void *node, struct node_members *out) {
    const struct stage *s = &stages[((const struct actor *)node)->self];
    *out = s->image.members;
    for (uint32_t i = 0; i < ACTOR_ENTRIES_MAX; i++)
        if (s->entries[i].index != 0 && s->entries[i].entry.type == NODE_MEMBERS)
            *out = s->entries[i].entry.members;
}

static void image(const void *node, struct node_image *out) {
    *out = stages[((const struct actor *)node)->self].image;
}

static struct node_progress progress(const void *node, node_id peer) {
    uint64_t match = stages[((const struct actor *)node)->self].match[peer];
    return (struct node_progress){.match = match, .next = match + 1};
}

/* The promise of a packet is its word, so that FACT_LEAVE tells which packet leaves; 0: none. */
static bool promise(const void *bytes, size_t size, struct promise *out) {
    cr_assert(size == sizeof out->term);
    out->type = PROMISE_VOTE;
    out->candidate = 1;
    memcpy(&out->term, bytes, size);
    return out->term != 0;
}

static const struct node_impl actor_impl = {
    .name = "actor",
    .size = sizeof(struct actor),
    .log_max = NODE_LOG_MAX,
    .supports = NODE_HAS_ALL,
    .is_flat = true,
    .start = start,
    .step = step,
    .stop = stop,
    .view = view,
    .entry = actor_entry,
    .verdict = verdict,
    .members = members,
    .image = image,
    .progress = progress,
    .promise = promise,
};

/* ---- the choices: each label answers what the test says, or the most that it may ---- */

struct choices stage_choices;
uint32_t forced[CHOICE_LABEL_COUNT], asked[CHOICE_LABEL_COUNT], bound_asked[CHOICE_LABEL_COUNT];
node_set outside;

static uint32_t next_forced(struct choices *c, enum choice_label label, uint16_t subject,
                            uint32_t bound) {
    (void)c;
    asked[label]++;
    bound_asked[label] = bound;
    if (label == CHOICE_CORE) return outside >> subject & 1;
    return forced[label] < bound ? forced[label] : bound - 1;
}

/* ---- the stage ---- */

struct cluster_config quiet(uint32_t nodes) {
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
        .hang_us_max = 10000,
        .window = 8,
        .chunk = 10,
        .snapshot = 30,
        .retry_us = RETRY_US,
    };
}

void stage_begin(struct cluster_config config) {
    memset(forced, 0, sizeof forced);
    memset(asked, 0, sizeof asked);
    outside = 0;
    heard_count = 0;
    stage_choices = (struct choices){.next = next_forced};
    cluster_reset(world, &config, &stage_choices);
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

uint64_t pending(enum event_type type, uint32_t id) {
    uint64_t due_us = 0;
    for (uint32_t i = 0; i < world->queue.count; i++) {
        struct event event = queue_at(&world->queue, i);
        if (event.key != event_key(type, (node_id)id)) continue;
        cr_assert(due_us == 0, "event %u of n%u is pending twice", type, id);
        due_us = event.due_us;
    }
    return due_us;
}

const struct change *happen_now(enum event_type type, node_id id) {
    cr_assert(queue_reset(&world->queue, (struct event){.key = event_key(type, id)}));
    uint64_t clock_us = world->clock_us;
    const struct change *change = cluster_step(world);
    cr_assert(world->clock_us == clock_us, "the clock shows when it happened");
    return change;
}

const struct change *poke(node_id id) {
    const struct change *change = happen_now(EVENT_TIMER, id);
    cr_assert(change->node == id && change->fact_count > 0, "n%u took no step", id);
    return change;
}

const struct change *fault_now(void) { return happen_now(EVENT_FAULT, 0); }

void crash_now(node_id id) {
    forced[CHOICE_CRASH] = id;
    fault_now();
    forced[CHOICE_CRASH] = 0;
    cr_assert(!world->processes[id].is_alive);
}

uint64_t next_due(void) { return queue_at(&world->queue, 0).due_us; }

void run_for(uint64_t us) {
    uint64_t limit = world->clock_us + us;
    while (next_due() <= limit) cluster_step(world);
    world->clock_us = limit;
}

const char *ask_client(node_id id) {
    heard_count = 0;
    happen_now(EVENT_CLIENT, 0);
    return heard_by(id);
}

const char *ask_as(uint32_t client) {
    struct queue *q = &world->queue;
    for (uint32_t position = q->count; position-- > 0;) {
        struct event event = queue_at(q, position);
        if (event_type(event) == EVENT_CLIENT && event.item == client) queue_take(q, position);
    }
    cr_assert(queue_push(q, (struct event){.key = event_key(EVENT_CLIENT, 0), .item = client}));
    heard_count = 0;
    cluster_step(world);
    static char line[200];
    line[0] = '\0';
    for (node_id id = 1; id <= NODE_MAX; id++)
        if (heard_count > 0 && heard[0].node == id)
            snprintf(line, sizeof line, "%u %.150s", id, heard_by(id));
    cr_assert(heard_count <= 1);
    return line;
}

void order_write(node_id id, uint64_t sequence) {
    stages[id].effects.write = sequence;
    stages[id].effects.save_vote = true;
    stages[id].view.term = sequence;
}

void order_packet(node_id id, node_id target, uint64_t word, uint64_t after) {
    struct stage *s = &stages[id];
    uint32_t i = s->effects.packet_count++;
    s->words[i] = word;
    s->effects.packets[i] = (struct node_packet){
        .bytes = &s->words[i], .size = sizeof word, .target = target, .after = after};
}

void order_entry(node_id id, uint64_t index, struct node_entry e) {
    struct stage *s = &stages[id];
    uint32_t i = 0;
    while (i < ACTOR_ENTRIES_MAX && s->entries[i].index != 0 && s->entries[i].index < index) i++;
    cr_assert(i < ACTOR_ENTRIES_MAX);
    s->entries[i].index = index;
    s->entries[i].entry = e;
    for (i++; i < ACTOR_ENTRIES_MAX; i++) s->entries[i].index = 0;
    s->view.last = index;
}

void order_change(node_id id, uint64_t index, struct node_members m) {
    uint64_t next = stages[id].view.last + 1;
    order_entry(id, index, (struct node_entry){.term = 7, .type = NODE_MEMBERS, .members = m});
    stages[id].effects.write = world->processes[id].durable + world->disks[id].pending + 1;
    stages[id].effects.save_from = index < next ? index : next;
}

void order_apply(node_id id, uint64_t from, uint64_t to) {
    stages[id].effects.apply_from = from;
    stages[id].effects.apply_to = to;
}

/* ---- what happened, as a line ---- */

void tell(struct text *t, const char *word, uint64_t value) {
    char number[24] = "";
    if (value != 0) snprintf(number, sizeof number, ":%" PRIu64, value);
    int n = snprintf(t->line + t->length, sizeof t->line - t->length, "%s%s%s",
                     t->length == 0 ? "" : " ", word, number);
    t->length += (size_t)n;
    cr_assert(t->length < sizeof t->line);
}

static uint64_t fact_value(const struct fact *fact) {
    switch (fact->type) {
    case FACT_WRITE:
    case FACT_DURABLE: return fact->u.write;
    case FACT_LEAVE:
    case FACT_PREVOTE: return fact->u.promise.term;
    case FACT_RESTORE: return fact->u.restore.snapshot.index;
    case FACT_APPLY:
    case FACT_ANSWER: return fact->u.applied.index;
    case FACT_READ: return fact->u.read.handle;
    case FACT_SERVE: return fact->u.read.index;
    case FACT_START:
    case FACT_STEP:
    case FACT_CRASH:
    case FACT_WIPE:
    case FACT_CONTRACT: return 0;
    }
    cr_assert(false);
    return 0;
}

const char *facts(const struct change *change) {
    static const char *const names[] = {
        [FACT_START] = "start",       [FACT_STEP] = "step",       [FACT_WRITE] = "write",
        [FACT_DURABLE] = "durable",   [FACT_LEAVE] = "leave",     [FACT_RESTORE] = "restore",
        [FACT_APPLY] = "apply",       [FACT_ANSWER] = "answer",   [FACT_READ] = "read",
        [FACT_SERVE] = "serve",       [FACT_CRASH] = "crash",     [FACT_WIPE] = "wipe",
        [FACT_CONTRACT] = "contract", [FACT_PREVOTE] = "pre-vote"};
    static struct text t;
    t = (struct text){0};
    for (uint32_t i = 0; i < change->fact_count; i++)
        tell(&t, names[change->facts[i].type], fact_value(&change->facts[i]));
    return t.line;
}

const char *heard_by(node_id id) {
    static const char *const names[] = {
        [NODE_RECEIVE] = "receive", [NODE_TIMEOUT] = "timeout", [NODE_PROPOSE] = "propose",
        [NODE_READ] = "read",       [NODE_CHANGE] = "change",   [NODE_TRANSFER] = "transfer",
        [NODE_SAVED] = "saved",     [NODE_COMPACT] = "compact"};
    static struct text t;
    t = (struct text){0};
    for (uint32_t i = 0; i < heard_count; i++)
        if (heard[i].node == id) tell(&t, names[heard[i].type], heard[i].value);
    return t.line;
}

uint32_t slots_in_use(const struct network *n) {
    uint32_t count = n->used;
    for (uint32_t slot = n->free_first; slot != 0; slot = n->packets[slot].next) count--;
    return count;
}
