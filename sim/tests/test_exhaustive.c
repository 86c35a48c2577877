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
    uint32_t labels, quiet, depth;
    struct cluster_config config;
};

static struct simulator simulator;
static uint64_t counts[SOMETIMES_COUNT]; /* Over all runs. */

static void open_simulator(void) { cr_assert(simulator_new(&simulator, &node_raft, CHECK_ALL)); }
static void close_simulator(void) { simulator_free(&simulator); }
TestSuite(exhaustive, .init = open_simulator, .fini = close_simulator, .timeout = 60);

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
                   result.violation.text, result.reason, x->quiet, answers);
}

/* Every run there is. What must happen in some of them is told by the counts. */
static void explore(const struct exploration *x) {
    struct explorer e = {.labels = x->labels, .quiet = x->quiet};
    uint64_t runs = 0;
    choices_all(&e.choices, x->depth);
    e.next_all = e.choices.next;
    e.choices.next = next;
    do {
        run_one(x, &e);
        runs++;
    } while (choices_all_next(&e.choices));
    fprintf(stderr, "%s: %llu runs\n", x->name, (unsigned long long)runs);
    cr_assert_gt(runs, 1000);
}

static void expect_some(enum sometimes event) {
    cr_assert_gt(counts[event], 0, "never: %s", sometimes_name(event));
}

enum { ORDER = 1 << CHOICE_EVENT };

/* Any event that is pending may be the next one; links and disks take no choice of their own. */
static struct cluster_config config_of(uint32_t node_count, uint32_t steps) {
    return (struct cluster_config){
        .nodes = node_count,
        .steps = steps,
        .batch_max = 2,
        .compact_after = 2,
        .slack_us = UINT32_MAX,
        .latency_us_min = 1000,
        .latency_us_max = 1000,
        .sync_us_min = 500,
        .sync_us_max = 500,
        .election_us_min = 20000,
        .election_us_max = 50000,
        .heartbeat_us = 5000,
        .client_us = 3000,
        .fault_us = 2000,
        .down_us_max = 1,
        .pause_us_max = 1,
    };
}

/* Two nodes, any order of events from the first one on. */
Test(exhaustive, order_of_two) {
    struct exploration x = {"two nodes, any order", ORDER, 0, 9, config_of(2, 40)};
    explore(&x);
    expect_some(SOMETIMES_ELECTION);
    expect_some(SOMETIMES_SPLIT_VOTE);
    expect_some(SOMETIMES_ACKNOWLEDGED);
}
