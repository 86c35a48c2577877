/* network.c - packet slots, held packets, cut links. */
#include "network.h"

#include <assert.h>
#include <string.h>

static const char *const shape_names[NETWORK_SHAPE_COUNT] = {
    [NETWORK_HALVES] = "halves", [NETWORK_MINORITY] = "minority", [NETWORK_ISOLATE] = "isolate",
    [NETWORK_BRIDGE] = "bridge", [NETWORK_RING] = "ring",         [NETWORK_LINK] = "link",
    [NETWORK_MUTE] = "mute",     [NETWORK_ONE_WAY] = "one-way",
};

const char *network_shape_name(enum network_shape shape) {
    assert(shape < NETWORK_SHAPE_COUNT);
    return shape_names[shape];
}

void network_clear(struct network *n) { memset(n, 0, offsetof(struct network, packets)); }

static void cut_both(struct network *n, node_set side, node_set other, node_id node_count) {
    for (node_id id = 1; id <= node_count; id++) {
        if (side & node_bit(id)) n->cut[id] |= other;
        if (other & node_bit(id)) n->cut[id] |= side;
    }
}

static node_set all_nodes(node_id node_count) {
    return (node_count == NODE_MAX ? ~(node_set)0 : node_bit((node_id)(node_count + 1)) - 1) &
           ~(node_set)1;
}

static node_id after(node_id id, node_id node_count, unsigned steps) {
    return (node_id)((id - 1u + steps) % node_count + 1);
}

static node_set minority_from(node_id first, node_id node_count) {
    node_set side = 0;
    for (unsigned i = 0; i < (node_count - 1u) / 2; i++)
        side |= node_bit(after(first, node_count, i));
    return side;
}

void network_isolate(struct network *n, node_id node_count, node_id node) {
    cut_both(n, node_bit(node), all_nodes(node_count) & ~node_bit(node), node_count);
}

void network_partition(struct network *n, enum network_shape shape, node_id node_count,
                       node_id first, node_id second, node_set side) {
    assert(first >= 1 && first <= node_count && second >= 1 && second <= node_count);
    node_set all = all_nodes(node_count), one = node_bit(first), two = node_bit(second) & ~one;
    side &= all;
    switch (shape) {
    case NETWORK_HALVES: cut_both(n, side, all & ~side, node_count); return;
    case NETWORK_MINORITY:
        side = minority_from(first, node_count);
        cut_both(n, side, all & ~side, node_count);
        return;
    case NETWORK_ISOLATE: network_isolate(n, node_count, first); return;
    case NETWORK_BRIDGE: cut_both(n, side & ~one, all & ~side & ~one, node_count); return;
    case NETWORK_RING:
        for (node_id id = 1; id <= node_count; id++) {
            node_set near = node_bit(id) | node_bit(after(id, node_count, 1)) |
                            node_bit(after(id, node_count, node_count - 1u));
            n->cut[id] |= all & ~near;
        }
        return;
    case NETWORK_LINK: cut_both(n, one, two, node_count); return;
    case NETWORK_MUTE: n->cut[first] |= all & ~one; return;
    case NETWORK_ONE_WAY: n->cut[first] |= two; return;
    case NETWORK_SHAPE_COUNT: break;
    }
    assert(false);
}

void network_join(struct network *n, node_id a, node_id b) {
    n->cut[a] &= ~node_bit(b);
    n->cut[b] &= ~node_bit(a);
}

void network_heal(struct network *n) { memset(n->cut, 0, sizeof n->cut); }

static uint32_t take_slot(struct network *n) {
    uint32_t slot = n->free_first;
    if (slot != 0) {
        n->free_first = n->packets[slot].next;
        return slot;
    }
    return n->used < NETWORK_PACKETS_MAX ? ++n->used : 0;
}

uint32_t network_put(struct network *n, node_id source, node_id target, const void *bytes,
                     uint16_t size) {
    assert(size <= NODE_PACKET_MAX && size % 8 == 0);
    uint32_t slot = take_slot(n);
    if (slot == 0) return 0;
    struct packet *p = &n->packets[slot];
    uint32_t odd = size % 16; /* 0 or 8. Packets are short: one memcpy for all would be slower. */
    if (odd != 0) memcpy(p->bytes, bytes, 8);
    for (uint32_t i = odd; i < size; i += 16)
        memcpy(p->bytes + i, (const unsigned char *)bytes + i, 16);
    p->size = size;
    p->source = source;
    p->target = target;
    p->next = 0;
    p->after = 0;
    return slot;
}

void network_free(struct network *n, uint32_t slot) {
    assert(slot >= 1 && slot <= n->used);
    n->packets[slot].next = n->free_first;
    n->free_first = slot;
}

void network_hold(struct network *n, uint32_t slot, uint64_t after_write) {
    struct packet *p = &n->packets[slot];
    p->after = after_write;
    p->next = 0;
    if (n->held_first[p->source] == 0) n->held_first[p->source] = slot;
    else n->packets[n->held_last[p->source]].next = slot;
    n->held_last[p->source] = slot;
    n->held_count[p->source]++;
}

uint32_t network_release(struct network *n, node_id source, uint64_t durable) {
    uint32_t slot = n->held_first[source];
    if (slot == 0 || n->packets[slot].after > durable) return 0;
    n->held_first[source] = n->packets[slot].next;
    n->held_count[source]--;
    return slot;
}

uint32_t network_forget(struct network *n, node_id source) {
    uint32_t count = 0;
    while (n->held_first[source] != 0) {
        network_free(n, network_release(n, source, UINT64_MAX));
        count++;
    }
    return count;
}
