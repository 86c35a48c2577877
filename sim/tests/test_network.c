/* test_network.c - the shapes of partitions by their definitions; slots and held packets against a
 * naive twin. */
#include "network.h"

#include <criterion/criterion.h>
#include <string.h>

#include "choice.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

static struct network network;

/* ---- partitions ---- */

struct partition {
    enum network_shape shape;
    uint32_t nodes, first, second;
    bool side[NODE_MAX + 1];
};

static void apply(const struct partition *p) {
    node_set side = 0;
    for (uint32_t id = 0; id <= NODE_MAX; id++)
        if (p->side[id]) side |= node_bit((node_id)id);
    network_partition(&network, p->shape, (node_id)p->nodes, (node_id)p->first, (node_id)p->second,
                      side);
}

/* How many steps it is from one node to another around the circle of all. */
static uint32_t distance(const struct partition *p, uint32_t from, uint32_t to) {
    return (to + p->nodes - from) % p->nodes;
}

static bool in_minority(const struct partition *p, uint32_t id) {
    return distance(p, p->first, id) < (p->nodes - 1) / 2;
}

/* The definition of each shape: does it cut the way from `source` to `target`? */
static bool cuts(const struct partition *p, uint32_t source, uint32_t target) {
    if (source == target || source < 1 || target < 1) return false;
    if (source > p->nodes || target > p->nodes) return false;
    bool from_first = source == p->first, to_first = target == p->first;
    switch (p->shape) {
    case NETWORK_HALVES: return p->side[source] != p->side[target];
    case NETWORK_MINORITY: return in_minority(p, source) != in_minority(p, target);
    case NETWORK_ISOLATE: return from_first || to_first;
    case NETWORK_BRIDGE: return !from_first && !to_first && p->side[source] != p->side[target];
    case NETWORK_RING: return distance(p, source, target) > 1 && distance(p, target, source) > 1;
    case NETWORK_LINK:
        return (from_first && target == p->second) || (to_first && source == p->second);
    case NETWORK_MUTE: return from_first;
    case NETWORK_ONE_WAY: return from_first && target == p->second;
    case NETWORK_SHAPE_COUNT: break;
    }
    cr_assert(false);
    return false;
}

/* The side may name nodes that there are not. */
static struct partition any_partition(uint64_t *random, enum network_shape shape, uint32_t nodes) {
    struct partition p = {.shape = shape, .nodes = nodes};
    p.first = 1 + roll(random, nodes);
    p.second = 1 + roll(random, nodes);
    uint32_t kind = roll(random, 8);
    for (uint32_t id = 0; id <= NODE_MAX; id++)
        p.side[id] = kind == 0 || (kind != 1 && roll(random, 2) != 0);
    return p;
}

static bool is_cut(uint32_t source, uint32_t target) {
    return network_is_cut(&network, (node_id)source, (node_id)target);
}

/* Goal: a partition is the shape that its name says, for any number of nodes. Method: every pair of
 * ids, those of no node too, against the definition; random nodes and sides, each shape and size.
 */
Test(network, shapes_are_as_defined) {
    uint64_t random = 1;
    for (uint32_t n = 1; n <= NODE_MAX; n++)
        for (uint32_t i = 0; i < 30 * NETWORK_SHAPE_COUNT; i++) {
            struct partition p =
                any_partition(&random, (enum network_shape)(i % NETWORK_SHAPE_COUNT), n);
            network_clear(&network);
            apply(&p);
            for (uint32_t s = 0; s <= NODE_MAX; s++)
                for (uint32_t t = 0; t <= NODE_MAX; t++)
                    cr_assert(is_cut(s, t) == cuts(&p, s, t), "%s(%u, %u) of %u: %u to %u",
                              network_shape_name(p.shape), p.first, p.second, n, s, t);
        }
}

/* Goal: the sizes of sides are as promised. Method: count whom a node of each size of cluster still
 * reaches: the minority is the largest there is, the bridge reaches all, a ring two. */
