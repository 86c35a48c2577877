/* cluster.h - the world: a whole cluster of nodes with its network, disks, clock, clients, operator
 * and faults.
 *
 *     choices --> cluster_step() --> change: what happened, as facts, for whoever watches
 *
 * One step of the cluster is one event: a packet arrives, a timer runs out, a sync ends, a process
 * starts, a client or the operator asks for something, a fault begins. It makes one node take one
 * step at most. The cluster knows nodes only through node.h, and it does not know that it is
 * watched. */
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
    FACT_LEAVE,   /* A packet that makes the promise `u.promise`, no pre-vote, leaves. */
    FACT_PREVOTE, /* The step granted the pre-vote `u.promise`; the packet may be held back. */
    FACT_RESTORE, /* The state machine is replaced by the node's snapshot, `u.restore`. */
    FACT_APPLY,   /* The state machine applies `u.applied`. */
    FACT_ANSWER,  /* The client of `u.applied` is told what became of it. */
    FACT_READ,    /* A client begins the read `u.read.handle`; it is of no node. */
    FACT_SERVE,   /* It is served: `u.read.index` is what the state machine has applied. */
    FACT_CRASH, /* The life ends; of the pending writes some are kept, which the start will tell. */
    FACT_WIPE,  /* The disk of the node, which is down, is empty from here on. */
    FACT_CONTRACT /* What the node answered breaks the rule of node.h that `u.breach` names. It is
                   * not carried out from there on, and the run must end. */
};

/* The value of a field that node.h does not allow, and what it says of it instead. */
struct contract_breach {
    const char *field, *rule; /* Literals. */
    uint64_t value;
};

struct fact {
    enum fact_type type;
    node_id node;
    union {
        uint64_t write;
        struct promise promise;
        struct contract_breach breach;
        struct {
            struct node_snapshot snapshot;
            bool is_whole; /* All bytes of that state have come, in order. */
        } restore;
        struct {
            uint64_t index;
            enum node_verdict verdict;
            struct node_entry entry;
        } applied;
        struct {
            uint64_t handle, index;
        } read;
    } u;
};

enum { CHANGE_FACTS_MAX = 2 * NETWORK_PACKETS_MAX + 2 * NODE_LOG_MAX };

struct change {
    node_id node;                       /* Which it was about; 0: none, or all of them start. */
    const struct node_effects *effects; /* Of FACT_STEP. */
    const struct node_view *before;     /* Of FACT_STEP: the node before it. */
    node_id source;                     /* Of FACT_STEP: whose packet it was; 0: no packet. */
    const struct promise *received;     /* The promise of that packet; NULL: none. */
    uint32_t fact_count;
    uint32_t prevote_count; /* So many of the facts are FACT_PREVOTE. */
    struct fact facts[CHANGE_FACTS_MAX];
};

enum event_type {
    EVENT_PACKET, /* `item` is the slot. */
    EVENT_TIMER,
    EVENT_SYNC,
    EVENT_RESTART,
    EVENT_COMPACT,
    EVENT_CLIENT, /* `item` is the client. */
    EVENT_OPERATOR,
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
    uint32_t crash_before;  /* In its next step, before this effect, counted from 1; 0: no crash. */
    uint64_t resume_us;     /* Paused until then; UINT64_MAX: for ever. */
    uint64_t hung_us;       /* The disk completes no sync until then; UINT64_MAX: for ever. */
    uint64_t durable;       /* The newest durable write of this life. */
    uint64_t applied;       /* Last entry that the state machine has applied. */
    uint64_t state;         /* The state machine: a hash over what it has applied. */
    uint64_t members_index; /* The last configuration of its log; up to the snapshot's: none. */
    node_set members_before; /* All nodes of the one before it. */
    /* The chunks of a snapshot that have come, in order from the first one on. */
    struct {
        uint64_t state, size, bytes;
        node_id source; /* Of the last one. */
    } staging;
    uint64_t
        handed_term; /* The last term in which it campaigned since a leader handed over to it. */
    struct node_view view, before; /* After the last step, and before it. */
};

/* What a client waits for. */
enum client_wait { CLIENT_IDLE, CLIENT_SESSION, CLIENT_COMMAND, CLIENT_READ };

struct client {
    node_id leader;   /* Whom it asks. */
    node_id turn;     /* Whom it asked last without being told to. */
    bool is_named;    /* `leader` was named by another node. */
    uint64_t number;  /* Of its last operation, from 1. */
    uint64_t session; /* 0: it has none. */
    uint64_t serial;  /* Of its last command in that session. */
    enum client_wait wait;
    uint64_t retry_us;          /* It waits for an answer until then; 0: nobody works on it. */
    bool has_written, has_read; /* In the calm phase. */
};

