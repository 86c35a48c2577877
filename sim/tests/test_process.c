/* test_process.c - a process does what its node orders, in order and no more, and a crash leaves
 * just what came before it: effects, writes and the packets that wait for them, told by an actor
 * and compared with a story or a twin; its clock, and the digest of what it did. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"
#include "hash.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
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
    stage_begin(quiet(5));
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
    uint64_t acknowledged = is_whole && plan->has_answer ? 2 : 0;
    cr_assert(world->counts[SOMETIMES_ACKNOWLEDGED] == acknowledged);
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

/* Goal: the state machine is what was applied: a snapshot replaces it, executed commands add to it,
 * nothing else does. Method: apply some, restore, apply more: the state is the hash of the same. */
Test(cluster, state_machine_follows_applies) {
    stage_begin(quiet(3));
    order_apply(1, 1, 4);
    poke(1);
    uint64_t state = 0;
    for (uint64_t i = 1; i <= 4; i++) state = hash_apply(state, 7, 100 + i);
    cr_assert(world->processes[1].applied == 4 && world->processes[1].state == state);
    stages[1].view.snapshot = (struct node_snapshot){.index = 9, .term = 7, .state = 1234};
    stages[1].effects.apply_snapshot = true;
    order_apply(1, 10, 11);
    poke(1);
    state = hash_apply(1234, 7, 111); /* 10 is a no-op. */
    cr_assert(world->processes[1].applied == 11 && world->processes[1].state == state);
    for (enum node_verdict v = NODE_DUPLICATE; v <= NODE_EXPIRED; v++) {
        stages[1].verdict = v;
        order_apply(1, 12, 14);
        const struct change *change = poke(1);
        cr_assert(world->processes[1].applied == 14 && world->processes[1].state == state);
        for (uint32_t i = 1; i <= 3; i++) cr_assert(change->facts[i].u.applied.verdict == v);
    }
    cr_assert(world->counts[SOMETIMES_DUPLICATE_COMMAND] == 3);
    cr_assert(world->counts[SOMETIMES_SESSION_EXPIRED] == 3);
}

/* Goal: a write holds what the node has when it asks for it. Method: term, vote, log and snapshot
 * of two writes, the second while the first is pending; after each sync the disk is as ordered. */
Test(cluster, writes_hold_what_the_node_has) {
    stage_begin(quiet(3));
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
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(d->entries[i].command == actor_entry(NULL, 3 + i).command);
}

/* ---- chunks ---- */

/* A chunk of the snapshot `state` of that size, from that node; and whether what has come is whole
 * then, the sender another one in the middle, and it a later chunk. */
struct arrival {
    uint64_t state, size, offset, length;
    node_id source;
    bool is_whole, is_resumed;
};

static void receive_chunk(const struct arrival *a) {
    struct node_effects *e = &stages[1].effects;
    e->save_chunk = true;
    e->chunk.state = a->state;
    e->chunk.size = a->size;
    e->chunk.offset = a->offset;
    e->chunk.length = a->length;
    uint64_t word = 1;
    uint32_t slot = network_put(&world->network, a->source, 1, &word, sizeof word);
    struct event event = {.key = event_key(EVENT_PACKET, 1), .item = slot};
    cr_assert(queue_push(&world->queue, event));
    cluster_step(world);
}

/* The snapshot `state` is installed now: is it whole? */
static bool is_whole(uint64_t state) {
    stages[1].view.snapshot = (struct node_snapshot){.index = 9, .term = 7, .state = state};
    stages[1].effects.apply_snapshot = true;
    const struct change *change = poke(1);
    const struct fact *fact = &change->facts[1];
    cr_assert(fact->type == FACT_RESTORE && fact->u.restore.snapshot.state == state);
    return fact->u.restore.is_whole;
}

/* Goal: a snapshot is whole when all its bytes have come, in order, from whomever. Method: chunks
 * in order, with gaps, doubled, mixed with those of others, begun anew; after each of them another
 * run installs it there. */
Test(cluster, chunks_make_a_snapshot) {
    const struct arrival arrivals[] = {
        {5, 30, 0, 10, 2, false, false},  {5, 30, 10, 10, 2, false, false},
        {5, 30, 20, 10, 3, true, true},   {5, 30, 20, 10, 3, false, false}, /* Doubled. */
        {5, 30, 10, 10, 3, false, false}, /* Nothing helps any more. */
        {5, 30, 0, 10, 3, false, false},  {5, 30, 20, 10, 3, false, false}, /* A gap. */
        {5, 30, 0, 20, 2, false, false},  {6, 30, 20, 10, 2, false, false}, /* Another one. */
        {5, 30, 0, 20, 2, false, false},  {5, 40, 20, 10, 2, false, false}, /* Longer. */
        {5, 30, 0, 20, 2, false, false},  {5, 30, 20, 9, 2, false, false},  /* Too short. */
        {5, 30, 0, 20, 2, false, false},  {5, 30, 0, 20, 3, false, false},
        {5, 30, 20, 10, 3, true, false},  {5, 1, 0, 1, 2, true, false},
    };
    uint32_t count = sizeof arrivals / sizeof arrivals[0];
    for (uint32_t n = 1; n <= count; n++) {
        stage_begin(quiet(3));
        uint64_t later = 0, resumed = 0;
        for (uint32_t i = 0; i < n; i++) {
            receive_chunk(&arrivals[i]);
            later += arrivals[i].offset > 0;
            resumed += arrivals[i].is_resumed;
        }
        cr_assert(world->counts[SOMETIMES_CHUNK] == later);
        cr_assert(world->counts[SOMETIMES_SNAPSHOT_RESUMED] == resumed);
        cr_assert(is_whole(5) == arrivals[n - 1].is_whole, "after chunk %u", n);
        cr_assert(!is_whole(4)); /* It is that of no other state. */
    }
}

