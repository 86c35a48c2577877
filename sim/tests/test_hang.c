/* test_hang.c - a disk that hangs, a node that goes for good, a disk that is wiped: actors that
 * write, send and hear meanwhile. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"
#include "process.h"

enum { HANG_US = 5000, HELD_MAX = 64 };

/* Two nodes; the disk of node 1 hangs for that time from now on. */
static void begin(uint64_t us) {
    stage_begin(quiet(2));
    process_hang(world, 1, us == UINT64_MAX ? us : world->clock_us + us);
}

/* A write, and a packet to node 2 that waits for it. */
static const char *write_one(uint64_t sequence) {
    order_write(1, sequence);
    order_packet(1, 2, 100 + sequence, sequence);
    return facts(poke(1));
}

/* So many more. */
static void write_all(uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; i++) write_one(i);
}

/* ---- for a while ---- */

/* Goal: a disk that hangs completes nothing until its time, and then everything in order. Method: a
 * sync that was under way, or one that begins meanwhile; three writes with packets that wait; up to
 * the last microsecond, and then. */
Test(cluster, hung_disk_completes_nothing_until_its_time) {
    for (uint32_t is_early = 0; is_early < 2; is_early++) {
        stage_begin(quiet(2));
        if (is_early) write_one(1);
        process_hang(world, 1, HANG_US);
        write_all(is_early ? 2 : 1, 3);
        heard_count = 0;
        run_for(HANG_US - 1);
        cr_assert(world->disks[1].pending == 3 && world->disks[1].term == 0);
        cr_assert_str_eq(heard_by(1), "");
        cr_assert(slots_in_use(&world->network) == 3 && world->network.held_count[1] == 3);
        cr_assert(pending(EVENT_SYNC, 1) == HANG_US);
        cr_assert_str_eq(facts(cluster_step(world)),
                         "durable:1 leave:101 durable:2 leave:102 durable:3 leave:103 step");
        cr_assert(world->clock_us == HANG_US);
        cr_assert_str_eq(heard_by(1), "saved:3");
        run_for(LATENCY_US);
        cr_assert_str_eq(heard_by(2), "receive:101 receive:102 receive:103");
        cr_assert(world->counts[SOMETIMES_HANG] == 1);
        cr_assert_str_eq(write_one(4), "step write:4");
        run_for(SYNC_US);
        cr_assert(world->disks[1].pending == 0);
    }
}

/* Goal: a hang that is over when the sync ends is none. Method: it ends just with the sync, or a
 * microsecond later. */
Test(cluster, short_hang_is_none) {
    for (uint64_t us = SYNC_US; us <= SYNC_US + 1; us++) {
        begin(us);
        write_one(1);
        run_for(SYNC_US);
        cr_assert(world->disks[1].pending == (us > SYNC_US));
        run_for(1);
        cr_assert(world->disks[1].pending == 0);
    }
}

/* Goal: what waits for no write leaves at once, and the node goes on. Method: packets and a request
 * meanwhile. */
Test(cluster, messages_of_a_hung_disk_go_on) {
    begin(HANG_US);
    write_one(1);
    order_packet(1, 2, 7, 0);
    cr_assert_str_eq(facts(poke(1)), "step leave:7");
    order_packet(1, 2, 8, 1);
    cr_assert_str_eq(facts(poke(1)), "step");
    cr_assert_str_eq(ask_client(1), "propose:1");
    order_packet(2, 1, 9, 0);
    poke(2);
    heard_count = 0;
    run_for(LATENCY_US);
    cr_assert_str_eq(heard_by(1), "receive:9");
    cr_assert_str_eq(heard_by(2), "receive:7");
}

/* Goal: a disk that hangs already does not begin to hang anew: else it might do so for ever.
 * Method: a fault chooses it twice, and again when it is over. */
Test(cluster, hang_is_not_prolonged) {
    stage_begin(quiet(2));
    forced[CHOICE_HANG] = 1;
    forced[CHOICE_HANG_TIME] = 99;
    fault_now();
    run_for(50);
    fault_now();
    cr_assert(world->processes[1].hung_us == 100 && world->counts[SOMETIMES_HANG] == 1);
    run_for(50);
    fault_now();
    cr_assert(world->processes[1].hung_us == 200 && world->counts[SOMETIMES_HANG] == 2);
}

/* ---- a full disk ---- */

/* Goal: a node whose writes find no place waits for its disk, and then gets all that it has missed.
 * Method: the last write that finds a place comes meanwhile, or the disk is full when it begins to
 * hang; one write less blocks nothing. A packet comes, and requests would; it wakes up at its time.
 */
