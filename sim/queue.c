/* queue.c - the pending events, as a sorted array. */
#include "queue.h"

#include <assert.h>
#include <string.h>

/* Lets the hole at `e` rise over all events that are due before, or at, that time. */
static struct event *rise(struct event *e, uint64_t due_us) {
    assert(due_us <= UINT64_MAX / 2);
    for (; e[-1].due_us <= due_us; e--) *e = e[-1];
    return e;
}

void queue_clear(struct queue *q) {
    q->count = 0;
    q->events[0].due_us = UINT64_MAX;
}

bool queue_push(struct queue *q, struct event event) {
    if (q->count == QUEUE_MAX) return false;
    *rise(q->events + ++q->count, event.due_us) = event;
    return true;
}

uint32_t queue_within(const struct queue *q, uint32_t slack_us) {
    if (slack_us == UINT32_MAX || q->count == 0) return q->count;
    const struct event *first = q->events + q->count, *e = first;
    uint64_t limit = first->due_us + slack_us;
    while (e->due_us <= limit) e--;
    return (uint32_t)(first - e);
}

static struct event take_at(struct queue *q, uint32_t i) {
    assert(i >= 1 && i <= q->count);
    struct event event = q->events[i];
    memmove(q->events + i, q->events + i + 1, (q->count - i) * sizeof event);
    q->count--;
    return event;
}

struct event queue_take(struct queue *q, uint32_t position) {
    assert(position < q->count);
    if (position == 0) return q->events[q->count--];
    return take_at(q, q->count - position);
}

/* Its place in the array, or 0. Timers, which are asked for most, stand in front. */
static uint32_t find(const struct queue *q, uint32_t key) {
    for (uint32_t i = 1; i <= q->count; i++)
        if (q->events[i].key == key) return i;
    return 0;
}

bool queue_remove(struct queue *q, uint32_t key) {
    uint32_t i = find(q, key);
    if (i != 0) take_at(q, i);
    return i != 0;
}

bool queue_reset(struct queue *q, struct event event) {
    uint32_t i = find(q, event.key);
    if (i == 0) return queue_push(q, event);
    struct event *last = q->events + q->count, *e = rise(q->events + i, event.due_us);
    for (; e < last && e[1].due_us > event.due_us; e++) *e = e[1];
    *e = event;
    return true;
}
