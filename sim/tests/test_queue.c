/* test_queue.c - the pending events against a naive twin, and the limits of the array. */
#include "queue.h"

#include <criterion/criterion.h>

#include "choice.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

/* The naive twin: a heap of notes without order, each with its number in sequence. */
struct note {
    uint64_t sequence;
    struct event event;
};
static struct twin {
    uint32_t count;
    uint64_t sequence;
    struct note notes[QUEUE_MAX];
} twin;
static struct queue queue;

static bool is_before(const struct note *a, const struct note *b) {
    if (a->event.due_us != b->event.due_us) return a->event.due_us < b->event.due_us;
    return a->sequence < b->sequence;
}

/* Where the note stands that has exactly `position` notes before it. */
static uint32_t twin_find_position(uint32_t position) {
    for (uint32_t i = 0; i < twin.count; i++) {
        uint32_t before = 0;
        for (uint32_t j = 0; j < twin.count; j++)
            before += is_before(&twin.notes[j], &twin.notes[i]);
        if (before == position) return i;
    }
    return twin.count;
}

/* Where the note of that key stands, or `count`. */
static uint32_t twin_find_key(uint32_t key) {
    uint32_t i = 0;
    while (i < twin.count && twin.notes[i].event.key != key) i++;
    return i;
}

static struct event twin_take_at(uint32_t i) {
    struct event event = twin.notes[i].event;
    twin.notes[i] = twin.notes[--twin.count];
    return event;
}

static bool twin_push(struct event event) {
    if (twin.count == QUEUE_MAX) return false;
    twin.notes[twin.count++] = (struct note){twin.sequence++, event};
    return true;
}

static bool twin_remove(uint32_t key) {
    uint32_t i = twin_find_key(key);
    if (i == twin.count) return false;
    twin_take_at(i);
    return true;
}

static uint32_t twin_within(uint32_t slack_us) {
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < twin.count; i++)
        if (twin.notes[i].event.due_us < first) first = twin.notes[i].event.due_us;
    uint32_t count = 0;
    for (uint32_t i = 0; i < twin.count; i++)
        count += slack_us == UINT32_MAX || twin.notes[i].event.due_us - first <= slack_us;
    return count;
}

static bool is_same(struct event a, struct event b) {
    return a.due_us == b.due_us && a.key == b.key && a.item == b.item;
}

static void clear_both(void) {
    queue_clear(&queue);
    twin.count = 0;
}

/* Takes all out of both, first due first. */
static void drain_both(void) {
    cr_assert(queue.count == twin.count);
    while (twin.count > 0)
        cr_assert(is_same(queue_take(&queue, 0), twin_take_at(twin_find_position(0))));
    cr_assert(queue.count == 0);
}

/* ---- random operations ---- */

/* As in a cluster: keys below TIMERS_FROM may be pending many times, the others once at most. */
enum { TIMERS_FROM = 256, TIMERS = 12 };

struct weather {
    uint64_t due_range;
    uint32_t size_max, operations;
};

static struct event any_event(uint64_t *random, const struct weather *w, bool is_timer) {
    static uint32_t item;
    return (struct event){
        .due_us = random_next(random) % w->due_range,
        .key = is_timer ? TIMERS_FROM + roll(random, TIMERS) : roll(random, 4),
        .item = ++item,
    };
}

static uint32_t any_slack(uint64_t *random, const struct weather *w) {
    switch (roll(random, 4)) {
    case 0: return 0;
    case 1: return UINT32_MAX;
    case 2: return UINT32_MAX - 1;
    default: return (uint32_t)(random_next(random) % w->due_range);
    }
}

static void push_both(struct event event) {
    if (event.key >= TIMERS_FROM && twin_find_key(event.key) < twin.count) return;
    cr_assert(queue_push(&queue, event) == twin_push(event));
}

static void take_both(uint64_t *random) {
    if (twin.count == 0) return;
    uint32_t position = roll(random, 2) == 0 ? 0 : roll(random, twin.count);
    struct event expected = twin_take_at(twin_find_position(position));
    struct event taken = queue_take(&queue, position);
    cr_assert(is_same(taken, expected), "position %u: item %u, expected %u", position, taken.item,
              expected.item);
}

