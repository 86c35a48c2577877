/* disk.c - stable storage: writes become durable one by one, in order. */
#include "disk.h"

#include <assert.h>
#include <string.h>

void disk_clear(struct disk *d) {
    d->term = 0;
    d->vote = 0;
    d->snapshot = (struct node_snapshot){0};
    d->image = (struct node_image){0};
    d->entry_count = 0;
    d->first = 0;
    d->pending = 0;
}

void disk_bootstrap(struct disk *d, node_set voters) {
    disk_clear(d);
    d->image.members.voters = voters;
}

struct disk_write *disk_write(struct disk *d) {
    assert(d->pending < DISK_WRITES_MAX);
    if (d->pending == 0) d->first = 0; /* The slots used last are the warm ones. */
    return &d->writes[(d->first + d->pending++) % DISK_WRITES_MAX];
}

static void store_snapshot(struct disk *d, const struct disk_write *w) {
    const struct node_snapshot *snapshot = &w->snapshot;
    assert(snapshot->index >= d->snapshot.index);
    uint64_t dropped = snapshot->index - d->snapshot.index;
    if (dropped > d->entry_count) dropped = d->entry_count;
    d->entry_count -= (uint32_t)dropped;
    memmove(d->entries, d->entries + dropped, d->entry_count * sizeof d->entries[0]);
    d->snapshot = *snapshot;
    d->image = w->image;
}

static void store_entries(struct disk *d, const struct disk_write *w) {
    assert(w->from > d->snapshot.index);
    uint64_t at = w->from - d->snapshot.index - 1;
    assert(at <= d->entry_count); /* A log has no holes. */
    assert(at + w->entry_count <= NODE_LOG_MAX);
    memcpy(d->entries + at, w->entries, w->entry_count * sizeof d->entries[0]);
    d->entry_count = (uint32_t)at + w->entry_count;
}

const struct disk_write *disk_sync(struct disk *d) {
    assert(d->pending > 0);
    const struct disk_write *w = &d->writes[d->first];
    d->first = (d->first + 1) % DISK_WRITES_MAX;
    d->pending--;
    if (w->has_vote) {
        d->term = w->term;
        d->vote = w->vote;
    }
    if (w->has_snapshot) store_snapshot(d, w);
    if (w->from != 0) store_entries(d, w);
    return w;
}

void disk_lose(struct disk *d) { d->pending = 0; }
