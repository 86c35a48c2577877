/* history.h - every log entry that any node ever had, as one tree: an entry's parent is the entry
 * before it. A log is the path from its last entry to the root.
 *
 *     root -- 1/1 -- 2/1 -- 3/1 -- 4/3        index/term
 *                \-- 2/2                      two logs that part after 1/1
 *
 * Two logs agree up to an index if and only if they have the same record there: comparing prefixes
 * costs one comparison, at any length. Records below what every disk has compacted are forgotten;
 * the root never is, for it is the end of every empty log. */
#ifndef HISTORY_H
#define HISTORY_H

#include <assert.h>

#include "node.h"

enum {
    HISTORY_INDEXES_MAX = 65536, /* Between the oldest and the newest record. */
    HISTORY_RECORDS_MAX = 2 * HISTORY_INDEXES_MAX
};

typedef uint32_t history_id; /* 0: none. */
enum { HISTORY_ROOT = 1 };

struct history_record {
    uint64_t index, term;
    uint64_t body;               /* history_body() of the entry. */
    uint64_t members_index;      /* Of the last configuration up to here; 0: the first one. */
    struct node_members members; /* That configuration: a function of the log (6). */
    history_id parent;           /* May be forgotten already, when its index is below `base`. */
    history_id next;             /* Of the same index, or of the free ones. */
};

struct history {
    uint64_t base; /* Records of lower indexes are forgotten. */
    uint64_t top;  /* The highest index that has a record. */
    history_id used, free_first;
    history_id first[HISTORY_INDEXES_MAX]; /* By index modulo HISTORY_INDEXES_MAX. */
    struct history_record records[HISTORY_RECORDS_MAX + 1];
};

/* All that tells an entry from others of its term, in one word. The words after the type are those
 * of a command, or the sets of a configuration. */
static inline uint64_t history_body(const struct node_entry *entry) {
    const uint64_t words[] = {entry->type, entry->command, entry->session, entry->serial};
    uint64_t body = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        body = (body ^ words[i]) * 0x9e3779b97f4a7c15u;
        body ^= body >> 32;
    }
    return body;
}
static_assert(sizeof(struct node_entry) == 5 * sizeof(uint64_t), "history_body() sees all of it");

/* Only the root, of index 0 and term 0, where that configuration is in force. Costs as much as the
 * history was used. */
void history_reset(struct history *h, const struct node_members *first);
/* The record of that entry after `parent`, old or new; 0 when the history is full. With a new
 * record, `rival` tells one of the same index and term with another past or body, or 0: Log
 * Matching forbids it (5.3). REQUIRES: `parent` is not forgotten. */
history_id history_add(struct history *h, history_id parent, const struct node_entry *entry,
                       history_id *rival);
/* Forgets all below `base`, which never falls. REQUIRES: base <= top. */
void history_forget(struct history *h, uint64_t base);
/* The record at `index` on the path from `id` to the root; 0: the path is shorter.
 * REQUIRES: index >= base. */
history_id history_ancestor(const struct history *h, history_id id, uint64_t index);

#endif