/* Goal: received chunks are gone after a crash, and none are a whole. Method: all chunks, then a
 * crash and a restart. */
Test(cluster, crash_forgets_the_chunks) {
    stage_begin(quiet(3));
    cr_assert(!is_whole(0));
    receive_chunk(&(struct arrival){5, 30, 0, 30, 2, true, false});
    crash_now(1);
    run_for(DOWN_US);
    cr_assert(!is_whole(5));
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
        stage_begin(quiet(2));
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
    stage_begin(quiet(2));
    for (uint64_t i = 1; i <= DISK_WRITES_MAX; i++) {
        order_write(1, i);
        order_packet(1, 2, 100 + i, i);
        poke(1);
    }
    cr_assert(world->disks[1].pending == DISK_WRITES_MAX && world->disks[1].term == 0);
    order_write(1, DISK_WRITES_MAX + 1);
    cr_assert_str_eq(facts(poke(1)), "step durable:1 leave:101 write:257");
    cr_assert(world->disks[1].pending == DISK_WRITES_MAX && world->disks[1].term == 1);
    heard_count = 0;
    cluster_step(world);
    cr_assert_str_eq(heard_by(1), "saved:257");
}

/* Goal: a crash keeps a prefix of the pending writes, of the length that is chosen, and the packets
 * that waited die. Method: every number of pending writes, every number kept; the next life starts
 * from what was kept and hears nothing of the last one's syncs. */
Test(cluster, crash_keeps_the_chosen_prefix) {
    for (uint32_t written = 0; written <= DISK_WRITES_MAX; written++)
        for (uint32_t kept = 0; kept <= written; kept++) {
            stage_begin(quiet(2));
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

/* ---- its clock ---- */

/* Goal: a slow clock shows less, and its timers take longer, by the same part. Method: node 1 is
 * slow by 0, 1 and 100 in a thousand; a timer of each kind, and what the node is told when it runs
 * out. */
Test(cluster, clocks_may_be_slow) {
    for (uint32_t slow = 0; slow <= 100; slow += slow == 0 ? 1 : 99) {
        struct cluster_config config = quiet(2);
        config.drift = 100;
        stage_begin(config);
        forced[CHOICE_DRIFT] = slow;
        cluster_reset(world, &config, &stage_choices);
        cr_assert(asked[CHOICE_DRIFT] == 4 && bound_asked[CHOICE_DRIFT] == 101);
        uint64_t election_us = pending(EVENT_TIMER, 1);
        cr_assert(election_us == (uint64_t)QUIET_US * (1000 + slow) / 1000, "%u", slow);
        stages[1].effects.timer = NODE_TIMER_HEARTBEAT;
        poke(1);
        uint64_t heartbeat_us = HEARTBEAT_US * (1000 + slow) / 1000;
        cr_assert(pending(EVENT_TIMER, 1) - world->clock_us == heartbeat_us, "%u", slow);
        run_for(1000 * 1000 + slow);
        poke(1);
        cr_assert(stages[1].event.now_us == world->clock_us * 1000 / (1000 + slow), "%u", slow);
    }
}

/* ---- the digest ---- */

/* The digest of 100 steps, of which one shows another view: `field` of them; 0: none. */
static uint64_t digest_with(uint32_t at, uint32_t field) {
    stage_begin(quiet(2));
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
        if (i == at && field == 12) v->transfer = 2;
        if (i == at && field == 13) receive_chunk(&(struct arrival){5, 30, 0, 10, 2, false, false});
        if (world->processes[1].is_alive) poke(1);
    }
    return world->digest;
}

/* Goal: two runs are equal if their digests are. Method: runs that differ in one step, early or
 * late, in one thing: all digests differ, and the same run has the same one. */
Test(cluster, digest_sees_every_difference) {
    for (uint32_t at = 0; at < 100; at += 33) {
        uint64_t digests[14];
        for (uint32_t field = 0; field < 14; field++) {
            digests[field] = digest_with(at, field);
            cr_assert(digests[field] == digest_with(at, field), "step %u", at);
            for (uint32_t other = 0; other < field; other++)
                cr_assert(digests[field] != digests[other], "step %u: %u as %u", at, field, other);
        }
    }
}