/* What the calm phase must reach, one goal after the other. */
enum goal_stage {
    GOAL_SETTLE,   /* The core settles: cluster_is_settled(). */
    GOAL_STAY,     /* The leader stays, and nobody campaigns, until `due_us`. */
    GOAL_HANDOVER, /* The leader hands over to `target` by `due_us`, once it was asked. */
    GOAL_REACHED
};

struct goal {
    enum goal_stage stage;
    bool has_stay, has_handover; /* These stages come after settling; chosen once for a run. */
    bool has_settled;            /* Once at least: a quiet time runs until `quiet_us`. */
    bool is_asked, is_refused;   /* Handover: the leader was asked; it refused. */
    uint64_t quiet_us;           /* When the quiet time ends. */
    uint64_t due_us;             /* The stage must be reached, or its watch ends. */
    uint64_t term;               /* Stay, handover: of the leader that the core has settled on. */
    node_id leader, target;
};

/* The call of a node that is under way, or the last one: what is known of a run when its process is
 * gone. */
struct cluster_place {
    uint64_t step;  /* Number of the step, from 1; of a start, that of the step before it. */
    uint8_t event;  /* enum node_event_type, or CLUSTER_PLACE_START. */
    node_id node;   /* 0: no node was called yet. */
    node_id source; /* Of a packet; 0: no packet. */
};
enum { CLUSTER_PLACE_START = NODE_COMPACT + 1 };

struct cluster {
    const struct node_impl *impl;
    struct cluster_config config;
    struct choices *choices;     /* Borrowed from reset to reset. */
    struct cluster_place *place; /* Written at each call; borrowed; NULL: nobody looks. */
    uint64_t clock_us;           /* Never goes back. */
    uint64_t steps;              /* Steps of nodes. */
    uint64_t term_max;           /* The highest term that any node has had. */
    uint64_t events;
    uint64_t digest; /* Over all events: two runs are equal if it is. */
    bool is_calm;
    bool has_changed; /* A configuration was appended to some log. */
    node_set core;    /* In the calm phase: the nodes that must make progress. */
    node_set reach;   /* The nodes that requests of clients reach. */
    node_set gone;    /* Nodes that are down and do not restart. */
    struct goal goal;
    struct client clients[CONFIG_CLIENTS_MAX + 1];
    struct node_event operator_wish; /* The change that the operator asks for. */
    uint32_t operator_tries;         /* So often still, until it is accepted; 0: it has no wish. */
    uint64_t counts[SOMETIMES_COUNT];
    /* Per mille that the clock of a node, and its timers, take longer. */
    uint32_t slowness[NODE_MAX + 1];
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

/* Begins a run: the voters start as the first members, the spares with empty disks. The change
 * holds their starts. REQUIRES: the config is valid (config.h). */
const struct change *cluster_reset(struct cluster *c, const struct cluster_config *config,
                                   struct choices *choices);

/* The next event. There always is one: a client's. The change is valid until the next call. */
const struct change *cluster_step(struct cluster *c);

/* Ends the faults: links heal, processes resume and restart, and every choice is 0 from here on.
 * Some nodes, which are chosen, stay outside: the others, the core, hold a quorum of every
 * configuration that is still in any log. A node outside is cut off from all; or, with pre-vote and
 * check-quorum everywhere, it keeps a link to one node of the core; or, with check-quorum
 * everywhere, it keeps its links, but its disk hangs for ever. */
void cluster_calm(struct cluster *c);
/* After a step of the calm phase: goes on to the next goal if this one is reached. */
void cluster_attend_goal(struct cluster *c);
/* True when the core has done what it must once faults end: it has a leader, of whose configuration
 * all members in the core have the same log, committed and applied to the end; no change and no
 * transfer is under way; and every client has got what it wanted. */
bool cluster_is_settled(const struct cluster *c);

/* The live leader of the newest term among those nodes; 0: none of them leads. */
node_id cluster_leader(const struct cluster *c, node_set among);

static inline void *cluster_node(struct cluster *c, node_id id) {
    return c->memory + c->stride * id;
}
static inline const void *cluster_node_const(const struct cluster *c, node_id id) {
    return c->memory + c->stride * id;
}
static inline const struct node_view *cluster_view(const struct cluster *c, node_id id) {
    return &c->processes[id].view;
}
/* Ids run from 1 to this. */
static inline uint32_t cluster_count(const struct cluster *c) {
    return c->config.nodes + c->config.spares;
}
/* The ids from 1 to `count`. */
static inline node_set cluster_first(uint32_t count) {
    return (~(node_set)0 >> (NODE_MAX - count)) & ~(node_set)1;
}
static inline node_set cluster_ids(const struct cluster *c) {
    return cluster_first(cluster_count(c));
}
/* Of the first configuration. */
static inline node_set cluster_voters(const struct cluster *c) {
    return cluster_first(c->config.nodes);
}

#endif
