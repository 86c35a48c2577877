/* test_exhaustive.c - small clusters of the real node under every sequence of answers to the first
 * choices of a run: whatever happens, no check fires, and in the calm phase the cluster comes to
 * rest.
 *
 * A run answers its first `quiet` choices with 0, the dullest way to get somewhere, then the next
 * `depth` in every possible way, then with 0 again. Only the labels that a test names are asked. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "run.h"

struct explorer {
    struct choices choices; /* First: the source is found through it. */
    uint32_t (*next_all)(struct choices *, enum choice_label, uint16_t subject, uint32_t bound);
    uint32_t labels; /* Bit i: label i is asked. */
    uint32_t quiet, asked;
};

static uint32_t next(struct choices *c, enum choice_label label, uint16_t subject, uint32_t bound) {
    struct explorer *e = (struct explorer *)(void *)c;
    if (!(e->labels >> label & 1) || e->asked++ < e->quiet) return 0;
    return e->next_all(c, label, subject, bound);
}

struct exploration {
    const char *name;
    uint32_t labels, depth;
    uint32_t quiet_max, quiet_step; /* The choices start after 0, step, ... dull answers. */
    struct cluster_config config;
};

static struct simulator simulator;
static uint64_t counts[SOMETIMES_COUNT]; /* Over all runs. */

static void open_simulator(void) { cr_assert(simulator_new(&simulator, &node_raft, CHECK_ALL)); }
static void close_simulator(void) { simulator_free(&simulator); }
TestSuite(exhaustive, .init = open_simulator, .fini = close_simulator, .timeout = 300);

static void describe(const struct explorer *e, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < e->choices.u.all.used && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, " %u", e->choices.u.all.values[i]);
}

static void run_one(const struct exploration *x, struct explorer *e) {
    struct run_result result;
    e->asked = 0;
    run_execute(&simulator, &x->config, &e->choices, &result);
    for (int i = 0; i < SOMETIMES_COUNT; i++) counts[i] += result.counts[i];
    if (result.outcome == RUN_HELD) return;
    char answers[200];
    describe(e, answers, sizeof answers);
    cr_assert_fail("%s: outcome %d: %s%s; after %u dull answers:%s", x->name, result.outcome,
                   result.violation.text, result.reason, e->quiet, answers);
}

static uint64_t explore_from(const struct exploration *x, uint32_t quiet) {
    struct explorer e = {.labels = x->labels, .quiet = quiet};
    uint64_t runs = 0;
    choices_all(&e.choices, x->depth);
    e.next_all = e.choices.next;
    e.choices.next = next;
    do {
        run_one(x, &e);
        runs++;
    } while (choices_all_next(&e.choices));
    return runs;
}

/* Every run there is. What must happen in some of them is told by the counts. */
static void explore(const struct exploration *x) {
    uint64_t runs = 0;
    for (uint32_t quiet = 0; quiet <= x->quiet_max; quiet += x->quiet_step)
        runs += explore_from(x, quiet);
    fprintf(stderr, "%s: %llu runs\n", x->name, (unsigned long long)runs);
    cr_assert_gt(runs, 1000);
}

static void expect_some(enum sometimes event) {
    cr_assert_gt(counts[event], 0, "never: %s", sometimes_name(event));
}

enum {
    ORDER = 1 << CHOICE_EVENT,
    CRASHES = ORDER | 1 << CHOICE_CRASH | 1 << CHOICE_CRASH_POINT | 1 << CHOICE_CRASH_KEEP,
    DISKS = CRASHES | 1 << CHOICE_SYNC_LEFT,
    LOSSES = ORDER | 1 << CHOICE_LOSS | 1 << CHOICE_DUPLICATE,
    CHANGES = ORDER | 1 << CHOICE_CHANGE | 1 << CHOICE_CHANGE_NODE | 1 << CHOICE_TRANSFER,
    CLIENTS = ORDER | 1 << CHOICE_CLIENT_READ | 1 << CHOICE_CLIENT_FORGET | 1 << CHOICE_LOSS,
    PARTITIONS = ORDER | 1 << CHOICE_PARTITION | 1 << CHOICE_PARTITION_NODE | 1 << CHOICE_HEAL
};

