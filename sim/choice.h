/* choice.h - the one door through which nondeterminism enters.
 *
 * The engine says what can happen; the source says what does. A run is its list of choices: whoever
 * answers them the same way gets the same run. */
#ifndef CHOICE_H
#define CHOICE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is chosen. In brackets, what 0 means: always legal, and the dullest answer there is. */
enum choice_label {
    CHOICE_EVENT,           /* Which of the events within the slack happens next (the first due). */
    CHOICE_LATENCY,         /* Microseconds above the shortest latency of a packet. */
    CHOICE_TIMEOUT,         /* Election timeout (a slot of its own of the range), else anywhere. */
    CHOICE_LOSS,            /* 1: the packet is lost. */
    CHOICE_DUPLICATE,       /* 1: the packet travels twice. */
    CHOICE_DELAY,           /* Extra microseconds: the packet arrives long after later ones. */
    CHOICE_SYNC_TIME,       /* Microseconds above the shortest time of a sync. */
    CHOICE_SYNC_LEFT,       /* How many pending writes this sync leaves pending (none). */
    CHOICE_CRASH,           /* Which node crashes (none). */
    CHOICE_CRASH_POINT,     /* Before which effect of its next step (at once). */
    CHOICE_CRASH_KEEP,      /* How many of the pending writes the crash keeps (none). */
    CHOICE_DOWN_TIME,       /* Microseconds until it restarts (the shortest). */
    CHOICE_PAUSE,           /* Which node pauses (none). */
    CHOICE_PAUSE_TIME,      /* Microseconds (1). */
    CHOICE_PARTITION,       /* Which shape of partition begins (none). */
    CHOICE_PARTITION_NODE,  /* Which node or order of nodes it is about. */
    CHOICE_HEAL,            /* 1: all links work again. */
    CHOICE_CLIENT_TIME,     /* Microseconds added to the time until the next command. */
    CHOICE_CLIENT_TARGET,   /* Which node gets it (the leader as far as the client knows). */
    CHOICE_CLIENT_READ,     /* 1: its next operation is a read. */
    CHOICE_CLIENT_FORGET,   /* 1: it forgets its session, and what it waits for. */
    CHOICE_CHANGE,          /* Which kind of change the operator asks for (none). */
    CHOICE_CHANGE_NODE,     /* Which node it is about, or whether a node is in it. */
    CHOICE_OPERATOR_TARGET, /* Which node it asks (the newest leader). */
    CHOICE_TRANSFER,        /* To which node the operator wants the leader to hand over (none). */
    CHOICE_DRIFT,           /* Per mille that a node's clock is slow (0). */
    CHOICE_CORE,            /* 1: the node stays outside the core of the calm phase. */
    CHOICE_OUTSIDE,         /* How a node outside the core goes on (cut off from all). */
    CHOICE_OUTSIDE_LINK,    /* The node of the core to which it keeps a link. */
    CHOICE_STAY,            /* 1: once the core has settled, the leader must stay. */
    CHOICE_HANDOVER,        /* The voter to which the leader must then hand over (none). */
    CHOICE_VICTIM,          /* 1: the fault hits the newest leader (the node that was chosen). */
    CHOICE_MOMENT,          /* What goes wrong at a critical moment (nothing). */
    CHOICE_LATE,            /* 1: packets long in flight to a leader arrive now. */
    CHOICE_HANG,            /* Which node's disk hangs (none). */
    CHOICE_HANG_TIME,       /* Microseconds (1). */
    CHOICE_STOP,            /* Which node stops for good (none). */
    CHOICE_RENEW,           /* 1: a removed machine comes back, wiped, under a new id. */
    CHOICE_WIPE,            /* 1: the crash takes the disk with it. */
    CHOICE_CLIENT_STAY,     /* 1: the client asks the same node again. */
    CHOICE_LABEL_COUNT
};

const char *choice_label_name(enum choice_label label);

/* The subject is what the choice is about: a node, or a link as choice_link(). */
struct choice {
    uint16_t label, subject;
    uint32_t bound, value;
};
static inline uint16_t choice_link(uint8_t source, uint8_t target) {
    return (uint16_t)(source << 8 | target);
}

/* Choices as they were taken. The array is the caller's. What does not fit is counted, not kept. */
struct choice_list {
    struct choice *items;
    size_t count, capacity;
};

/* How often a random source gives an answer other than 0, as a fraction of 2^32 for each label. */
enum { CHOICE_NEVER = 0 };
#define CHOICE_UNIFORM UINT32_MAX /* All answers, 0 too, are equally likely. */
struct choice_odds {
    uint32_t odds[CHOICE_LABEL_COUNT];
};

enum { CHOICE_ALL_DEPTH_MAX = 64 };

static_assert((int)CHOICE_LABEL_COUNT <= 64, "a set of labels is one word");

/* A source of answers. All are plain values; what they point to must outlive them. */
struct choices {
    uint32_t (*next)(struct choices *, enum choice_label, uint16_t subject, uint32_t bound);
    uint64_t dull;     /* Bit i: the answer to label i is 0, and the source is not asked. */
    bool is_exhausted; /* Replay, bytes, all: the source has run out; its answers are 0. */
    bool has_diverged; /* Replay: the run asked for something else than what was recorded. */
    struct choice_list *record; /* Where to note each choice; NULL: nowhere. */
    union {
        struct {
            uint64_t state;
            struct choice_odds odds;
        } random;
        struct {
            const struct choice *items;
            size_t count, position;
        } replay;
        struct {
            const uint8_t *data;
            size_t size, position;
        } bytes;
        struct {
            uint32_t depth, used, depth_max;
            uint32_t bounds[CHOICE_ALL_DEPTH_MAX], values[CHOICE_ALL_DEPTH_MAX];
        } all;
    } u;
};

/* From here on every answer is 0. */
static inline void choice_calm(struct choices *c) { c->dull = UINT64_MAX; }

/* Answers in [0, bound). A choice with one answer is none: it is neither asked nor recorded. */
static inline uint32_t choice_take(struct choices *c, enum choice_label label, uint16_t subject,
                                   uint32_t bound) {
    if (bound <= 1 || (c->dull >> label & 1)) return 0;
    uint32_t value = c->next(c, label, subject, bound);
    if (c->record != NULL) {
        if (c->record->count < c->record->capacity)
            c->record->items[c->record->count] =
                (struct choice){(uint16_t)label, subject, bound, value};
        c->record->count++;
    }
    return value;
}

/* Seeded; the odds are copied. What has no odds is not even asked, unless a record is kept: a
 * replay must find every choice there is. */
void choices_random(struct choices *c, uint64_t seed, const struct choice_odds *odds,
                    struct choice_list *record);
/* A recorded list. Strict: the run must ask for the same labels, subjects and bounds. */
void choices_replay(struct choices *c, const struct choice *items, size_t count);
/* Each answer from the next one or two bytes. For labels of faults most bytes mean 0. */
void choices_bytes(struct choices *c, const uint8_t *data, size_t size);
/* Every sequence of answers to the first `depth_max` choices, in order: the digits of an odometer.
 *     choices_all(&c, depth); do { run } while (choices_all_next(&c)); */
void choices_all(struct choices *c, uint32_t depth_max);
bool choices_all_next(struct choices *c);

/* A stream of numbers for what is drawn before a run begins. Starts anywhere. */
uint64_t random_next(uint64_t *state);

#endif
