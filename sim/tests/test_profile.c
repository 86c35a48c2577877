/* test_profile.c - what seeds give: valid configurations, all kinds of weather; and the table of
 * configuration fields. */
#include "profile.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SEEDS = 10000 };

/* ---- profiles ---- */

static struct profile_request request(enum profile profile, uint32_t min, uint32_t max) {
    return (struct profile_request){
        .profile = profile, .nodes_min = min, .nodes_max = max, .steps = 1000, .log_max = 256};
}

/* Goal: no seed needs a check before it runs. Method: every profile, ranges of nodes of all kinds,
 * nodes with short and long logs: the configuration is valid and is what was asked for. */
Test(profile, every_draw_is_valid) {
    static const uint32_t log_max[] = {8, 16, 32, 256, 1024};
    for (uint32_t seed = 0; seed < SEEDS; seed++)
        for (uint32_t p = 0; p < PROFILE_COUNT; p++) {
            uint32_t a = seed % 63 + 1, b = seed / 63 % 63 + 1;
            struct profile_request r = request((enum profile)p, a < b ? a : b, a < b ? b : a);
            r.steps = seed;
            r.log_max = log_max[seed % 5];
            struct cluster_config config;
            struct choice_odds odds;
            profile_draw(&r, seed, &config, &odds);
            const char *problem = config_problem(&config);
            cr_assert(problem == NULL, "%s, seed %u: %s", profile_table[p].name, seed, problem);
            cr_assert(config.nodes >= r.nodes_min && config.nodes <= r.nodes_max);
            cr_assert(config.steps == seed);
            cr_assert(config.compact_after < r.log_max,
                      "a log that is full before it is compacted");
        }
}

/* Goal: any number of nodes may come. Method: each of a range is drawn, none is rare. */
Test(profile, every_node_count_comes) {
    for (uint32_t max = 1; max <= 63; max += 31) {
        uint32_t hits[64] = {0};
        struct profile_request r = request(PROFILE_SWARM, 1, max);
        for (uint32_t seed = 0; seed < SEEDS; seed++) {
            struct cluster_config config;
            struct choice_odds odds;
            profile_draw(&r, seed, &config, &odds);
            hits[config.nodes]++;
        }
        for (uint32_t n = 1; n <= max; n++)
            cr_assert(hits[n] > SEEDS / max / 2, "%u nodes: %u times", n, hits[n]);
    }
}

/* Goal: a seed is a run. Method: drawn twice into memory with other garbage, the configuration and
 * odds are the same to the last byte; those of the next seed are not. */
Test(profile, same_seed_same_weather) {
    struct profile_request r = request(PROFILE_SWARM, 3, 5);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct weather {
            struct cluster_config config;
            struct choice_odds odds;
        } a, b, other;
        memset(&a, 0x55, sizeof a);
        memset(&b, 0xaa, sizeof b);
        profile_draw(&r, seed, &a.config, &a.odds);
        profile_draw(&r, seed, &b.config, &b.odds);
        profile_draw(&r, seed + 1, &other.config, &other.odds);
        cr_assert(memcmp(&a, &b, sizeof a) == 0, "seed %u", seed);
        cr_assert(memcmp(&a, &other, sizeof a) != 0, "seed %u", seed);
    }
}

/* Faults, and requests that may go wrong, as sets of labels. */
static uint64_t set_of(const enum choice_label *labels, size_t count) {
    uint64_t set = 0;
    for (size_t i = 0; i < count; i++) set |= (uint64_t)1 << labels[i];
    return set;
}
#define SET(...)                                                                                   \
    set_of((const enum choice_label[]){__VA_ARGS__},                                               \
           sizeof((const enum choice_label[]){__VA_ARGS__}) / sizeof(enum choice_label))

static uint64_t lossy(void) { return SET(CHOICE_LOSS, CHOICE_DUPLICATE, CHOICE_DELAY); }
static uint64_t split(void) { return SET(CHOICE_PARTITION, CHOICE_HEAL); }
static uint64_t crashy(void) {
    return SET(CHOICE_CRASH, CHOICE_PAUSE, CHOICE_SYNC_LEFT, CHOICE_HANG, CHOICE_STOP);
}
static uint64_t swarm(void) {
    return lossy() | crashy() |
           SET(CHOICE_PARTITION, CHOICE_MOMENT, CHOICE_LATE, CHOICE_CLIENT_TARGET);
}
static uint64_t requests(void) {
    return SET(CHOICE_CHANGE, CHOICE_TRANSFER, CHOICE_OPERATOR_TARGET, CHOICE_CLIENT_FORGET,
               CHOICE_CLIENT_STAY, CHOICE_RENEW);
}

