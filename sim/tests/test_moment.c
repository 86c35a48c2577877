/* test_moment.c - critical moments: actors show just what makes one, or what nearly does, and the
 * fault that is chosen for it hits the node or the other one. */
#include <criterion/criterion.h>

#include "actor.h"
#include "process.h"

/* In the order in which they are counted, and chosen. */
enum { OFFICE, TRANSFER, CHANGE, INSTALL, MINORITY, SYNCED, MOMENT_COUNT, NONE = MOMENT_COUNT };
enum { NOTHING, CRASH, ISOLATE, PAUSE, CRASH_OTHER, ISOLATE_OTHER, PAUSE_OTHER, HURT_COUNT };

enum { NODES = 4, SPARE = 5, PAUSE_US = 100 };

static void begin(void) {
    struct cluster_config config = quiet(NODES);
    config.spares = 1;
    stage_begin(config);
    forced[CHOICE_PAUSE_TIME] = PAUSE_US - 1;
}

/* The node leads, and has for long. */
static void leads(node_id id, uint64_t term) {
    stages[id].view.role = world->processes[id].view.role = NODE_LEADER;
    stages[id].view.term = world->processes[id].view.term = term;
    if (world->term_max < term) world->term_max = term;
}

static void receive(node_id id, node_id source) {
    uint64_t word = 1;
    uint32_t slot = network_put(&world->network, source, id, &word, sizeof word);
    struct event event = {.key = event_key(EVENT_PACKET, id), .item = slot};
    cr_assert(queue_push(&world->queue, event));
    cluster_step(world);
}

static void take_office(void) {
    leads(3, 4);
    stages[1].view.role = NODE_LEADER;
    stages[1].view.term = 5;
    poke(1);
}

static void hand_over(void) {
    leads(1, 4);
    stages[1].view.transfer = 3;
    poke(1);
}

/* A configuration that names `id` anew, if it is not 1 to 4. */
static void add(node_id id) {
    leads(1, 4);
    order_change(1, 1, (struct node_members){.voters = cluster_voters(world) | node_bit(id)});
    poke(1);
}

static void install(void) {
    leads(1, 4);
    stages[2].effects.save_chunk = true;
    stages[2].effects.chunk.size = stages[2].effects.chunk.length = 10;
    receive(2, 1);
}

static void append(void) {
    leads(1, 4);
    stages[1].view.last = 1;
    stages[1].effects.save_from = 1;
    stages[1].effects.write = 1;
    poke(1);
}

static void sync_follower(void) {
    leads(1, 4);
    order_write(2, 1);
    poke(2);
    run_for(SYNC_US);
}

/* The moment comes to pass. It is about `node`, and concerns `other`. */
struct scene {
    void (*play)(void);
    node_id node, other;
};

static void add_spare(void) { add(SPARE); }

static const struct scene scenes[MOMENT_COUNT] = {
    [OFFICE] = {take_office, 1, 3},   [TRANSFER] = {hand_over, 1, 3},
    [CHANGE] = {add_spare, 1, SPARE}, [INSTALL] = {install, 2, 1},
    [MINORITY] = {append, 1, 0},      [SYNCED] = {sync_follower, 2, 1},
};

/* The node that the fault has hit; of one kind, at most one. */
static uint32_t crashed(void) {
    for (node_id id = 1; id <= SPARE; id++)
        if (!world->processes[id].is_alive) return id;
    return 0;
}

static uint32_t isolated(void) {
    uint32_t found = 0;
    for (node_id id = 1; id <= SPARE; id++) {
        node_set others = cluster_ids(world) & ~node_bit(id);
        if ((world->network.cut[id] & others) == others) found = id;
    }
    return found;
}

static uint32_t paused(void) {
    for (node_id id = 1; id <= SPARE; id++)
        if (world->processes[id].resume_us == world->clock_us + PAUSE_US) return id;
    return 0;
}

