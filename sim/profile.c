/* profile.c - draws configurations and odds from a seed. */
#include "profile.h"

#include <assert.h>
#include <string.h>

const struct profile_info profile_table[PROFILE_COUNT] = {
    [PROFILE_CALM] = {"calm", "no faults; latencies and timeouts vary"},
    [PROFILE_LOSSY] = {"lossy", "packets are lost, duplicated and delayed"},
    [PROFILE_SPLIT] = {"split", "partitions of all shapes come and go"},
    [PROFILE_CRASHY] = {"crashy", "nodes crash between effects, restart and pause"},
    [PROFILE_SWARM] = {"swarm", "each seed turns every fault and limit on, off, up or down"},
};

bool profile_find(const char *name, enum profile *out) {
    for (int i = 0; i < PROFILE_COUNT; i++) {
        if (strcmp(profile_table[i].name, name) != 0) continue;
        *out = (enum profile)i;
        return true;
    }
    return false;
}

enum { MS = 1000 };

static uint32_t percent(uint32_t p) { return (uint32_t)(((uint64_t)p << 32) / 100); }

/* In [low, high]. */
static uint32_t between(uint64_t *random, uint32_t low, uint32_t high) {
    assert(low <= high);
    return low + (uint32_t)((random_next(random) >> 32) * ((uint64_t)high - low + 1) >> 32);
}

/* In [low, high], each doubling as likely as the other. */
static uint32_t scaled(uint64_t *random, uint32_t low, uint32_t high) {
    assert(low >= 1 && low <= high);
    uint32_t doublings = 0;
    while ((uint64_t)low << (doublings + 1) <= high) doublings++;
    uint32_t from = low << between(random, 0, doublings);
    uint64_t to = (uint64_t)from * 2 - 1;
    return between(random, from, to < high ? (uint32_t)to : high);
}

static bool coin(uint64_t *random) { return between(random, 0, 1) == 1; }

static void set_plain(const struct profile_request *request, uint32_t nodes,
                      struct cluster_config *config) {
    uint32_t spread = nodes * 10 * MS; /* With many nodes, timeouts must spread further. */
    if (spread < 150 * MS) spread = 150 * MS;
    *config = (struct cluster_config){
        .nodes = nodes,
        .steps = request->steps,
        .batch_max = 8,
        .compact_after = request->log_max / 8,
        .slack_us = 0,
        .latency_us_min = 1 * MS,
        .latency_us_max = 10 * MS,
        .delay_us_max = 300 * MS,
        .sync_us_min = 100,
        .sync_us_max = 2 * MS,
        .election_us_min = 150 * MS,
        .election_us_max = 150 * MS + spread,
        .heartbeat_us = 50 * MS,
        .client_us = 20 * MS,
        .fault_us = 50 * MS,
        .down_us_max = 300 * MS,
        .pause_us_max = 400 * MS,
        .window = 32,
        .chunk = 1000,
        .snapshot = 3000,
        .clients = 2,
        .retry_us = 300 * MS,
        .pre_vote = CONFIG_OPTION_ALL,
        .check_quorum = CONFIG_OPTION_ALL,
        .hang_us_max = 1000 * MS,
    };
}

/* What is no fault varies in every profile; and a fault, where there are faults, hits the leader
 * half of the time. */
static void set_uniform(struct choice_odds *odds) {
    static const enum choice_label labels[] = {
        CHOICE_EVENT,       CHOICE_LATENCY,     CHOICE_TIMEOUT,      CHOICE_SYNC_TIME,
        CHOICE_CRASH_KEEP,  CHOICE_DOWN_TIME,   CHOICE_PAUSE_TIME,   CHOICE_PARTITION_NODE,
        CHOICE_CLIENT_TIME, CHOICE_CRASH_POINT, CHOICE_CHANGE_NODE,  CHOICE_DRIFT,
        CHOICE_HANG_TIME,   CHOICE_OUTSIDE,     CHOICE_OUTSIDE_LINK, CHOICE_VICTIM,
    };
    *odds = (struct choice_odds){{0}};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        odds->odds[labels[i]] = CHOICE_UNIFORM;
    odds->odds[CHOICE_CORE] = percent(20);
    odds->odds[CHOICE_CLIENT_READ] = percent(50);
    odds->odds[CHOICE_STAY] = percent(12); /* It costs half as many steps as the fault phase. */
    odds->odds[CHOICE_HANDOVER] = percent(12);
    odds->odds[CHOICE_WIPE] = percent(20); /* Only asked where the configuration allows it. */
}

static void set_lossy(struct choice_odds *odds) {
    odds->odds[CHOICE_LOSS] = percent(5);
    odds->odds[CHOICE_DUPLICATE] = percent(5);
    odds->odds[CHOICE_DELAY] = percent(5);
}

static void set_split(struct choice_odds *odds) {
    odds->odds[CHOICE_PARTITION] = percent(20);
    odds->odds[CHOICE_HEAL] = percent(20);
}