/* Any event that is pending may be the next one. */
static struct cluster_config config_of(uint32_t node_count) {
    return (struct cluster_config){
        .nodes = node_count,
        .steps = 40,
        .batch_max = 2,
        .compact_after = 2,
        .slack_us = UINT32_MAX,
        .latency_us_min = 1000,
        .latency_us_max = 1000,
        .sync_us_min = 1500,
        .sync_us_max = 1500,
        .election_us_min = 20000,
        .election_us_max = 50000,
        .heartbeat_us = 5000,
        .client_us = 4000,
        .fault_us = 8000,
        .down_us_max = 20000,
        .pause_us_max = 1,
        .window = 4,
        .chunk = 1,
        .snapshot = 2,
        .retry_us = 20000,
    };
}

/* Two nodes and three, any order of events from the first one on (5). */
Test(exhaustive, order_from_the_start) {
    explore(&(struct exploration){"order, two nodes", ORDER, 6, 0, 1, config_of(2)});
    explore(&(struct exploration){"order, three nodes", ORDER, 6, 0, 1, config_of(3)});
    expect_some(SOMETIMES_ELECTION);
    expect_some(SOMETIMES_SPLIT_VOTE);
    expect_some(SOMETIMES_ACKNOWLEDGED);
}

/* Three nodes, any order for a while, in every phase of their first election and commits (5). */
Test(exhaustive, order_on_the_way) {
    explore(&(struct exploration){"order on the way", ORDER, 4, 60, 3, config_of(3)});
    expect_some(SOMETIMES_DEPOSED);
    expect_some(SOMETIMES_TRUNCATED);
    expect_some(SOMETIMES_OLD_TERM);
}

/* Crashes before any effect, which keep any part of what was pending (5.1). */
Test(exhaustive, crashes) {
    explore(&(struct exploration){"crashes, two nodes", CRASHES, 5, 40, 10, config_of(2)});
    explore(&(struct exploration){"crashes, three nodes", CRASHES, 4, 60, 5, config_of(3)});
    expect_some(SOMETIMES_CRASH_BEFORE_SAVE);
    expect_some(SOMETIMES_CRASH_BEFORE_SEND);
    expect_some(SOMETIMES_CRASH_MIDST_SEND);
    expect_some(SOMETIMES_CRASH_BEFORE_APPLY);
    expect_some(SOMETIMES_CRASH_BEFORE_ANSWER);
    expect_some(SOMETIMES_WRITE_LOST);
    expect_some(SOMETIMES_WRITE_KEPT);
    expect_some(SOMETIMES_HELD_LOST);
}

/* ... and syncs that leave a part pending (5.1). */
Test(exhaustive, slow_disks) {
    struct cluster_config config = config_of(3);
    config.sync_us_min = config.sync_us_max = 4000;
    explore(&(struct exploration){"slow disks", DISKS, 4, 60, 4, config});
    expect_some(SOMETIMES_SYNC_PART);
    expect_some(SOMETIMES_WRITE_KEPT);
}

/* Packets are lost and doubled (5.3). */
Test(exhaustive, losses) {
    explore(&(struct exploration){"losses", LOSSES, 5, 60, 6, config_of(3)});
    expect_some(SOMETIMES_LOSS);
    expect_some(SOMETIMES_DUPLICATE);
}

/* All shapes of partitions, and snapshots for those who fall behind (7). */
Test(exhaustive, partitions) {
    explore(&(struct exploration){"partitions", PARTITIONS, 4, 60, 5, config_of(3)});
    expect_some(SOMETIMES_BRIDGE);
    expect_some(SOMETIMES_HEAL);
    expect_some(SOMETIMES_SNAPSHOT_INSTALLED);
}

/* Changes of all kinds and transfers, in any order with what goes on (6, D 3.10, D 4). */
Test(exhaustive, changes) {
    struct cluster_config config = config_of(2);
    config.spares = 1;
    config.operator_us = 5000;
    explore(&(struct exploration){"changes", CHANGES, 4, 60, 5, config});
    expect_some(SOMETIMES_CHANGE);
    expect_some(SOMETIMES_CHANGE_JOINT);
    expect_some(SOMETIMES_JOINT_LEFT);
    expect_some(SOMETIMES_LEADER_REMOVED);
    expect_some(SOMETIMES_TRANSFER);
    expect_some(SOMETIMES_RETIRED);
}

/* A client with a session, which reads or fails, while packets are lost (8, D 6). */
Test(exhaustive, clients) {
    struct cluster_config config = config_of(3);
    config.clients = 1;
    config.steps = 90;
    config.retry_us = 100;
    explore(&(struct exploration){"clients", CLIENTS, 5, 80, 8, config});
    expect_some(SOMETIMES_SESSION_OPENED);
    expect_some(SOMETIMES_READ_SERVED);
    expect_some(SOMETIMES_RETRY);
    expect_some(SOMETIMES_DUPLICATE_COMMAND);
}