Test(network, shapes_leave_what_they_promise) {
    for (uint32_t n = 1; n <= NODE_MAX; n++)
        for (uint32_t shape = 0; shape < NETWORK_SHAPE_COUNT; shape++) {
            struct partition p = {.shape = (enum network_shape)shape, .nodes = n, .first = 1};
            p.second = n;
            for (uint32_t id = 1; id <= n; id++) p.side[id] = id % 2 != 0;
            network_clear(&network);
            apply(&p);
            uint32_t reached = 0; /* By node 1, which is the first node of each shape. */
            for (uint32_t id = 2; id <= n; id++) reached += !is_cut(1, id);
            uint32_t minority = (n - 1) / 2; /* 0 for one node or two: nobody is cut off. */
            const uint32_t expected[NETWORK_SHAPE_COUNT] = {
                [NETWORK_HALVES] = (n + 1) / 2 - 1,
                [NETWORK_MINORITY] = minority > 0 ? minority - 1 : n - 1,
                [NETWORK_ISOLATE] = 0,
                [NETWORK_BRIDGE] = n - 1,
                [NETWORK_RING] = n < 3 ? n - 1 : 2,
                [NETWORK_LINK] = n < 2 ? 0 : n - 2,
                [NETWORK_MUTE] = 0,
                [NETWORK_ONE_WAY] = n < 2 ? 0 : n - 2,
            };
            cr_assert(reached == expected[shape], "%s of %u: reaches %u",
                      network_shape_name(p.shape), n, reached);
        }
}

/* Goal: partitions pile up until the network heals. Method: several at random; what any of them
 * cuts is cut, nothing else; healed, nothing is. */
Test(network, partitions_pile_up_until_healed) {
    enum { PILE = 4 };
    uint64_t random = 2;
    network_clear(&network);
    for (uint32_t round = 0; round < 1000; round++) {
        uint32_t n = 1 + roll(&random, NODE_MAX);
        struct partition pile[PILE];
        for (uint32_t i = 0; i < PILE; i++) {
            enum network_shape shape = (enum network_shape)roll(&random, NETWORK_SHAPE_COUNT);
            pile[i] = any_partition(&random, shape, n);
            apply(&pile[i]);
        }
        for (uint32_t s = 0; s <= NODE_MAX; s++)
            for (uint32_t t = 0; t <= NODE_MAX; t++) {
                bool is_expected = false;
                for (uint32_t i = 0; i < PILE; i++) is_expected |= cuts(&pile[i], s, t);
                cr_assert(is_cut(s, t) == is_expected, "round %u: %u to %u", round, s, t);
            }
        network_heal(&network);
        for (uint32_t s = 0; s <= NODE_MAX; s++) cr_assert(network.cut[s] == 0);
    }
}

/* Goal: reports can name a shape. Method: names differ. */
Test(network, shapes_have_names_of_their_own) {
    for (uint32_t i = 0; i < NETWORK_SHAPE_COUNT; i++)
        for (uint32_t j = 0; j < i; j++)
            cr_assert(strcmp(network_shape_name((enum network_shape)i),
                             network_shape_name((enum network_shape)j)) != 0);
}

/* ---- slots and held packets ---- */

/* The naive twin: what lies in each slot, and one list of all that is held, oldest first. */
enum slot_state { SLOT_FREE, SLOT_TRAVELS, SLOT_HELD };
static struct twin {
    uint32_t taken;
    enum slot_state states[NETWORK_PACKETS_MAX + 1];
    uint64_t numbers[NETWORK_PACKETS_MAX + 1]; /* First word of the packet's bytes. */
    uint16_t sizes[NETWORK_PACKETS_MAX + 1];
    node_id sources[NETWORK_PACKETS_MAX + 1];
    uint32_t held_count;
    struct {
        uint32_t slot;
        uint64_t after;
    } held[NETWORK_PACKETS_MAX];
} twin;
static uint64_t number; /* Of the packet put last. */
static uint32_t refusals;

static void clear_both(void) {
    network_clear(&network);
    memset(&twin, 0, sizeof twin);
}

/* Where the oldest held packet of `source` is in the list, or `held_count`. */
static uint32_t twin_oldest(node_id source) {
    uint32_t i = 0;
    while (i < twin.held_count && twin.sources[twin.held[i].slot] != source) i++;
    return i;
}