static uint64_t labels_on(const struct choice_odds *odds) {
    uint64_t set = 0;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++)
        if (odds->odds[i] != CHOICE_NEVER) set |= (uint64_t)1 << i;
    return set;
}

/* Goal: a profile is the weather that its help promises. Method: the faults that its odds allow, in
 * every seed; and what varies without hurting varies in all of them. */
Test(profile, faults_are_those_of_the_name) {
    const uint64_t faults[] = {[PROFILE_CALM] = 0,
                               [PROFILE_LOSSY] = lossy(),
                               [PROFILE_SPLIT] = split(),
                               [PROFILE_CRASHY] = crashy()};
    const uint64_t all = swarm() | split(), varying = SET(CHOICE_CLIENT_READ) | requests();
    for (uint32_t p = PROFILE_CALM; p <= PROFILE_CRASHY; p++)
        for (uint32_t seed = 0; seed < 1000; seed++) {
            struct profile_request r = request((enum profile)p, 1, 9);
            struct cluster_config config;
            struct choice_odds odds;
            profile_draw(&r, seed, &config, &odds);
            uint64_t on = labels_on(&odds);
            cr_assert((on & all) == faults[p], "%s", profile_table[p].name);
            cr_assert((on | all | varying) == ((uint64_t)1 << CHOICE_LABEL_COUNT) - 1);
            for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++)
                if (all >> i & 1) cr_assert(odds.odds[i] <= 1u << 31, "label %u", i);
        }
}

/* Goal: every profile tries the whole core. Method: over its seeds, each has operators with spare
 * nodes and nodes in reserve, clients with sessions, leases, options on, off and mixed; and each
 * request is on in some and off in others. */
Test(profile, every_profile_tries_the_whole_core) {
    for (uint32_t p = 0; p < PROFILE_COUNT; p++) {
        uint32_t spares = 0, reserves = 0, clients = 0, leases = 0, mixed = 0;
        uint64_t ever = 0, always = UINT64_MAX;
        for (uint32_t seed = 0; seed < 1000; seed++) {
            struct profile_request r = request((enum profile)p, 1, 9);
            struct cluster_config config;
            struct choice_odds odds;
            profile_draw(&r, seed, &config, &odds);
            spares += config.spares > 0 && config.operator_us > 0;
            reserves += config.reserve > 0;
            clients += config.clients > 0;
            leases += config.lease_us > 0;
            mixed += config.pre_vote != 0 && config.pre_vote != CONFIG_OPTION_ALL;
            ever |= labels_on(&odds);
            always &= labels_on(&odds);
        }
        cr_assert(spares > 500 && reserves > 250 && clients > 500 && leases > 150 && mixed > 100,
                  "%s: %u %u %u %u %u", profile_table[p].name, spares, reserves, clients, leases,
                  mixed);
        cr_assert((ever & requests()) == requests() && (always & requests()) == 0);
    }
}

/* Goal: swarm: a fault that is off lets others go far. Method: over all seeds, each fault is on in
 * about half of them at several levels, and for any two faults all four cases of on and off come.
 */
Test(profile, swarm_turns_each_fault_on_and_off) {
    static uint32_t pairs[CHOICE_LABEL_COUNT][CHOICE_LABEL_COUNT][4];
    uint32_t levels[CHOICE_LABEL_COUNT][4] = {{0}};
    struct profile_request r = request(PROFILE_SWARM, 3, 5);
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct cluster_config config;
        struct choice_odds odds;
        profile_draw(&r, seed, &config, &odds);
        uint64_t on = labels_on(&odds);
        cr_assert(on >> CHOICE_HEAL & 1, "without healing, all partitions stay");
        for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) {
            for (uint32_t j = 0; j < i; j++) pairs[i][j][(on >> i & 1) * 2 + (on >> j & 1)]++;
            uint32_t of_100 = (uint32_t)(((uint64_t)odds.odds[i] * 100 + (1u << 31)) >> 32);
            levels[i][of_100 > 20 ? 3 : of_100 > 6 ? 2 : of_100 > 2 ? 1 : 0]++;
        }
    }
    const uint64_t set = (swarm() | requests()) & ~SET(CHOICE_PARTITION);
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) {
        if (!(set >> i & 1)) continue;
        uint32_t level_count = 0;
        for (uint32_t k = 0; k < 4; k++) level_count += levels[i][k] > SEEDS / 16;
        cr_assert(level_count >= 1, "label %u", i);
        for (uint32_t j = 0; j < i; j++)
            for (uint32_t k = 0; k < 4 && (set >> j & 1); k++)
                cr_assert(pairs[i][j][k] > SEEDS / 32, "labels %u and %u: %u times", i, j,
                          pairs[i][j][k]);
    }
}