Test(cluster, full_disk_blocks_its_node) {
    for (uint32_t bits = 0; bits < 4; bits++) {
        bool is_full = bits & 1, is_late = bits & 2;
        stage_begin(quiet(2));
        if (!is_late) process_hang(world, 1, HANG_US);
        write_all(1, is_full ? DISK_WRITES_MAX : DISK_WRITES_MAX - 1);
        if (is_late) process_hang(world, 1, HANG_US);
        cr_assert(world->processes[1].resume_us == (is_full ? HANG_US : 0));
        order_packet(2, 1, 9, 0);
        poke(2);
        cr_assert(process_listens(world, 1) == !is_full);
        heard_count = 0;
        run_for(HANG_US - 1);
        cr_assert_str_eq(heard_by(1), is_full ? "" : "receive:9");
        cr_assert(world->processes[1].durable == 0);
        run_for(1);
        cr_assert_str_eq(heard_by(1), is_full ? "saved:256 receive:9" : "receive:9 saved:255");
        cr_assert(process_listens(world, 1));
    }
}

/* Goal: a node that is paused for longer than its disk hangs, wakes up when the pause ends. Method:
 * the pause is longer or shorter than the hang. */
Test(cluster, block_does_not_shorten_a_pause) {
    for (uint32_t is_longer = 0; is_longer < 2; is_longer++) {
        stage_begin(quiet(2));
        write_all(1, DISK_WRITES_MAX);
        uint64_t pause_us = is_longer ? HANG_US + 7 : HANG_US - 7;
        world->processes[1].resume_us = pause_us;
        process_hang(world, 1, HANG_US);
        cr_assert(world->processes[1].resume_us == (is_longer ? pause_us : HANG_US));
    }
}

/* ---- for ever ---- */

/* Goal: a disk that hangs for ever leaks nothing. Method: its node writes until it is blocked, and
 * others send to it for long: it hears nothing more, what is in flight to it is given back, and
 * nothing of it is pending. */
Test(cluster, hang_for_ever_leaks_nothing) {
    begin(UINT64_MAX);
    write_all(1, DISK_WRITES_MAX);
    cr_assert(world->processes[1].resume_us == UINT64_MAX);
    heard_count = 0;
    for (uint32_t i = 1; i <= 100; i++) {
        order_packet(2, 1, i, 0);
        poke(2);
        run_for(2 * LATENCY_US);
        cr_assert(slots_in_use(&world->network) == HELD_MAX);
    }
    run_for(3 * QUIET_US); /* The timer of node 1 runs out. */
    cr_assert_str_eq(heard_by(1), "");
    cr_assert(world->processes[1].is_alive && world->disks[1].pending == DISK_WRITES_MAX);
    for (enum event_type type = EVENT_PACKET; type <= EVENT_COMPACT; type++)
        cr_assert(pending(type, 1) == 0, "event %u", type);
    crash_now(1);
    cr_assert(slots_in_use(&world->network) == 0);
}

/* Goal: packets that wait for a disk that hangs do not fill the network. Method: more than may
 * wait: those above are lost, the others leave in order when it is over; while it does not hang,
 * all of them may wait. */
Test(cluster, few_packets_wait_for_a_hung_disk) {
    for (uint32_t is_hung = 0; is_hung < 2; is_hung++) {
        stage_begin(quiet(2));
        if (is_hung) process_hang(world, 1, HANG_US);
        order_write(1, 1);
        poke(1);
        for (uint64_t i = 1; i <= HELD_MAX + 6; i++) {
            order_packet(1, 2, i, 1);
            poke(1);
        }
        uint32_t count = is_hung ? HELD_MAX : HELD_MAX + 6;
        cr_assert(world->network.held_count[1] == count);
        cr_assert(slots_in_use(&world->network) == count);
        cr_assert(world->counts[SOMETIMES_LOSS] == (is_hung ? 6 : 0));
        heard_count = 0;
        run_for(HANG_US + LATENCY_US);
        struct text expected = {0};
        for (uint64_t i = 1; i <= count; i++) tell(&expected, "receive", i);
        cr_assert_str_eq(heard_by(2), expected.line);
        order_packet(1, 2, 1, 2);
        order_write(1, 2);
        poke(1);
        cr_assert(world->network.held_count[1] == 1, "there is room again");
    }
}

/* ---- how it ends ---- */

/* Goal: a crash ends a hang. Method: it hangs for a while or for ever, with room or without: the
 * next life hears, writes, and its writes become durable. */
