/* queue.c - the pending events, as a sorted array. */
#include "queue.h"

#include <assert.h>
#include <string.h>

bool queue_push(struct queue *q, struct event event) {
    if (q->count == QUEUE_MAX) return false;
    struct event *e = q->events;
    uint32_t i = q->count++;
    for (; i > 0 && e[i - 1].due_us <= event.due_us; i--) e[i] = e[i - 1];
    e[i] = event;
    return true;
}

uint32_t queue_within(const struct queue *q, uint32_t slack_us) {
    if (slack_us == UINT32_MAX || q->count == 0) return q->count;
    uint64_t limit = q->events[q->count - 1].due_us + slack_us;
    uint32_t i = q->count;
    while (i > 0 && q->events[i - 1].due_us <= limit) i--;
    return q->count - i;
}

static struct event take_at(struct queue *q, uint32_t i) {
    assert(i < q->count);
    struct event event = q->events[i];
    q->count--;
    memmove(q->events + i, q->events + i + 1, (q->count - i) * sizeof event);
    return event;
}

struct event queue_take(struct queue *q, uint32_t position) {
    assert(position < q->count);
    if (position == 0) return q->events[--q->count];
    return take_at(q, q->count - 1 - position);
}

/* Its place in the array, or `count`. Timers, which are asked for most, stand in front. */
static uint32_t find(const struct queue *q, uint32_t key) {
    uint32_t i = 0;
    while (i < q->count && q->events[i].key != key) i++;
    return i;
}

bool queue_remove(struct queue *q, uint32_t key) {
    uint32_t i = find(q, key);
    if (i == q->count) return false;
    take_at(q, i);
    return true;
}

bool queue_reset(struct queue *q, struct event event) {
    uint32_t i = find(q, event.key);
    if (i == q->count) return queue_push(q, event);
    struct event *e = q->events;
    for (; i > 0 && e[i - 1].due_us <= event.due_us; i--) e[i] = e[i - 1];
    for (; i + 1 < q->count && e[i + 1].due_us > event.due_us; i++) e[i] = e[i + 1];
    e[i] = event;
    return true;
}
