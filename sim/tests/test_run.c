/* test_run.c - whole runs of the real node: they are functions of their seed or of their list of
 * choices, shown by their digests, and their books balance. */
#include "run.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"

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
        if (event_type(queue_at(&c->queue, i)) == EVENT_PACKET)
            places[queue_at(&c->queue, i).item]++;
    for (uint32_t id = 1; id <= cluster_count(c); id++) {
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
        if (event_node(queue_at(&c->queue, i)) == id) counts[event_type(queue_at(&c->queue, i))]++;
    bool is_gone = c->gone >> id & 1, is_hung = p->hung_us == UINT64_MAX;
    cr_assert(counts[EVENT_RESTART] == (!p->is_alive && !is_gone), "n%u", id);
    if (is_hung) return; /* What it waits for does not come. */
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
            for (node_id id = 1; id <= cluster_count(c); id++) check_process(c, id);
        }
    }
    cluster_free(c);
}

/* ---- a node that floods the network: for each packet that it gets it sends two ---- */

static const uint64_t flood_bytes = 1;

static void flood_send(struct node_effects *out, node_id target) {
    out->packets[out->packet_count++] =
        (struct node_packet){.bytes = &flood_bytes, .size = sizeof flood_bytes, .target = target};
}

static void flood_start(void *node, const struct node_config *config, const struct disk *disk,
                        struct node_effects *out) {
    (void)disk;
    memset(out, 0, offsetof(struct node_effects, scratch));
    *(node_id *)node = config->self;
    out->timer = NODE_TIMER_ELECTION;
}

static void flood_step(void *node, const struct node_event *event, struct node_effects *out) {
    memset(out, 0, offsetof(struct node_effects, scratch));
    out->refused = event->type == NODE_PROPOSE;
    node_id self = *(node_id *)node;
    if (event->type == NODE_TIMEOUT) out->timer = NODE_TIMER_ELECTION;
    if (event->type != NODE_TIMEOUT && event->type != NODE_RECEIVE) return;
    flood_send(out, self % 3 + 1);
    flood_send(out, (self + 1) % 3 + 1);
}

static void flood_view(const void *node, struct node_view *out) {
    (void)node;
    *out = (struct node_view){0};
}

static void flood_members(const void *node, struct node_members *out) {
    (void)node;
    *out = (struct node_members){.voters = cluster_first(3)};
}

static void flood_image(const void *node, struct node_image *out) {
    memset(out, 0, sizeof *out);
    flood_members(node, &out->members);
}

static void flood_stop(void *node) { (void)node; }

static bool flood_promise(const void *bytes, size_t size, struct promise *out) {
    (void)bytes, (void)size, (void)out;
    return false;
}

/* Goal: a calm phase in which messages breed ends after a bounded number of events, long before its
 * time is over, and is named for it. */
Test(run, a_storm_of_messages_is_bounded) {
    struct node_impl impl = {.name = "flood",
                             .size = 16,
                             .log_max = 256,
                             .is_flat = true,
                             .start = flood_start,
                             .step = flood_step,
                             .stop = flood_stop,
                             .view = flood_view,
                             .members = flood_members,
                             .image = flood_image,
                             .promise = flood_promise};
    struct weather calm = {PROFILE_CALM, 3, 100};
    struct simulator s;
    struct run_result result;
    cr_assert(simulator_new(&s, &impl, 1u << CHECK_PROGRESS));
    struct cluster_config config;
    struct choice_odds odds;
    struct choices choices;
    draw(&calm, 1, &config, &odds);
    config.spares = config.reserve = config.operator_us = 0;
    choices_random(&choices, 1, &odds, NULL);
    run_execute(&s, &config, &choices, &result);
    cr_expect_eq(result.outcome, RUN_STALLED);
    cr_expect(strstr(result.violation.text, "a storm of messages") != NULL, "%s",
              result.violation.text);
    cr_expect_lt(result.events, 2 * 3 * RUN_CALM_EVENTS);
    simulator_free(&s);
}

/* Goal: faults that keep the nodes from taking steps come to an end. Method: one node, and an
 * occasion for faults in every 0.1 ms: it takes few of its steps, and the run passes. */
Test(run, faults_end_without_steps) {
    struct weather crashy = {PROFILE_CRASHY, 1, 1000};
    struct simulator s;
    struct run_result result;
    cr_assert(simulator_new(&s, &node_raft, CHECK_ALL));
    struct cluster_config config;
    struct choice_odds odds;
    struct choices choices;
    draw(&crashy, 1, &config, &odds);
    config.fault_us = 100;
    choices_random(&choices, 1, &odds, NULL);
    run_execute(&s, &config, &choices, &result);
    cr_expect_eq(result.outcome, RUN_HELD);
    cr_expect_lt(result.steps, 1000);
    cr_expect_lt(result.events, 1000 * RUN_FAULT_EVENTS + RUN_CALM_EVENTS);
    simulator_free(&s);
}