static void set_crashy(struct choice_odds *odds) {
    odds->odds[CHOICE_CRASH] = percent(30);
    odds->odds[CHOICE_SYNC_LEFT] = percent(20);
    odds->odds[CHOICE_PAUSE] = percent(10);
    odds->odds[CHOICE_HANG] = percent(3);
    odds->odds[CHOICE_STOP] = percent(1);
}

/* Each is on in one of `of` seeds, at one of four levels. */
static void draw_odds(uint64_t *random, const enum choice_label *labels, size_t count, uint32_t of,
                      const uint32_t levels[4], struct choice_odds *odds) {
    for (size_t i = 0; i < count; i++) {
        bool is_on = between(random, 1, of) == 1;
        uint32_t level = levels[between(random, 0, 3)];
        if (is_on) odds->odds[labels[i]] = percent(level);
    }
}
#define DRAW_ODDS(random, labels, of, levels, odds)                                                \
    draw_odds((random), (labels), sizeof(labels) / sizeof(labels)[0], (of), (levels), (odds))

/* What clients and the operator ask for. */
static void draw_requests(uint64_t *random, struct choice_odds *odds) {
    static const enum choice_label requests[] = {
        CHOICE_CHANGE,        CHOICE_TRANSFER,    CHOICE_OPERATOR_TARGET,
        CHOICE_CLIENT_FORGET, CHOICE_CLIENT_STAY, CHOICE_RENEW,
    };
    static const uint32_t often[] = {5, 20, 40, 80}, reads[] = {0, 40, 80, 95};
    DRAW_ODDS(random, requests, 2, often, odds);
    odds->odds[CHOICE_CLIENT_READ] = percent(reads[between(random, 0, 3)]);
}

/* What stops a node is off in most seeds: others are then more likely to be left alone with a bug
 * that needs the cluster to make progress. */
static void draw_swarm_odds(uint64_t *random, struct choice_odds *odds) {
    static const enum choice_label network[] = {CHOICE_LOSS, CHOICE_DUPLICATE, CHOICE_DELAY,
                                                CHOICE_SYNC_LEFT, CHOICE_CLIENT_TARGET};
    static const enum choice_label nodes[] = {CHOICE_CRASH, CHOICE_PAUSE, CHOICE_MOMENT,
                                              CHOICE_HANG};
    static const enum choice_label stop[] = {CHOICE_STOP}, late[] = {CHOICE_LATE};
    static const uint32_t rare[] = {1, 3, 10, 30}, rarest[] = {1, 1, 2, 3},
                          lately[] = {3, 10, 20, 40}, partitions[] = {0, 0, 10, 20};
    DRAW_ODDS(random, network, 2, rare, odds);
    DRAW_ODDS(random, nodes, 3, rare, odds);
    DRAW_ODDS(random, stop, 4, rarest, odds);
    DRAW_ODDS(random, late, 2, lately, odds);
    odds->odds[CHOICE_PARTITION] = percent(partitions[between(random, 0, 3)]);
    odds->odds[CHOICE_HEAL] = percent(between(random, 5, 40));
    if (coin(random)) odds->odds[CHOICE_EVENT] = percent(20);
}

static uint32_t draw_slack(uint64_t *random) {
    switch (between(random, 0, 7)) {
    case 0: return UINT32_MAX; /* Any event that is pending. */
    case 1: return scaled(random, 10 * MS, 200 * MS);
    case 2:
    case 3: return scaled(random, 1, 10 * MS);
    default: return 0;
    }
}

static void draw_swarm_config(uint64_t *random, uint32_t log_max, struct cluster_config *config) {
    config->batch_max = 1u << between(random, 0, 3);
    config->compact_after = scaled(random, 1, log_max / 8);
    config->slack_us = draw_slack(random);
    config->latency_us_min = scaled(random, 10, 2 * MS);
    config->latency_us_max = scaled(random, 2 * MS, 40 * MS);
    bool outlives = coin(random); /* A packet may outlive a leadership or two. */
    config->delay_us_max =
        outlives ? scaled(random, 2000 * MS, 20000 * MS) : scaled(random, 20 * MS, 2000 * MS);
    config->sync_us_max = scaled(random, 200, 40 * MS);
    config->heartbeat_us = between(random, 20 * MS, 75 * MS);
    config->client_us = scaled(random, 2 * MS, 40 * MS);
    config->fault_us = scaled(random, 10 * MS, 160 * MS);
    config->down_us_max = scaled(random, 10 * MS, 1000 * MS);
    config->pause_us_max = scaled(random, 10 * MS, 1000 * MS);
    config->hang_us_max = scaled(random, 10 * MS, 4000 * MS);
}

/* None, all, or some nodes have it. */
static uint32_t draw_option(uint64_t *random) {
    switch (between(random, 0, 3)) {
    case 0: return CONFIG_OPTION_ALL;
    case 1: return between(random, 0, CONFIG_OPTION_ALL);
    default: return 0; /* Elections are what most bugs need. */
    }
}