static void check_hurt(uint32_t moment, uint32_t hurt) {
    const struct scene *scene = &scenes[moment];
    uint32_t victim = hurt > PAUSE ? scene->other : hurt > NOTHING ? scene->node : 0;
    uint32_t kind = hurt > PAUSE ? hurt - PAUSE : hurt;
    cr_assert(crashed() == (kind == CRASH ? victim : 0), "%u, %u: n%u", moment, hurt, crashed());
    cr_assert(isolated() == (kind == ISOLATE ? victim : 0), "%u, %u", moment, hurt);
    cr_assert(paused() == (kind == PAUSE ? victim : 0), "%u, %u", moment, hurt);
    for (uint32_t i = 0; i < MOMENT_COUNT; i++) {
        bool is_counted = i == moment && hurt != NOTHING;
        cr_assert(world->counts[SOMETIMES_MOMENT_OFFICE + i] == is_counted, "%u, not %u", i,
                  moment);
    }
}

/* Goal: each moment is recognized, and its fault hits whom it should. Method: all moments with all
 * faults: the node, or the other one that the moment concerns, and nobody else; the one counter. */
Test(cluster, faults_hit_at_moments) {
    for (uint32_t moment = 0; moment < MOMENT_COUNT; moment++)
        for (uint32_t hurt = 0; hurt < HURT_COUNT; hurt++) {
            begin();
            forced[CHOICE_MOMENT] = hurt;
            scenes[moment].play();
            cr_assert(bound_asked[CHOICE_MOMENT] == HURT_COUNT);
            check_hurt(moment, hurt);
        }
}

/* The moment that is asked about after that; NONE: none. */
static uint32_t moment_of(void (*play)(void), uint32_t hurt) {
    forced[CHOICE_MOMENT] = hurt;
    play();
    for (uint32_t i = 0; i < world->change.fact_count; i++)
        cr_assert(world->change.facts[i].type != FACT_CONTRACT);
    if (asked[CHOICE_MOMENT] == 0) return NONE;
    for (uint32_t i = 0; i < MOMENT_COUNT; i++)
        if (world->counts[SOMETIMES_MOMENT_OFFICE + i] != 0) return i;
    cr_assert(false);
    return NONE;
}

static void lead_on(void) {
    leads(1, 4);
    poke(1);
}

static void transfer_on(void) {
    leads(1, 4);
    stages[1].view.transfer = world->processes[1].view.transfer = 3;
    poke(1);
}

static void end_transfer(void) {
    leads(1, 4);
    world->processes[1].view.transfer = 3;
    poke(1);
}

static void candidate_appears(void) {
    stages[1].view.role = NODE_CANDIDATE;
    poke(1);
}

static void follower_appends(void) {
    leads(3, 4);
    stages[1].view.last = 1;
    stages[1].effects.save_from = 1;
    poke(1);
}

static void leader_syncs(void) {
    leads(1, 4);
    order_write(1, 4);
    stages[1].effects.write = 1;
    poke(1);
    run_for(SYNC_US);
}

static void leader_crashes_as_it_appends(void) {
    world->processes[1].crash_before = 1;
    append();
}

static void nobody_steps(void) { fault_now(); }

static void sync_does_not_end(void) {
    process_hang(world, 2, QUIET_US);
    sync_follower();
}

static void append_in_calm_phase(void) {
    cluster_calm(world);
    stage_choices.dull = 0; /* Even if there were choices. */
    append();
}

/* Goal: what is nearly a moment is none. Method: a leader that goes on, goes on or ends with a
 * transfer; a candidate; a follower that appends; a leader's own sync; a node that dies in the
 * step; an event without a step; the calm phase. */
Test(cluster, near_misses_are_no_moments) {
    void (*const plays[])(void) = {
        lead_on,
        transfer_on,
        end_transfer,
        candidate_appears,
        follower_appends,
        leader_syncs,
        nobody_steps,
        sync_does_not_end,
        leader_crashes_as_it_appends,
        append_in_calm_phase,
    };
    for (uint32_t i = 0; i < sizeof plays / sizeof plays[0]; i++) {
        begin();
        cr_assert(moment_of(plays[i], PAUSE) == NONE, "play %u", i);
    }
    for (uint32_t i = 0; i < MOMENT_COUNT; i++) {
        begin();
        cr_assert(moment_of(scenes[i].play, PAUSE) == i, "moment %u", i);
    }
}

