/* network.h - packets under way, packets held back, and the links that are cut. */
#ifndef NETWORK_H
#define NETWORK_H

#include "node.h"

enum { NETWORK_PACKETS_MAX = 2048 }; /* Under way and held back. What exceeds it is dropped. */

struct packet {
    uint64_t after; /* Held back until this write of the source is durable. */
    uint32_t next;  /* In the list of free or of held packets; 0: the last. */
    uint16_t size;
    node_id source, target;
    bool has_promise;       /* What it promises is `promise`. */
    struct promise promise; /* As asked when it was sent. */
    alignas(8) unsigned char bytes[NODE_PACKET_MAX];
};

struct network {
    node_set cut[NODE_MAX + 1]; /* By source: the targets that it does not reach. */
    /* By source: the packets that wait for its disk, in the order in which they were sent. */
    uint32_t held_first[NODE_MAX + 1], held_last[NODE_MAX + 1], held_count[NODE_MAX + 1];
    uint32_t used, free_first; /* Slots 1..used were used, and those in the list are free again. */
    struct packet packets[NETWORK_PACKETS_MAX + 1];
};

/* The usual shapes of a partition. All but the last two cut both ways. */
enum network_shape {
    NETWORK_HALVES,   /* Two sides, each node on one that is chosen. */
    NETWORK_MINORITY, /* The largest minority that starts at a chosen node. */
    NETWORK_ISOLATE,  /* One node alone. */
    NETWORK_BRIDGE,   /* Two sides that meet only in one node. */
    NETWORK_RING,     /* Each node reaches only its two neighbours. */
    NETWORK_LINK,     /* One link between two nodes. */
    NETWORK_MUTE,     /* One node is heard by nobody, but hears. */
    NETWORK_ONE_WAY,  /* One link, in one direction. */
    NETWORK_SHAPE_COUNT
};

const char *network_shape_name(enum network_shape shape);

void network_clear(struct network *n);

static inline bool network_is_cut(const struct network *n, node_id source, node_id target) {
    return n->cut[source] >> target & 1;
}
static inline struct packet *network_packet(struct network *n, uint32_t slot) {
    return &n->packets[slot];
}

/* Cuts links in a shape, on top of what is cut. `first` and `second` are the nodes it is about,
 * `side` (halves, bridge) the set on one side. */
void network_partition(struct network *n, enum network_shape shape, node_id node_count,
                       node_id first, node_id second, node_set side);
void network_isolate(struct network *n, node_id node_count, node_id node);
/* The link between those two works again, both ways. */
void network_join(struct network *n, node_id a, node_id b);
void network_heal(struct network *n);

/* A slot with that packet's bytes, or 0 when all are taken. */
uint32_t network_put(struct network *n, node_id source, node_id target, const void *bytes,
                     uint16_t size);
void network_free(struct network *n, uint32_t slot);

void network_hold(struct network *n, uint32_t slot, uint64_t after);
/* Takes the oldest held packet of `source` that may leave, now that writes up to `durable` are
 * durable; 0: none. Packets never overtake each other here. */
uint32_t network_release(struct network *n, node_id source, uint64_t durable);
/* A crash: what is held back is gone. Returns how many packets. */
uint32_t network_forget(struct network *n, node_id source);

#endif
