/* test_cluster.c - the world, with an actor for a node: packets travel, processes pause, restart
 * and compact, the client asks and time passes just as the choices say, which the test has made. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"

/* ---- packets ---- */

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void check_travel(uint32_t latency, uint32_t delay, bool is_lost, bool is_doubled) {
    stage_begin(quiet(2));
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
    stage_begin(quiet(3));
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
        stage_begin(quiet(2));
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
    stage_begin(quiet(NODE_MAX));
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
        stage_begin(quiet(3));
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
        stage_begin(quiet(n));
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
}

/* Goal: the limits of a configuration are reached, not passed. Method: each time is chosen as long
 * as it can be. */
Test(cluster, chosen_times_end_at_their_limits) {
    stage_begin(quiet(2));
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
    stage_begin(config);
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
        uint32_t starts = actor_start_count;
        stage_begin(quiet(n));
        cr_assert(actor_start_count == starts + n && world->change.fact_count == n);
        order_write(1, 1);
        stages[1].view.vote = (node_id)n;
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
        cr_assert(actor_start_count == starts + n + 1 && world->processes[1].is_alive);
        cr_assert(stages[1].view.term == 1 && stages[1].view.vote == n);
        cr_assert(stages[1].config.self == 1 && stages[1].config.batch_max == 8);
        cr_assert(__builtin_popcountll(stages[1].config.voters) == (int)n);
        cr_assert(!(stages[1].config.voters & 1) && stages[1].config.voters >> n & 1);
        crash_now(1); /* The next reset finds it dead. */
    }
}

/* Goal: a node runs as it is configured. Method: what each of them is told at its start, where some
 * have an option and others do not; and a spare one, which finds an empty disk. */
Test(cluster, nodes_are_configured) {
    struct cluster_config config = quiet(9);
    config.spares = 2;
    config.window = 77;
    config.chunk = 88;
    config.pre_vote = 0xa5;
    config.check_quorum = CONFIG_OPTION_ALL;
    config.lease_us = 99;
    stage_begin(config);
    cr_assert(world->change.fact_count == 11);
    for (node_id id = 1; id <= 11; id++) {
        const struct node_config *c = &stages[id].config;
        cr_assert(c->self == id && c->voters == 0x3fe && c->batch_max == 8);
        cr_assert(c->window == 77 && c->chunk_max == 88 && c->lease_us == 99);
        cr_assert(c->pre_vote == (0xa5 >> id % 8 & 1) && c->check_quorum);
        cr_assert(stages[id].image.members.voters == (id <= 9 ? 0x3fe : 0));
    }
}

/* Goal: patience is the heartbeats that fit into the shortest election timeout. Method: heartbeats
 * shorter, longer and much shorter than that. */
Test(cluster, patience_is_at_least_one_heartbeat) {
    static const struct {
        uint32_t heartbeat_us, patience;
    } cases[] = {{500, 60}, {30000, 1}, {29999, 1}, {15000, 2}, {100000, 1}, {100, 255}};
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster_config config = quiet(3);
        config.election_us_min = 30000;
        config.heartbeat_us = cases[i].heartbeat_us;
        stage_begin(config);
        cr_assert(stages[2].config.patience == cases[i].patience, "%u", cases[i].heartbeat_us);
    }
}

/* ---- client ---- */

/* Goal: the client finds the leader. Method: it stays with who accepts, follows a refusal to the
 * leader named, or goes on to the next node, as it does from a node that is down or paused, and
 * asks whom the choice says. Commands are numbered, heard or not. */
Test(cluster, client_follows_the_leader) {
    stage_begin(quiet(3));
    cr_assert_str_eq(ask_client(1), "propose:1");
    stages[1].effects.refused = true;
    stages[1].effects.leader = 3;
    cr_assert_str_eq(ask_client(1), "propose:2");
    stages[3].effects.refused = true;
    cr_assert_str_eq(ask_client(3), "propose:3");
    cr_assert(world->counts[SOMETIMES_REFUSED] == 2);
    crash_now(2);
    cr_assert_str_eq(ask_client(2), ""); /* 4: after 1, which named 3. */
    forced[CHOICE_PAUSE] = 3;
    fault_now();
    cr_assert_str_eq(ask_client(3), ""); /* 5 */
    cr_assert(world->counts[SOMETIMES_UNHEARD] == 2);
    cr_assert_str_eq(ask_client(1), "propose:6");
    cr_assert_str_eq(ask_client(1), "propose:7");
    run_for(DOWN_US);
    forced[CHOICE_CLIENT_TARGET] = 2;
    cr_assert_str_eq(ask_client(2), "propose:8");
    forced[CHOICE_CLIENT_TIME] = 77;
    ask_client(1);
    cr_assert(pending(EVENT_CLIENT, 0) == world->clock_us + 6 * QUIET_US + 77);
}

/* Goal: nobody hears a client that is cut off. Method: with node 1 outside the core of the calm
 * phase, the client goes on to the next node. */
Test(cluster, client_does_not_reach_beyond_the_core) {
    stage_begin(quiet(3));
    outside = node_bit(1);
    cluster_calm(world);
    cr_assert_str_eq(ask_client(1), "");
    cr_assert_str_eq(ask_client(2), "propose:2");
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
        stage_begin(quiet(3));
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