Test(cluster, crash_ends_a_hang) {
    for (uint32_t bits = 0; bits < 4; bits++) {
        begin(bits & 1 ? UINT64_MAX : QUIET_US);
        write_all(1, bits & 2 ? DISK_WRITES_MAX : 1);
        run_for(2 * SYNC_US);
        crash_now(1);
        cr_assert(world->processes[1].hung_us == 0 && world->processes[1].resume_us == 0);
        cr_assert(slots_in_use(&world->network) == 0 && pending(EVENT_SYNC, 1) == 0);
        run_for(DOWN_US);
        cr_assert(world->processes[1].is_alive);
        heard_count = 0;
        cr_assert_str_eq(write_one(1), "step write:1");
        run_for(SYNC_US);
        cr_assert_str_eq(heard_by(1), "timeout saved:1");
    }
}

/* Goal: a node that stops does not come back. Method: it is alive, paused, hung, or down already;
 * in the control it only crashes. */
Test(cluster, stopped_node_stays_away) {
    enum { ALIVE, PAUSED, HUNG, DOWN, CONTROL, WAYS };
    for (uint32_t way = ALIVE; way < WAYS; way++) {
        stage_begin(quiet(3));
        if (way == PAUSED) world->processes[1].resume_us = HANG_US;
        if (way == HUNG) process_hang(world, 1, UINT64_MAX);
        if (way == HUNG) write_all(1, DISK_WRITES_MAX);
        if (way == DOWN || way == CONTROL) crash_now(1);
        cr_assert(pending(EVENT_RESTART, 1) == (way >= DOWN ? DOWN_US : 0));
        if (way != CONTROL) process_stop(world, 1);
        cr_assert(world->gone == (way == CONTROL ? 0 : node_bit(1)));
        cr_assert(asked[CHOICE_DOWN_TIME] == (way >= DOWN), "how long is chosen if it comes back");
        cr_assert(!world->processes[1].is_alive && world->counts[SOMETIMES_CRASH] == 1);
        run_for(QUIET_US / 2);
        cr_assert(world->processes[1].is_alive == (way == CONTROL));
        for (enum event_type type = EVENT_PACKET; type <= EVENT_COMPACT; type++)
            cr_assert(way == CONTROL || pending(type, 1) == 0, "event %u", type);
    }
}

/* ---- wiped disks ---- */

/* Node 1 has a vote, entries and a snapshot on its disk, and more of each pending. */
static void write_state(void) {
    struct stage *s = &stages[1];
    order_write(1, 1);
    s->view.vote = 2;
    s->view.last = 6;
    s->view.commit = 3;
    s->view.snapshot = (struct node_snapshot){.index = 2, .term = 7, .state = 55};
    s->effects.save_snapshot = true;
    s->effects.save_from = 3;
    poke(1);
    run_for(SYNC_US);
    order_write(1, 2);
    poke(1);
    const struct disk *d = &world->disks[1];
    cr_assert(d->term == 1 && d->vote == 2 && disk_last(d) == 6 && d->pending == 1);
}

static void check_empty(const struct disk *d) {
    static struct disk empty;
    disk_clear(&empty);
    cr_assert(d->term == 0 && d->vote == 0 && d->pending == 0 && d->entry_count == 0);
    cr_assert(memcmp(&d->snapshot, &empty.snapshot, sizeof d->snapshot) == 0);
    cr_assert(memcmp(&d->image, &empty.image, sizeof d->image) == 0);
}

/* Goal: a wiped disk is that of a node that never ran. Method: a disk with something of everything
 * is wiped, by hand or by the crash that is chosen for it; the next life starts with nothing. A
 * crash without that, or where the configuration does not allow it, keeps all. */
Test(cluster, wiped_disk_is_empty) {
    enum { BY_HAND, BY_CRASH, NOT_CHOSEN, NOT_ALLOWED, WAYS };
    for (uint32_t way = BY_HAND; way < WAYS; way++) {
        struct cluster_config config = quiet(3);
        config.wipe_same_id = way == BY_CRASH || way == NOT_CHOSEN;
        stage_begin(config);
        write_state();
        forced[CHOICE_WIPE] = way == BY_CRASH || way == NOT_ALLOWED;
        crash_now(1);
        cr_assert_str_eq(facts(&world->change), way == BY_CRASH ? "crash wipe" : "crash");
        cr_assert(asked[CHOICE_WIPE] == config.wipe_same_id);
        if (way == BY_HAND) process_wipe(world, 1);
        bool is_kept = way >= NOT_CHOSEN;
        if (!is_kept) check_empty(&world->disks[1]);
        run_for(DOWN_US);
        const struct node_view *v = &stages[1].view;
        cr_assert(v->term == is_kept && v->last == (is_kept ? 6 : 0), "%u", way);
        cr_assert((stages[1].image.members.voters != 0) == is_kept);
    }
}
