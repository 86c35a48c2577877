/* choice.c - the sources of choices. */
#include "choice.h"

#include <assert.h>
#include <string.h>

static const char *const label_names[CHOICE_LABEL_COUNT] = {
    [CHOICE_EVENT] = "event",
    [CHOICE_LATENCY] = "latency",
    [CHOICE_TIMEOUT] = "timeout",
    [CHOICE_LOSS] = "loss",
    [CHOICE_DUPLICATE] = "duplicate",
    [CHOICE_DELAY] = "delay",
    [CHOICE_SYNC_TIME] = "sync-time",
    [CHOICE_SYNC_LEFT] = "sync-left",
    [CHOICE_CRASH] = "crash",
    [CHOICE_CRASH_POINT] = "crash-point",
    [CHOICE_CRASH_KEEP] = "crash-keep",
    [CHOICE_DOWN_TIME] = "down-time",
    [CHOICE_PAUSE] = "pause",
    [CHOICE_PAUSE_TIME] = "pause-time",
    [CHOICE_PARTITION] = "partition",
    [CHOICE_PARTITION_NODE] = "partition-node",
    [CHOICE_HEAL] = "heal",
    [CHOICE_CLIENT_TIME] = "client-time",
    [CHOICE_CLIENT_TARGET] = "client-target",
    [CHOICE_CLIENT_READ] = "client-read",
    [CHOICE_CLIENT_FORGET] = "client-forget",
    [CHOICE_CHANGE] = "change",
    [CHOICE_CHANGE_NODE] = "change-node",
    [CHOICE_OPERATOR_TARGET] = "operator-target",
    [CHOICE_TRANSFER] = "transfer",
    [CHOICE_DRIFT] = "drift",
    [CHOICE_CORE] = "core",
    [CHOICE_OUTSIDE] = "outside",
    [CHOICE_OUTSIDE_LINK] = "outside-link",
    [CHOICE_STAY] = "stay",
    [CHOICE_HANDOVER] = "handover",
    [CHOICE_VICTIM] = "victim",
    [CHOICE_MOMENT] = "moment",
    [CHOICE_LATE] = "late",
    [CHOICE_HANG] = "hang",
    [CHOICE_HANG_TIME] = "hang-time",
    [CHOICE_STOP] = "stop",
    [CHOICE_RENEW] = "renew",
    [CHOICE_WIPE] = "wipe",
    [CHOICE_CLIENT_STAY] = "client-stay",
};

const char *choice_label_name(enum choice_label label) {
    assert(label < CHOICE_LABEL_COUNT);
    return label_names[label];
}

/* SplitMix64 (Steele, Lea, Flood 2014): passes BigCrush, and any state is a good one. */
uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t scale(uint32_t random, uint32_t bound) {
    return (uint32_t)((uint64_t)random * bound >> 32);
}

static uint32_t next_random(struct choices *c, enum choice_label label, uint16_t subject,
                            uint32_t bound) {
    (void)subject;
    uint32_t odds = c->u.random.odds.odds[label];
    if (odds == CHOICE_NEVER) return 0;
    uint64_t random = random_next(&c->u.random.state);
    uint32_t high = (uint32_t)(random >> 32), low = (uint32_t)random;
    if (odds == CHOICE_UNIFORM) return scale(low, bound);
    return high < odds ? 1 + scale(low, bound - 1) : 0;
}

void choices_random(struct choices *c, uint64_t seed, const struct choice_odds *odds,
                    struct choice_list *record) {
    *c = (struct choices){.next = next_random, .record = record};
    c->u.random.state = seed;
    c->u.random.odds = *odds;
    if (record != NULL) return;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++)
        if (odds->odds[i] == CHOICE_NEVER) c->dull |= (uint64_t)1 << i;
}

static uint32_t next_replay(struct choices *c, enum choice_label label, uint16_t subject,
                            uint32_t bound) {
    c->is_exhausted = c->u.replay.position == c->u.replay.count;
    if (c->is_exhausted || c->has_diverged) return 0;
    const struct choice *item = &c->u.replay.items[c->u.replay.position++];
    if (item->label == label && item->subject == subject && item->bound == bound)
        return item->value;
    c->has_diverged = true;
    return 0;
}

void choices_replay(struct choices *c, const struct choice *items, size_t count) {
    *c = (struct choices){.next = next_replay};
    c->u.replay.items = items;
    c->u.replay.count = count;
    for (size_t i = 0; i < count; i++) assert(items[i].value < items[i].bound);
}

