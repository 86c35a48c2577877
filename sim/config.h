/* config.h - the numbers of a run that are not choices: an artefact holds them as text. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cluster_config {
    uint32_t nodes;         /* Voters 1..nodes. */
    uint32_t steps;         /* Of nodes, before the calm phase. */
    uint32_t batch_max;     /* Entries in a message. */
    uint32_t compact_after; /* Applied entries in the log before a snapshot is taken. */
    uint32_t slack_us;      /* Events due within this of the first may happen before it. */
    uint32_t latency_us_min, latency_us_max;
    uint32_t delay_us_max; /* Extra, of a packet that is delayed. */
    uint32_t sync_us_min, sync_us_max;
    uint32_t election_us_min, election_us_max;
    uint32_t heartbeat_us;
    uint32_t client_us; /* Between two commands, at least. */
    uint32_t fault_us;  /* Between two occasions for a fault. */
    uint32_t down_us_max;
    uint32_t pause_us_max;
    uint32_t spares;       /* Nodes after those, with empty disks: the operator may add them. */
    uint32_t window;       /* Entries under way to a peer. */
    uint32_t chunk;        /* Bytes of a snapshot in a message. */
    uint32_t snapshot;     /* Bytes of a state machine. */
    uint32_t clients;      /* That have a session, besides the one that has none. */
    uint32_t retry_us;     /* Until a client that got no answer asks again. */
    uint32_t operator_us;  /* Between two occasions for the operator; 0: there is none. */
    uint32_t pre_vote;     /* Which nodes have the option, a bit for each id modulo 8. */
    uint32_t check_quorum; /* Likewise. */
    uint32_t drift;        /* Per mille by which a node's clock, and its timers, may be slow. */
    uint32_t lease_us;     /* 0: no lease reads. */
    uint32_t hang_us_max;  /* Until a disk that hangs goes on. */
    uint32_t reserve; /* The last of the spares, which do not run at first: a machine whose node
                       * was removed comes back under one of their ids. */
    uint32_t wipe_same_id; /* 1: it comes back under its old id, and crashes may wipe disks. Raft
                            * forbids both. */
};

struct config_field {
    const char *name;
    size_t offset; /* Of the uint32_t in struct cluster_config. */
    uint32_t min, max;
    const char *help;
};
enum {
    CONFIG_FIELD_COUNT = 31,
    CONFIG_NODES_MAX = 63,
    CONFIG_CLIENTS_MAX = 8,
    CONFIG_OPTION_ALL = 255 /* All nodes have it. */
};
extern const struct config_field config_fields[CONFIG_FIELD_COUNT];

uint32_t config_get(const struct cluster_config *config, const struct config_field *field);
void config_set(struct cluster_config *config, const struct config_field *field, uint32_t value);
const struct config_field *config_find(const char *name); /* NULL: no such field. */

/* NULL, or one sentence about what is wrong with it. Valid until the next call. */
const char *config_problem(const struct cluster_config *config);

#endif
