/* bench_heap.h - the yardstick of the benchmark. */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stdint.h>

enum { HEAP_MAX = 4096 };

struct heap_item {
    uint64_t due, sequence, payload;
};

struct heap {
    uint32_t count;
    struct heap_item items[HEAP_MAX];
};

void heap_push(struct heap *h, struct heap_item item); /* REQUIRES: count < HEAP_MAX. */
struct heap_item heap_pop(struct heap *h);             /* REQUIRES: count > 0. */

#endif