/* Labels whose answers above 0 hurt: with a byte each way, nothing would ever be delivered. */
static bool is_fault(enum choice_label label) {
    switch (label) {
    case CHOICE_LOSS:
    case CHOICE_DUPLICATE:
    case CHOICE_DELAY:
    case CHOICE_SYNC_LEFT:
    case CHOICE_CRASH:
    case CHOICE_PAUSE:
    case CHOICE_PARTITION:
    case CHOICE_HEAL:
    case CHOICE_CLIENT_TARGET:
    case CHOICE_CLIENT_FORGET:
    case CHOICE_CHANGE:
    case CHOICE_OPERATOR_TARGET:
    case CHOICE_TRANSFER:
    case CHOICE_MOMENT:
    case CHOICE_LATE:
    case CHOICE_HANG:
    case CHOICE_STOP:
    case CHOICE_RENEW:
    case CHOICE_WIPE: return true;
    case CHOICE_EVENT:
    case CHOICE_LATENCY:
    case CHOICE_TIMEOUT:
    case CHOICE_SYNC_TIME:
    case CHOICE_CRASH_POINT:
    case CHOICE_CRASH_KEEP:
    case CHOICE_DOWN_TIME:
    case CHOICE_PAUSE_TIME:
    case CHOICE_PARTITION_NODE:
    case CHOICE_CLIENT_TIME:
    case CHOICE_CLIENT_READ:
    case CHOICE_CHANGE_NODE:
    case CHOICE_DRIFT:
    case CHOICE_CORE:
    case CHOICE_OUTSIDE:
    case CHOICE_OUTSIDE_LINK:
    case CHOICE_STAY:
    case CHOICE_HANDOVER:
    case CHOICE_VICTIM:
    case CHOICE_HANG_TIME:
    case CHOICE_CLIENT_STAY:
    case CHOICE_LABEL_COUNT: return false;
    }
    assert(false);
    return false;
}

static uint32_t next_byte(struct choices *c) {
    c->is_exhausted = c->u.bytes.position == c->u.bytes.size;
    return c->is_exhausted ? 0 : c->u.bytes.data[c->u.bytes.position++];
}

static uint32_t next_bytes(struct choices *c, enum choice_label label, uint16_t subject,
                           uint32_t bound) {
    (void)subject;
    enum { FAULT_FROM = 224 }; /* One byte in eight. */
    if (is_fault(label)) {
        uint32_t byte = next_byte(c);
        if (byte < FAULT_FROM) return 0;
        uint32_t part = (byte - FAULT_FROM) << 27 | 1u << 26;
        return 1 + scale(part, bound - 1);
    }
    uint32_t high = next_byte(c);
    if (bound <= 256) return high * bound >> 8;
    return scale(high << 24 | next_byte(c) << 16, bound);
}

void choices_bytes(struct choices *c, const uint8_t *data, size_t size) {
    *c = (struct choices){.next = next_bytes};
    c->u.bytes.data = data;
    c->u.bytes.size = size;
}

static uint32_t next_all(struct choices *c, enum choice_label label, uint16_t subject,
                         uint32_t bound) {
    (void)label;
    (void)subject;
    uint32_t i = c->u.all.used;
    c->is_exhausted = i == c->u.all.depth_max;
    if (c->is_exhausted) return 0;
    if (i == c->u.all.depth) {
        c->u.all.values[i] = 0;
        c->u.all.depth++;
    }
    c->u.all.bounds[i] = bound;
    c->u.all.used++;
    return c->u.all.values[i];
}

void choices_all(struct choices *c, uint32_t depth_max) {
    assert(depth_max >= 1 && depth_max <= CHOICE_ALL_DEPTH_MAX);
    *c = (struct choices){.next = next_all};
    c->u.all.depth_max = depth_max;
}

bool choices_all_next(struct choices *c) {
    uint32_t i = c->u.all.used;
    assert(i == c->u.all.depth); /* The same answers lead to the same questions. */
    while (i > 0 && c->u.all.values[i - 1] + 1 == c->u.all.bounds[i - 1]) i--;
    if (i == 0) return false;
    c->u.all.values[i - 1]++;
    c->u.all.depth = i;
    c->u.all.used = 0;
    c->dull = 0;
    c->is_exhausted = false;
    return true;
}