static void twin_unhold(uint32_t i, enum slot_state state) {
    twin.states[twin.held[i].slot] = state;
    twin.held_count--;
    memmove(&twin.held[i], &twin.held[i + 1], (twin.held_count - i) * sizeof twin.held[0]);
}

/* Puts a packet of any size into both; 0 when both are full. */
static uint32_t put_both(node_id source, node_id target, uint16_t size) {
    uint64_t words[NODE_PACKET_MAX / 8];
    number++;
    for (uint32_t i = 0; i < NODE_PACKET_MAX / 8; i++) words[i] = number * 1000 + i;
    uint32_t slot = network_put(&network, source, target, words, size);
    cr_assert((slot == 0) == (twin.taken == NETWORK_PACKETS_MAX), "%u taken", twin.taken);
    refusals += slot == 0;
    if (slot == 0) return 0;
    cr_assert(slot <= NETWORK_PACKETS_MAX && twin.states[slot] == SLOT_FREE, "slot %u", slot);
    const struct packet *p = network_packet(&network, slot);
    cr_assert(p->source == source && p->target == target);
    twin.states[slot] = SLOT_TRAVELS;
    twin.numbers[slot] = number;
    twin.sizes[slot] = size;
    twin.sources[slot] = source;
    twin.taken++;
    return slot;
}

static void check_packet(uint32_t slot) {
    const struct packet *p = network_packet(&network, slot);
    cr_assert(p->size == twin.sizes[slot] && p->source == twin.sources[slot], "slot %u", slot);
    for (uint32_t i = 0; i < p->size / 8u; i++) {
        uint64_t word;
        memcpy(&word, p->bytes + 8 * (size_t)i, sizeof word);
        cr_assert(word == twin.numbers[slot] * 1000 + i, "slot %u, word %u", slot, i);
    }
}

static void free_both(uint32_t slot) {
    check_packet(slot);
    network_free(&network, slot);
    twin.states[slot] = SLOT_FREE;
    twin.taken--;
}

static void hold_both(uint32_t slot, uint64_t after) {
    network_hold(&network, slot, after);
    twin.states[slot] = SLOT_HELD;
    twin.held[twin.held_count].slot = slot;
    twin.held[twin.held_count++].after = after;
}

static uint32_t release_both(node_id source, uint64_t durable) {
    uint32_t i = twin_oldest(source), expected = 0;
    if (i < twin.held_count && twin.held[i].after <= durable) {
        expected = twin.held[i].slot;
        twin_unhold(i, SLOT_TRAVELS);
    }
    uint32_t slot = network_release(&network, source, durable);
    cr_assert(slot == expected, "slot %u, expected %u", slot, expected);
    return slot;
}

static void forget_both(node_id source) {
    uint32_t expected = 0;
    for (uint32_t i; (i = twin_oldest(source)) < twin.held_count; expected++) {
        twin_unhold(i, SLOT_FREE);
        twin.taken--;
    }
    uint32_t count = network_forget(&network, source);
    cr_assert(count == expected, "forgot %u, expected %u", count, expected);
}

static void free_any(uint64_t *random) {
    uint32_t slot = 1 + roll(random, network.used);
    if (twin.states[slot] == SLOT_TRAVELS) free_both(slot);
}

/* Half of what is put is held, mostly behind what the node holds already. */
static void put_any(uint64_t *random, uint32_t sources, uint64_t *after) {
    node_id source = (node_id)(1 + roll(random, sources));
    uint32_t slot = put_both(source, (node_id)(1 + roll(random, NODE_MAX)),
                             (uint16_t)(8 * roll(random, NODE_PACKET_MAX / 8 + 1)));
    if (slot == 0 || roll(random, 2) == 0) return;
    *after += roll(random, 3);
    hold_both(slot, roll(random, 8) != 0 ? *after : roll(random, (uint32_t)*after + 1));
}

static void release_some(uint64_t *random, node_id source, uint64_t after) {
    uint32_t lag = roll(random, 40);
    uint64_t durable = after < lag ? 0 : after - lag;
    for (uint32_t slot = 1; slot != 0;) slot = release_both(source, durable);
}

