/* config.c - the fields of a configuration, their names and ranges. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FIELD(name, field, min, max, help)                                                         \
    {(name), offsetof(struct cluster_config, field), (min), (max), (help)}

enum { TIME_MAX_US = 60 * 1000 * 1000, BYTES_MAX = 1000 * 1000, DRIFT_MAX = 100 };

const struct config_field config_fields[CONFIG_FIELD_COUNT] = {
    FIELD("nodes", nodes, 1, CONFIG_NODES_MAX, "voters"),
    FIELD("steps", steps, 0, UINT32_MAX, "steps of nodes before the calm phase"),
    FIELD("batch-max", batch_max, 1, 8, "entries in a message"),
    FIELD("compact-after", compact_after, 1, 512, "applied entries before a snapshot"),
    FIELD("slack", slack_us, 0, UINT32_MAX, "us: events due within it may happen in any order"),
    FIELD("latency-min", latency_us_min, 0, TIME_MAX_US, "us"),
    FIELD("latency-max", latency_us_max, 0, TIME_MAX_US, "us"),
    FIELD("delay-max", delay_us_max, 0, TIME_MAX_US, "us, extra, of a delayed packet"),
    FIELD("sync-min", sync_us_min, 0, TIME_MAX_US, "us"),
    FIELD("sync-max", sync_us_max, 0, TIME_MAX_US, "us"),
    FIELD("election-min", election_us_min, 1000, TIME_MAX_US, "us"),
    FIELD("election-max", election_us_max, 1000, TIME_MAX_US, "us"),
    FIELD("heartbeat", heartbeat_us, 100, TIME_MAX_US, "us"),
    FIELD("client", client_us, 100, TIME_MAX_US, "us between two commands, at least"),
    FIELD("fault", fault_us, 100, TIME_MAX_US, "us between two occasions for a fault"),
    FIELD("down-max", down_us_max, 1, TIME_MAX_US, "us until a crashed node restarts"),
    FIELD("pause-max", pause_us_max, 1, TIME_MAX_US, "us"),
    FIELD("spares", spares, 0, 56, "nodes that the operator may add"),
    FIELD("window", window, 1, 512, "entries under way to a peer"),
    FIELD("chunk", chunk, 1, BYTES_MAX, "bytes of a snapshot in a message"),
    FIELD("snapshot", snapshot, 1, BYTES_MAX, "bytes of a state machine"),
    FIELD("clients", clients, 0, CONFIG_CLIENTS_MAX, "that have a session"),
    FIELD("retry", retry_us, 100, TIME_MAX_US, "us until a client asks again"),
    FIELD("operator", operator_us, 0, TIME_MAX_US, "us between two occasions; 0: no operator"),
    FIELD("pre-vote", pre_vote, 0, CONFIG_OPTION_ALL, "on which nodes: bit i, of id i modulo 8"),
    FIELD("check-quorum", check_quorum, 0, CONFIG_OPTION_ALL, "likewise"),
    FIELD("drift", drift, 0, DRIFT_MAX, "per mille by which a node's clock may be slow"),
    FIELD("lease", lease_us, 0, TIME_MAX_US, "us; 0: no lease reads"),
    FIELD("hang-max", hang_us_max, 0, TIME_MAX_US, "us until a disk that hangs goes on"),
    FIELD("reserve", reserve, 0, 56, "spares that run only when a removed machine comes back"),
    FIELD("wipe-same-id", wipe_same_id, 0, 1, "1: a wiped node keeps its id (Raft forbids it)"),
};

static uint32_t *field_at(struct cluster_config *config, const struct config_field *field) {
    return (uint32_t *)(void *)((char *)config + field->offset);
}

uint32_t config_get(const struct cluster_config *config, const struct config_field *field) {
    struct cluster_config copy = *config;
    return *field_at(&copy, field);
}

void config_set(struct cluster_config *config, const struct config_field *field, uint32_t value) {
    *field_at(config, field) = value;
}

const struct config_field *config_find(const char *name) {
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++)
        if (strcmp(config_fields[i].name, name) == 0) return &config_fields[i];
    return NULL;
}

const char *config_problem(const struct cluster_config *config) {
    static char text[120];
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const struct config_field *f = &config_fields[i];
        uint32_t value = config_get(config, f);
        if (value >= f->min && value <= f->max) continue;
        snprintf(text, sizeof text, "%s is %u, expected %u..%u", f->name, value, f->min, f->max);
        return text;
    }
    if (config->latency_us_min > config->latency_us_max) return "latency-min is above latency-max";
    if (config->sync_us_min > config->sync_us_max) return "sync-min is above sync-max";
    if (config->election_us_min >= config->election_us_max)
        return "election-min is not below election-max";
    if (config->nodes + config->spares > CONFIG_NODES_MAX)
        return "nodes and spares are more than 63";
    if (config->reserve > config->spares) return "reserve is above spares";
    if (config->lease_us == 0) return NULL;
    if (config->check_quorum != CONFIG_OPTION_ALL) return "lease needs check-quorum on all nodes";
    /* A tenth is left for clocks that differ (D 6.4.1). */
    if ((uint64_t)config->lease_us * 11 / 10 >= config->election_us_min)
        return "lease is not below election-min by a tenth";
    return NULL;
}