/* Goal: swarm moves every limit up and down, too. Method: each field takes many values over the
 * seeds; the slack is none, some and infinite. Times that others hang on stay. */
Test(profile, swarm_moves_every_limit) {
    static const char *const fixed[] = {"steps", "sync-min", "wipe-same-id"};
    struct profile_request r = request(PROFILE_SWARM, 3, 5);
    uint32_t slack_none = 0, slack_all = 0;
    uint32_t changes[CONFIG_FIELD_COUNT] = {0};
    struct cluster_config before = {0}, config;
    for (uint32_t seed = 0; seed < SEEDS; seed++, before = config) {
        struct choice_odds odds;
        profile_draw(&r, seed, &config, &odds);
        slack_none += config.slack_us == 0;
        slack_all += config.slack_us == UINT32_MAX;
        for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++)
            changes[i] +=
                config_get(&config, &config_fields[i]) != config_get(&before, &config_fields[i]);
    }
    cr_assert(slack_none > SEEDS / 4 && slack_all > SEEDS / 16);
    cr_assert(slack_none + slack_all < SEEDS * 3 / 4);
    for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        bool is_fixed = false;
        for (uint32_t k = 0; k < 3; k++) is_fixed |= strcmp(fixed[k], config_fields[i].name) == 0;
        cr_assert(is_fixed || changes[i] > SEEDS / 4, "%s changed %u times", config_fields[i].name,
                  changes[i]);
    }
}

/* Goal: profiles are found by name. Method: there and back; other names are none. */
Test(profile, names_are_found) {
    for (uint32_t p = 0; p < PROFILE_COUNT; p++) {
        enum profile found = PROFILE_COUNT;
        cr_assert(profile_find(profile_table[p].name, &found) && found == p);
        cr_assert(profile_table[p].help[0] != '\0');
    }
    enum profile found = PROFILE_COUNT;
    cr_assert(!profile_find("", &found) && !profile_find("swarms", &found));
    cr_assert(found == PROFILE_COUNT);
}

/* ---- the table of configuration fields ---- */

/* Goal: the text of a configuration is all of it. Method: the fields are as many as the struct
 * holds words, lie apart, and have names of their own by which they are found. */
Test(config, table_covers_the_struct) {
    cr_assert(sizeof(struct cluster_config) == CONFIG_FIELD_COUNT * sizeof(uint32_t));
    bool is_taken[CONFIG_FIELD_COUNT] = {false};
    for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *f = &config_fields[i];
        cr_assert(f->offset % 4 == 0 && f->offset < sizeof(struct cluster_config), "%s", f->name);
        cr_assert(!is_taken[f->offset / 4], "%s", f->name);
        is_taken[f->offset / 4] = true;
        cr_assert(f->min <= f->max && f->help[0] != '\0', "%s", f->name);
        cr_assert(config_find(f->name) == f, "%s", f->name);
    }
    cr_assert(config_find("no such field") == NULL && config_find("") == NULL);
}

/* Goal: a field is the member of that name. Method: a value of its own in each member; reading
 * finds it by name, writing changes it and no other. */
Test(config, fields_are_the_members_named) {
    const struct cluster_config config = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                          12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
                                          23, 24, 25, 26, 27, 28, 29, 30, 31};
    const struct {
        const char *name;
        uint32_t value;
    } members[CONFIG_FIELD_COUNT] = {
        {"nodes", config.nodes},
        {"steps", config.steps},
        {"batch-max", config.batch_max},
        {"compact-after", config.compact_after},
        {"slack", config.slack_us},
        {"latency-min", config.latency_us_min},
        {"latency-max", config.latency_us_max},
        {"delay-max", config.delay_us_max},
        {"sync-min", config.sync_us_min},
        {"sync-max", config.sync_us_max},
        {"election-min", config.election_us_min},
        {"election-max", config.election_us_max},
        {"heartbeat", config.heartbeat_us},
        {"client", config.client_us},
        {"fault", config.fault_us},
        {"down-max", config.down_us_max},
        {"pause-max", config.pause_us_max},
        {"spares", config.spares},
        {"window", config.window},
        {"chunk", config.chunk},
        {"snapshot", config.snapshot},
        {"clients", config.clients},
        {"retry", config.retry_us},
        {"operator", config.operator_us},
        {"pre-vote", config.pre_vote},
        {"check-quorum", config.check_quorum},
        {"drift", config.drift},
        {"lease", config.lease_us},
        {"hang-max", config.hang_us_max},
        {"reserve", config.reserve},
        {"wipe-same-id", config.wipe_same_id},
    };
    for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *f = config_find(members[i].name);
        cr_assert(f != NULL && config_get(&config, f) == members[i].value, "%s", members[i].name);
        struct cluster_config changed = config;
        config_set(&changed, f, 99);
        for (uint32_t k = 0; k < CONFIG_FIELD_COUNT; k++) {
            uint32_t value = config_get(&changed, &config_fields[k]);
            bool is_same = value == config_get(&config, &config_fields[k]);
            cr_assert(&config_fields[k] == f ? value == 99 : is_same, "%s", f->name);
        }
    }
}