/* Goal: slots and held lists never mix up packets. Method: random puts, frees, holds, releases and
 * crashes against the twin, with few packets and with a network that is mostly full. */
Test(network, does_as_the_twin) {
    uint64_t random = 3;
    for (uint32_t weather = 0; weather < 4; weather++) {
        uint32_t sources = weather % 2 == 0 ? 3 : NODE_MAX, put_weight = weather < 2 ? 2 : 8;
        uint64_t after = 1;
        clear_both();
        for (uint32_t n = 0; n < 100000; n++) {
            node_id source = (node_id)(1 + roll(&random, sources));
            uint32_t kind = roll(&random, put_weight + 4);
            if (kind < put_weight) put_any(&random, sources, &after);
            else if (kind == put_weight) release_some(&random, source, after);
            else if (roll(&random, 400) == 0) forget_both(source);
            else free_any(&random);
        }
        for (uint32_t slot = 1; slot <= NETWORK_PACKETS_MAX; slot++)
            if (twin.states[slot] != SLOT_FREE) check_packet(slot);
        cr_assert(weather < 2 ? refusals == 0 : refusals > 1000, "%u refusals", refusals);
    }
}

/* Goal: the network holds what it says and no more. Method: fill it; the next put gets no slot;
 * exactly the slots that are freed come back, in whatever order. */
Test(network, full_gives_no_slot) {
    clear_both();
    for (uint32_t i = 0; i < NETWORK_PACKETS_MAX; i++) cr_assert(put_both(1, 2, 8) != 0);
    uint64_t random = 4;
    for (uint32_t round = 0; round < 200; round++) {
        cr_assert(put_both(1, 2, 8) == 0);
        uint32_t freed = 0;
        for (uint32_t i = 0; i < 20; i++) {
            uint32_t slot = 1 + roll(&random, NETWORK_PACKETS_MAX);
            if (twin.states[slot] == SLOT_FREE) continue;
            free_both(slot);
            freed++;
        }
        for (uint32_t i = 0; i < freed; i++) cr_assert(put_both(3, 4, 16) != 0);
    }
}

/* Goal: a packet leaves when its write is durable, not before, and in the order of sending. Method:
 * packets behind writes 1, 1, 2, 5, and one behind an older write that must not overtake. */
Test(network, held_packets_wait_for_their_write) {
    static const uint64_t after[] = {1, 1, 2, 5, 3};
    clear_both();
    uint32_t slots[5];
    for (uint32_t i = 0; i < 5; i++) {
        slots[i] = put_both(7, 8, 8);
        hold_both(slots[i], after[i]);
    }
    cr_assert(network_release(&network, 7, 0) == 0);
    cr_assert(network_release(&network, 8, UINT64_MAX) == 0);
    cr_assert(network_release(&network, 7, 1) == slots[0]);
    cr_assert(network_release(&network, 7, 1) == slots[1]);
    cr_assert(network_release(&network, 7, 1) == 0);
    cr_assert(network_release(&network, 7, 4) == slots[2]);
    cr_assert(network_release(&network, 7, 4) == 0);
    cr_assert(network_release(&network, 7, 5) == slots[3]);
    cr_assert(network_release(&network, 7, 5) == slots[4]);
    cr_assert(network_release(&network, 7, UINT64_MAX) == 0);
}

/* Goal: a run leaves nothing to the next one. Method: a network full of cuts, holds and free slots,
 * cleared: nothing is cut or held, and all slots are there once. */
Test(network, clear_leaves_it_as_new) {
    clear_both();
    uint64_t random = 5, after = 1;
    for (uint32_t i = 0; i < 3000; i++) put_any(&random, NODE_MAX, &after);
    for (uint32_t i = 0; i < 3000; i++) free_any(&random);
    network_isolate(&network, NODE_MAX, 5);
    clear_both();
    for (uint32_t id = 0; id <= NODE_MAX; id++) {
        cr_assert(network.cut[id] == 0);
        cr_assert(network_release(&network, (node_id)id, UINT64_MAX) == 0);
    }
    for (uint32_t i = 0; i < NETWORK_PACKETS_MAX; i++) cr_assert(put_both(1, 2, 8) != 0);
    cr_assert(put_both(1, 2, 8) == 0);
}
