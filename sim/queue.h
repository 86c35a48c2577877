/* queue.h - what will happen, ordered by (due time, sequence).
 *
 * A sorted array, the next event at its end. A cluster has tens of events pending, most of them due
 * soon, so a push moves a handful of them; in exchange nothing stale is ever pending (a timer that
 * is set again is taken out first), and "the events within the slack of the first" are simply the
 * last ones of the array. An event that is pushed goes behind those due at the same time: the
 * sequence is the order of the array and needs no number. */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum { QUEUE_MAX = 4096 };

struct event {
    uint64_t due_us;
    uint32_t key;  /* What it is, to the owner. */
    uint32_t item; /* More of that. */
};

struct queue {
    uint32_t count;
    /* From 1 on. Invariant: due_us never rises; at 0 it is later than any. */
    struct event events[QUEUE_MAX + 1];
};

void queue_clear(struct queue *q);
/* False when the queue is full: nothing is pushed. REQUIRES: due_us is at most
 * UINT64_MAX / 2. */
bool queue_push(struct queue *q, struct event event);
/* How many events are due within `slack_us` of the first, UINT32_MAX meaning all. */
uint32_t queue_within(const struct queue *q, uint32_t slack_us);
/* The event at `position`, 0 being the first due. REQUIRES: position < count. */
static inline struct event queue_at(const struct queue *q, uint32_t position) {
    return q->events[q->count - position];
}
/* The same, taken out. */
struct event queue_take(struct queue *q, uint32_t position);
/* Takes out the event of that key, which is one at most. False where there is none. */
bool queue_remove(struct queue *q, uint32_t key);
/* Moves the event of that key to its new time, or pushes it where there is none. REQUIRES: as for
 * queue_push. */
bool queue_reset(struct queue *q, struct event event);

#endif
