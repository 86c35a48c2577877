/* bench_heap.c - the yardstick of the benchmark: a plain binary heap of (due, sequence). Frozen: it
 * shares no code with the engine and is not to be improved, so that ratios to it mean the same for
 * ever. */
#include "bench_heap.h"

static int is_before(const struct heap_item *a, const struct heap_item *b) {
    if (a->due != b->due) return a->due < b->due;
    return a->sequence < b->sequence;
}

void heap_push(struct heap *h, struct heap_item item) {
    uint32_t i = h->count++;
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (!is_before(&item, &h->items[parent])) break;
        h->items[i] = h->items[parent];
        i = parent;
    }
    h->items[i] = item;
}

struct heap_item heap_pop(struct heap *h) {
    struct heap_item top = h->items[0];
    struct heap_item last = h->items[--h->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && is_before(&h->items[child + 1], &h->items[child])) child++;
        if (!is_before(&h->items[child], &last)) break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = last;
    return top;
}
