/* disk.h - the stable storage of one node: what is durable, and what is written but not synced.
 *
 *     durable state <-- sync -- [write 7][write 8][write 9] <-- disk_write()
 *                               a crash keeps the first k of these and loses the others */
#ifndef DISK_H
#define DISK_H

#include "node.h"

enum { DISK_WRITES_MAX = 256 }; /* Pending: more than fill a log. When full, the writer waits. */

/* One atomic write. */
struct disk_write {
    uint64_t sequence;
    uint64_t term; /* If has_vote. */
    bool has_vote, has_snapshot;
    node_id vote;
    uint32_t entry_count;
    uint64_t from; /* The first of `entries`; the log ends after them. 0: the log is unchanged. */
    struct node_snapshot snapshot; /* If has_snapshot: replaces the entries up to its index. */
    struct node_image image;       /* If has_snapshot. */
    struct node_entry entries[NODE_WRITE_MAX];
};

struct disk {
    /* Durable. */
    uint64_t term;
    node_id vote;
    struct node_snapshot snapshot;
    struct node_image image; /* Of the snapshot. */
    uint32_t entry_count;
    struct node_entry entries[NODE_LOG_MAX]; /* From snapshot.index + 1 on. */
    /* Pending: a ring, the oldest at `first`. */
    uint32_t first, pending;
    struct disk_write writes[DISK_WRITES_MAX];
};

/* Empty, as of a node that never ran. */
void disk_clear(struct disk *d);
/* As of a first member of a cluster: a snapshot of index 0, which holds nothing but those voters.
 */
void disk_bootstrap(struct disk *d, node_set voters);
/* A slot for the next write; the caller fills all that it announces. REQUIRES: fewer than
 * DISK_WRITES_MAX are pending. */
struct disk_write *disk_write(struct disk *d);
/* Makes the oldest pending write durable; it stays readable until the next disk_write().
 * REQUIRES: one is pending. */
const struct disk_write *disk_sync(struct disk *d);
/* Forgets the pending writes. */
void disk_lose(struct disk *d);

static inline uint64_t disk_last(const struct disk *d) {
    return d->snapshot.index + d->entry_count;
}

#endif