static void operate(uint64_t *random, const struct weather *w) {
    struct event timer = any_event(random, w, true);
    switch (roll(random, 6)) {
    case 0:
    case 1:
        if (twin.count < w->size_max) push_both(any_event(random, w, roll(random, 4) == 0));
        return;
    case 2: take_both(random); return;
    case 3: cr_assert(queue_remove(&queue, timer.key) == twin_remove(timer.key)); return;
    case 4:
        twin_remove(timer.key); /* A move is a new event: it goes behind its equals. */
        cr_assert(queue_reset(&queue, timer) == twin_push(timer));
        return;
    case 5: {
        uint32_t slack_us = any_slack(random, w), within = queue_within(&queue, slack_us);
        cr_assert(within == twin_within(slack_us), "slack %u: %u", slack_us, within);
        return;
    }
    }
}

/* Goal: due time and sequence decide, nothing else. Method: random pushes, takes at any position,
 * removals, moves and counts within a slack, against the twin: with many ties and with none, few
 * events and hundreds; the array is sorted after each one, and at times both are drained. */
Test(queue, does_as_the_twin) {
    static const struct weather weathers[] = {
        {.due_range = 3, .size_max = 30, .operations = 150000},
        {.due_range = 40, .size_max = 30, .operations = 150000},
        {.due_range = (uint64_t)1 << 40, .size_max = 30, .operations = 150000},
        {.due_range = 200, .size_max = 300, .operations = 5000},
    };
    uint64_t random = 1;
    for (uint32_t i = 0; i < 4; i++) {
        clear_both();
        for (uint32_t n = 0; n < weathers[i].operations; n++) {
            operate(&random, &weathers[i]);
            cr_assert(queue.count == twin.count, "weather %u, operation %u", i, n);
            for (uint32_t k = 1; k < queue.count; k++)
                cr_assert(queue_at(&queue, k - 1).due_us <= queue_at(&queue, k).due_us);
            if (roll(&random, 2000) == 0) drain_both();
        }
        drain_both();
    }
}

/* ---- single properties ---- */

static void fill(uint32_t count, uint64_t due_us) {
    queue_clear(&queue);
    for (uint32_t i = 0; i < count; i++) {
        struct event event = {.due_us = due_us, .key = TIMERS_FROM + i, .item = i};
        cr_assert(queue_push(&queue, event));
    }
}

/* Goal: what is due at the same time happens in the order in which it was asked for. Method: equal
 * times come out as pushed; an event that is set again to the same time goes to the end. */
Test(queue, ties_keep_their_order) {
    enum { COUNT = 50 };
    for (uint32_t moved = 0; moved < COUNT; moved++) {
        fill(COUNT, 7);
        struct event again = {.due_us = 7, .key = TIMERS_FROM + moved, .item = 1000};
        cr_assert(queue_reset(&queue, again));
        for (uint32_t i = 0; i < COUNT; i++)
            if (i != moved) cr_assert(queue_take(&queue, 0).item == i, "%u of %u", i, moved);
        cr_assert(queue_take(&queue, 0).item == 1000);
    }
}

/* Goal: a full queue refuses and stays as it is. Method: fill it to the last place; only a move of
 * what is pending goes through; after one take there is room for one. */
Test(queue, full_refuses) {
    fill(QUEUE_MAX, 5);
    struct event more = {.due_us = 1, .key = 1, .item = QUEUE_MAX};
    cr_assert(!queue_push(&queue, more));
    cr_assert(!queue_reset(&queue, more));
    cr_assert(queue.count == QUEUE_MAX);
    struct event last = {.due_us = 5, .key = TIMERS_FROM, .item = 0};
    cr_assert(queue_reset(&queue, last));
    for (uint32_t i = 1; i < QUEUE_MAX / 2; i++) cr_assert(queue_take(&queue, 0).item == i);
    for (uint32_t i = 1; i < QUEUE_MAX / 2; i++)
        cr_assert(queue_push(&queue, (struct event){.due_us = 9}));
    cr_assert(queue.count == QUEUE_MAX && !queue_push(&queue, more));
}

/* Goal: an infinite slack is any pending event. Method: times further apart than a slack can say:
 * UINT32_MAX counts all, one less only what is that close; of nothing, nothing is within. */
Test(queue, slack_without_end_means_all) {
    queue_clear(&queue);
    cr_assert(queue_within(&queue, 0) == 0 && queue_within(&queue, UINT32_MAX) == 0);
    const uint64_t last = (uint64_t)UINT32_MAX - 1;
    const uint64_t dues[] = {100, 100 + last, 100 + last + 1, (uint64_t)1 << 50};
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(queue_push(&queue, (struct event){.due_us = dues[i], .key = i}));
    cr_assert(queue_within(&queue, UINT32_MAX) == 4);
    cr_assert(queue_within(&queue, UINT32_MAX - 1) == 2);
    cr_assert(queue_within(&queue, UINT32_MAX - 2) == 1);
    cr_assert(queue_within(&queue, 0) == 1);
}
