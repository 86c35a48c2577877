/* cluster.h - the world: a whole cluster of nodes with its network, disks, clock, client and
 * faults.
 *
 *     choices --> cluster_step() --> change: what happened, as facts, for whoever watches
 *
 * One step of the cluster is one event: a packet arrives, a timer runs out, a sync ends, a process
 * starts, a client proposes, a fault begins. It makes one node take one step at most. The cluster
 * knows nodes only through node.h, and it does not know that it is watched. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "choice.h"
#include "config.h"
#include "disk.h"
#include "network.h"
#include "queue.h"
#include "sometimes.h"

/* What happened, in the order in which it happened. */
enum fact_type {
    FACT_START,   /* A life of the node begins from what its disk holds. */
    FACT_STEP,    /* The node took a step: `before`, `effects` and its view tell what changed. */
    FACT_WRITE,   /* It asked for the write `u.write`: pending. */
    FACT_DURABLE, /* The write `u.write` is durable. */
    FACT_LEAVE,   /* A packet that makes the promise `u.promise` leaves. */
    FACT_RESTORE, /* The state machine is replaced by the node's snapshot, `u.snapshot`. */
    FACT_APPLY,   /* The state machine applies `u.applied`. */
    FACT_ANSWER,  /* The client of `u.applied` is told that it was done. */
    FACT_CRASH /* The life ends; of the pending writes some are kept, which the start will tell. */
};

struct fact {
    enum fact_type type;
    node_id node;
    union {
        uint64_t write;
        struct promise promise;
        struct node_snapshot snapshot;
        struct {
            uint64_t index;
            struct node_entry entry;
        } applied;
    } u;
};

enum { CHANGE_FACTS_MAX = 2 * NETWORK_PACKETS_MAX + 2 * NODE_LOG_MAX };

struct change {
    node_id node;                       /* Which it was about; 0: none, or all of them start. */
    const struct node_effects *effects; /* Of FACT_STEP. */
    const struct node_view *before;     /* Of FACT_STEP: the node before it. */
    node_id source;                     /* Of FACT_STEP: whose packet it was; 0: no packet. */
    uint32_t fact_count;
    struct fact facts[CHANGE_FACTS_MAX];
};

enum event_type {
    EVENT_PACKET, /* `item` is the slot. */
    EVENT_TIMER,
    EVENT_SYNC,
    EVENT_RESTART,
    EVENT_COMPACT,
    EVENT_CLIENT,
    EVENT_FAULT
};

static inline uint32_t event_key(enum event_type type, node_id id) {
    return (uint32_t)type << 8 | id;
}
static inline enum event_type event_type(struct event event) {
    return (enum event_type)(event.key >> 8);
}
static inline node_id event_node(struct event event) { return (node_id)event.key; }

/* A node and what the world runs it with. */
struct process {
    bool is_alive, is_syncing, is_compacting;
    bool has_memory; /* What the last life allocated is given back when the next one starts. */
    uint32_t crash_before; /* In its next step, before this effect, counted from 1; 0: no crash. */
    uint64_t resume_us;    /* Paused until then. */
    uint64_t durable;      /* The newest durable write of this life. */
    uint64_t applied;      /* Last entry that the state machine has applied. */
    uint64_t state;        /* The state machine: a hash over what it has applied. */
    uint8_t newest;        /* Of the two views, the one after the last step. */
    struct node_view views[2];
};

struct client {
    node_id leader;            /* Whom it asks. */
    uint64_t proposed;         /* Commands are numbered from 1. */
    uint64_t acknowledged;     /* How many. */
    uint64_t acknowledged_max; /* The highest index of an acknowledged command. */
    bool is_done;              /* Proposes nothing more: in the calm phase, after an answer. */
};

struct cluster {
    const struct node_impl *impl;
    struct cluster_config config;
    struct choices *choices; /* Borrowed from reset to reset. */
    uint64_t clock_us;       /* Never goes back. */
    uint64_t steps;          /* Steps of nodes. */
    uint64_t events;
    uint64_t digest; /* Over all events: two runs are equal if it is. */
    bool is_calm;
    node_set core; /* In the calm phase: the nodes that must make progress. */
    struct client client;
    uint64_t counts[SOMETIMES_COUNT];
    struct process processes[NODE_MAX + 1];
    struct queue queue;
    struct network network;
    struct disk disks[NODE_MAX + 1];
    struct change change;
    struct node_effects effects;
    size_t stride;
    unsigned char *memory; /* Of the nodes, `stride` bytes each. */
};

/* A cluster of nodes of that kind, or NULL when there is no memory. Nothing is allocated after. */
struct cluster *cluster_new(const struct node_impl *impl);
void cluster_free(struct cluster *c);

/* Begins a run: all nodes start with empty disks. The change holds their starts. REQUIRES: the
 * config is valid (config.h). */
const struct change *cluster_reset(struct cluster *c, const struct cluster_config *config,
                                   struct choices *choices);

/* The next event. There always is one: the client's. The change is valid until the next call. */
const struct change *cluster_step(struct cluster *c);

/* Ends the faults: links heal, processes resume and restart, and every choice is 0 from here on. A
 * minority, which is chosen, stays cut off. */
void cluster_calm(struct cluster *c);
/* True when the core has done what it must once faults end: it has a leader, all its members have
 * the same log, committed and applied to the end, and the client got an answer. */
bool cluster_is_settled(const struct cluster *c);

static inline void *cluster_node(struct cluster *c, node_id id) {
    return c->memory + c->stride * id;
}
static inline const void *cluster_node_const(const struct cluster *c, node_id id) {
    return c->memory + c->stride * id;
}
static inline const struct node_view *cluster_view(const struct cluster *c, node_id id) {
    const struct process *p = &c->processes[id];
    return &p->views[p->newest];
}
static inline node_set cluster_voters(const struct cluster *c) {
    return (~(node_set)0 >> (NODE_MAX - c->config.nodes)) & ~(node_set)1;
}

#endif