/* Leases need check-quorum. A stale one is read only while all of this holds: the leader is cut off
 * for longer than an election takes, the others have elected a new one by votes that no loyalty
 * holds back, and a client has found it, but another has not. So the network is fast compared with
 * elections here, faults last, and clients ask seldom but give up soon: else the steps of a run are
 * spent before that time is over. */
static void draw_lease(uint64_t *random, struct cluster_config *config) {
    uint32_t spread = config->election_us_max - config->election_us_min;
    config->check_quorum = CONFIG_OPTION_ALL;
    if (coin(random)) config->pre_vote = CONFIG_OPTION_ALL;
    config->election_us_min = between(random, config->election_us_min, 2 * config->election_us_min);
    config->election_us_max = config->election_us_min + spread;
    config->fault_us = scaled(random, 50 * MS, 400 * MS);
    config->client_us = scaled(random, 10 * MS, 80 * MS);
    config->retry_us = scaled(random, 20 * MS, 80 * MS);
    config->latency_us_min = scaled(random, 10, 1 * MS);
    config->latency_us_max = scaled(random, 1 * MS, 8 * MS);
    uint32_t fifth_us = config->election_us_min / 5;
    config->lease_us = between(random, fifth_us, 4 * fifth_us + fifth_us / 2);
}

/* All that goes beyond the basic Raft. */
static void draw_extensions(uint64_t *random, struct cluster_config *config) {
    enum { SPARES_MAX = 3, CHUNKS_MAX = 8 };
    uint32_t room = CONFIG_NODES_MAX - config->nodes;
    config->spares = between(random, 0, room < SPARES_MAX ? room : SPARES_MAX);
    config->reserve = between(random, 0, config->spares);
    config->window = scaled(random, 1, 64);
    config->chunk = between(random, 1, 1000);
    bool is_whole = between(random, 0, 3) != 0; /* All in one chunk. */
    config->snapshot = config->chunk * (is_whole ? 1 : between(random, 2, CHUNKS_MAX));
    config->clients = between(random, 1, 4);
    config->retry_us = scaled(random, 20 * MS, 320 * MS);
    config->operator_us = scaled(random, 5 * MS, 160 * MS);
    config->pre_vote = draw_option(random);
    config->check_quorum = draw_option(random);
    if (coin(random)) config->drift = between(random, 1, 100);
    if (between(random, 0, 5) == 0) draw_lease(random, config);
}

/* Most bugs need several leaderships in the few steps of a run: partitions are many, transfers
 * often asked for, and heartbeats rare. And an answer is no longer true where its sender's log has
 * been cut since, and does harm where its receiver leads again: packets are fast or very late, and
 * disks slow. (In clusters of three such an answer cannot be: what one follower has acknowledged is
 * committed there.) */
static void draw_turnover(uint64_t *random, struct cluster_config *config,
                          struct choice_odds *odds) {
    if (coin(random))
        odds->odds[CHOICE_LOSS] = odds->odds[CHOICE_CRASH] = odds->odds[CHOICE_PAUSE] = 0;
    odds->odds[CHOICE_DELAY] = percent(between(random, 10, 30));
    odds->odds[CHOICE_LATE] = percent(between(random, 20, 50));
    odds->odds[CHOICE_PARTITION] = percent(between(random, 20, 40));
    odds->odds[CHOICE_HEAL] = percent(between(random, 20, 40));
    odds->odds[CHOICE_TRANSFER] = percent(40);
    config->delay_us_max = scaled(random, 100 * MS, 20000 * MS);
    config->latency_us_min = scaled(random, 10, 1 * MS);
    config->latency_us_max = scaled(random, 1 * MS, 8 * MS);
    config->sync_us_max = scaled(random, 5 * MS, 40 * MS);
    config->heartbeat_us = 75 * MS;
}

void profile_draw(const struct profile_request *request, uint64_t seed,
                  struct cluster_config *config, struct choice_odds *odds) {
    assert(request->nodes_min >= 1 && request->nodes_min <= request->nodes_max);
    uint64_t random = seed ^ 0x70726f66696c65u; /* Another stream than that of the choices. */
    random_next(&random);
    set_plain(request, between(&random, request->nodes_min, request->nodes_max), config);
    set_uniform(odds);
    switch (request->profile) {
    case PROFILE_CALM: break;
    case PROFILE_LOSSY: set_lossy(odds); break;
    case PROFILE_SPLIT: set_split(odds); break;
    case PROFILE_CRASHY: set_crashy(odds); break;
    case PROFILE_SWARM:
        draw_swarm_odds(&random, odds);
        draw_swarm_config(&random, request->log_max, config);
        break;
    case PROFILE_COUNT: assert(false);
    }
    draw_requests(&random, odds);
    draw_extensions(&random, config);
    if (request->profile == PROFILE_SWARM && between(&random, 0, 2) != 0)
        draw_turnover(&random, config, odds);
    assert(config_problem(config) == NULL);
}