static void take_office_alone(void) {
    stages[1].view.role = NODE_LEADER;
    poke(1);
}

static void change_nobody(void) { add(4); }

/* A configuration that is in its log already, and an entry after it. */
static void append_after_change(void) {
    uint32_t hurt = forced[CHOICE_MOMENT];
    forced[CHOICE_MOMENT] = NOTHING;
    add(SPARE);
    forced[CHOICE_MOMENT] = hurt;
    stages[1].view.last = 2;
    stages[1].effects.save_from = 2;
    poke(1);
}

/* Goal: where there is no other node, nobody is hurt in its place. Method: a leader that replaces
 * none, a configuration that adds nobody, an entry behind one that does. */
Test(cluster, nobody_is_hurt_where_nobody_is_concerned) {
    void (*const plays[])(void) = {take_office_alone, change_nobody, append_after_change};
    const uint32_t moments[] = {OFFICE, CHANGE, MINORITY};
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t hurt = CRASH_OTHER; hurt < HURT_COUNT; hurt++) {
            begin();
            cr_assert(moment_of(plays[i], hurt) == moments[i], "play %u", i);
            cr_assert(crashed() == 0 && isolated() == 0 && paused() == 0);
            cr_assert(world->counts[SOMETIMES_ISOLATE] == 0);
        }
}

/* ---- late packets ---- */

/* A packet to that node, due then. */
static void send_late(node_id target, uint64_t word, uint64_t due_us) {
    uint32_t slot = network_put(&world->network, 2, target, &word, sizeof word);
    struct event event = {.due_us = due_us, .key = event_key(EVENT_PACKET, target), .item = slot};
    cr_assert(queue_push(&world->queue, event));
}

/* Goal: packets that have been in flight for long reach a new leader at once, each one once, and no
 * others do. Method: packets to it, to another node, early ones and late ones, more than one due at
 * the same time; chosen or not; another moment hastens nothing. */
Test(cluster, late_packets_reach_a_new_leader) {
    enum { SOON_US = 2 * LATENCY_US, LATE_US = 9000, COUNT = 50 };
    for (uint32_t bits = 0; bits < 4; bits++) {
        bool is_chosen = bits & 1, is_new = bits & 2, is_hastened = is_chosen && is_new;
        begin();
        if (!is_new) leads(1, 4);
        if (!is_new) stages[1].view.transfer = 3; /* Another moment. */
        send_late(1, 1, LATENCY_US);
        send_late(1, 2, SOON_US);
        for (uint64_t i = 0; i < COUNT; i++) send_late(1, 3 + i, LATE_US + i / 3);
        for (uint64_t i = 0; i < COUNT; i++) send_late(3, 3 + i, LATE_US + i / 3);
        forced[CHOICE_LATE] = is_chosen;
        take_office_alone();
        cr_assert(asked[CHOICE_LATE] == is_new);
        cr_assert(world->counts[SOMETIMES_HASTENED] == (is_hastened ? COUNT : 0));
        heard_count = 0;
        run_for(LATENCY_US);
        cr_assert_str_eq(heard_by(1), "receive:1");
        run_for(SOON_US - LATENCY_US);
        uint32_t soon = heard_count;
        cr_assert(soon == (is_hastened ? 2 + COUNT : 2) && *heard_by(3) == '\0');
        cr_assert(slots_in_use(&world->network) == (is_hastened ? COUNT : 2 * COUNT));
        run_for(QUIET_US / 2);
        cr_assert(heard_count == 2 + 2 * COUNT && slots_in_use(&world->network) == 0);
        uint64_t words = 0; /* Each one has come once. */
        for (uint32_t i = 0; i < heard_count; i++)
            if (heard[i].node == 1) words ^= UINT64_C(1) << heard[i].value;
        cr_assert(words == (UINT64_C(1) << (3 + COUNT)) - 2);
    }
}