static struct cluster_config good_config(void) {
    struct profile_request r = request(PROFILE_CALM, 3, 3);
    struct cluster_config config;
    struct choice_odds odds;
    profile_draw(&r, 1, &config, &odds);
    return config;
}

/* True if the problem is said to be the value of that field. */
static bool is_blamed(const struct cluster_config *config, const struct config_field *field) {
    const char *problem = config_problem(config);
    size_t length = strlen(field->name);
    return problem != NULL && strncmp(problem, field->name, length) == 0 &&
           strncmp(problem + length, " is ", 4) == 0 && strstr(problem, ", expected ") != NULL;
}

/* Goal: a configuration that cannot run is refused with the field's name. Method: each field just
 * below and just above its range, and at both of its ends. */
Test(config, each_field_out_of_range_is_told) {
    for (uint32_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *f = &config_fields[i];
        struct cluster_config config = good_config();
        cr_assert(config_problem(&config) == NULL);
        config_set(&config, f, f->min);
        cr_assert(!is_blamed(&config, f), "%s at its least", f->name);
        config_set(&config, f, f->max);
        cr_assert(!is_blamed(&config, f), "%s at its most", f->name);
        config_set(&config, f, f->min - 1);
        cr_assert(f->min == 0 || is_blamed(&config, f), "%s below its range", f->name);
        config_set(&config, f, f->max + 1);
        cr_assert(f->max == UINT32_MAX || is_blamed(&config, f), "%s above its range", f->name);
    }
}

/* Goal: a range that is reversed is refused. Method: each pair of limits, just reversed, equal and
 * in order; election timeouts must differ, the others may be equal. */
Test(config, reversed_ranges_are_told) {
    static const struct {
        const char *min, *max;
        bool may_be_equal;
    } ranges[] = {{"latency-min", "latency-max", true},
                  {"sync-min", "sync-max", true},
                  {"election-min", "election-max", false}};
    for (uint32_t i = 0; i < 3; i++) {
        struct cluster_config config = good_config();
        const struct config_field *min = config_find(ranges[i].min);
        config_set(&config, config_find(ranges[i].max), 5000);
        config_set(&config, min, 5001);
        const char *problem = config_problem(&config);
        cr_assert(problem != NULL && strstr(problem, ranges[i].min) == problem);
        cr_assert(strstr(problem, ranges[i].max) != NULL);
        config_set(&config, min, 5000);
        cr_assert((config_problem(&config) == NULL) == ranges[i].may_be_equal, "%s", min->name);
        config_set(&config, min, 4999);
        cr_assert(config_problem(&config) == NULL, "%s", min->name);
    }
}

/* Goal: a configuration that would be unsafe is refused. Method: a lease as long as its clocks
 * allow, longer, and with a node that does not wait; as many nodes as there are ids, and more. */
Test(config, leases_and_ids_have_their_limits) {
    struct cluster_config config = good_config();
    config.check_quorum = CONFIG_OPTION_ALL;
    config.election_us_min = 110000;
    config.lease_us = 99999;
    cr_assert(config_problem(&config) == NULL, "%s", config_problem(&config));
    config.lease_us = 100000;
    cr_assert(strstr(config_problem(&config), "lease") != NULL);
    config.lease_us = 1;
    config.check_quorum = CONFIG_OPTION_ALL - 1;
    cr_assert(strstr(config_problem(&config), "check-quorum") != NULL);
    config.check_quorum = CONFIG_OPTION_ALL;
    config.lease_us = 0;
    config.reserve = config.spares + 1;
    cr_assert(strstr(config_problem(&config), "reserve") != NULL);
    config.reserve = 0;
    config.nodes = 60;
    config.spares = 3;
    cr_assert(config_problem(&config) == NULL);
    config.spares = 4;
    cr_assert(strstr(config_problem(&config), "spares") != NULL);
}
