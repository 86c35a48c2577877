/* test_disk.c - stable storage against a naive twin that replays the list of all writes. */
#include "disk.h"

#include <criterion/criterion.h>
#include <string.h>

#include "choice.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

static struct disk disk;

/* ---- the naive twin ---- */

enum { MODEL_INDEX_MAX = 1500, MODEL_WRITES_MAX = 150 };

/* What a list of writes comes to. Entries stand at their index; those up to the snapshot's are
 * not looked at. */
struct model {
    uint64_t term, last;
    node_id vote;
    struct node_snapshot snapshot;
    struct node_image image;
    struct node_entry entries[MODEL_INDEX_MAX];
};

static void model_apply(struct model *m, const struct disk_write *w) {
    if (w->has_vote) {
        m->term = w->term;
        m->vote = w->vote;
    }
    if (w->has_snapshot) {
        m->snapshot = w->snapshot;
        m->image = w->image;
        if (m->last < w->snapshot.index) m->last = w->snapshot.index;
    }
    if (w->from == 0) return;
    for (uint32_t i = 0; i < w->entry_count; i++) m->entries[w->from + i] = w->entries[i];
    m->last = w->from + w->entry_count - 1;
}

static void model_replay(struct model *m, const struct disk_write *writes, uint32_t count) {
    memset(m, 0, sizeof *m);
    for (uint32_t i = 0; i < count; i++) model_apply(m, &writes[i]);
}

static void check_disk(const struct model *m) {
    cr_assert(disk.term == m->term && disk.vote == m->vote);
    cr_assert(disk.snapshot.index == m->snapshot.index);
    cr_assert(disk.snapshot.term == m->snapshot.term && disk.snapshot.state == m->snapshot.state);
    cr_assert(memcmp(&disk.image, &m->image, sizeof disk.image) == 0);
    cr_assert(disk_last(&disk) == m->last, "last %u, expected %u", (unsigned)disk_last(&disk),
              (unsigned)m->last);
    for (uint32_t i = 0; i < disk.entry_count; i++) {
        const struct node_entry *e = &m->entries[disk.snapshot.index + 1 + i];
        cr_assert(memcmp(&disk.entries[i], e, sizeof *e) == 0, "entry %u",
                  (unsigned)disk.snapshot.index + 1 + i);
    }
}

/* ---- writes ---- */

static void fill_slot(const struct disk_write *w) {
    struct disk_write *slot = disk_write(&disk);
    memset(slot, 0xee, sizeof *slot); /* What is not announced must not be looked at. */
    slot->sequence = w->sequence;
    slot->has_vote = w->has_vote;
    slot->has_snapshot = w->has_snapshot;
    slot->from = w->from;
    slot->entry_count = w->entry_count;
    if (w->has_vote) slot->term = w->term;
    if (w->has_vote) slot->vote = w->vote;
    if (w->has_snapshot) slot->snapshot = w->snapshot;
    if (w->has_snapshot) slot->image = w->image;
    for (uint32_t i = 0; i < w->entry_count; i++) slot->entries[i] = w->entries[i];
}

/* A snapshot within the log, or one that is ahead of it and was installed. */
static void add_snapshot(uint64_t *random, const struct model *m, struct disk_write *w) {
    uint64_t length = m->last - m->snapshot.index;
    w->has_snapshot = true;
    w->snapshot.index = m->snapshot.index + roll(random, (uint32_t)length + 1);
    if (roll(random, 4) == 0) w->snapshot.index = m->last + 1 + roll(random, 30);
    w->snapshot.term = random_next(random);
    w->snapshot.state = random_next(random);
    w->image.size = random_next(random);
    w->image.members.voters = random_next(random);
    w->image.extra[NODE_EXTRA_MAX - 1] = random_next(random);
}

/* From anywhere above the snapshot on: mostly near the end, as nodes do. */
static void add_entries(uint64_t *random, const struct model *m, struct disk_write *w) {
    uint64_t base = w->has_snapshot ? w->snapshot.index : m->snapshot.index;
    uint64_t last = m->last > base ? m->last : base;
    uint32_t length = (uint32_t)(last - base), back = roll(random, length < 5 ? length + 1 : 5);
    if (roll(random, 8) == 0) back = roll(random, length + 1);
    w->from = last + 1 - back;
    w->entry_count = roll(random, NODE_WRITE_MAX + 1);
    if (w->from - base - 1 + w->entry_count > NODE_LOG_MAX) w->entry_count = 0;
    for (uint32_t i = 0; i < w->entry_count; i++)
        w->entries[i] = (struct node_entry){.term = random_next(random),
                                            .type = roll(random, 4),
                                            .members = {random_next(random), 0, 1}};
}

/* A write that may follow on what the node holds: `m`, with all pending writes. */
static struct disk_write any_write(uint64_t *random, const struct model *m) {
    static uint64_t sequence;
    struct disk_write w = {.sequence = ++sequence};
    w.has_vote = roll(random, 2) == 0;
    w.term = random_next(random);
    w.vote = (node_id)roll(random, NODE_MAX + 1);
    if (roll(random, 8) == 0) add_snapshot(random, m, &w);
    if (roll(random, 4) != 0) add_entries(random, m, &w);
    return w;
}

/* ---- random operations ---- */

static struct disk_write writes[MODEL_WRITES_MAX];
static uint32_t write_count, durable_count;

static void write_one(uint64_t *random) {
    static struct model memory;
    model_replay(&memory, writes, write_count);
    if (memory.last + NODE_WRITE_MAX + 30 >= MODEL_INDEX_MAX) return;
    writes[write_count] = any_write(random, &memory);
    fill_slot(&writes[write_count++]);
}

static void sync_one(void) {
    const struct disk_write *w = disk_sync(&disk);
    cr_assert(w->sequence == writes[durable_count].sequence);
    durable_count++;
}

/* A crash that keeps some of the pending writes. */
static void crash(uint64_t *random) {
    uint32_t kept = roll(random, disk.pending + 1);
    for (uint32_t i = 0; i < kept; i++) sync_one();
    disk_lose(&disk);
    write_count = durable_count;
}

/* Goal: a disk holds what was synced, whatever was written, synced or lost before. Method: random
 * votes, entries (behind, within and rewriting the log) and snapshots, syncs and crashes; after
 * each one the twin replays the list of writes that are durable. */
Test(disk, does_as_the_twin) {
    static struct model model;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t random = seed;
        uint32_t burst = 2 + roll(&random, 6);
        disk_clear(&disk);
        write_count = durable_count = 0;
        while (write_count < MODEL_WRITES_MAX) {
            uint32_t kind = roll(&random, 2 * burst);
            if (kind == 0) crash(&random);
            else if (kind < burst && disk.pending > 0) sync_one();
            else if (disk.pending < DISK_WRITES_MAX) write_one(&random);
            cr_assert(disk.pending == write_count - durable_count);
            model_replay(&model, writes, durable_count);
            check_disk(&model);
            if (model.last + 100 >= MODEL_INDEX_MAX) break;
        }
    }
}

/* ---- single properties ---- */

static void write_vote(uint64_t sequence) {
    struct disk_write w = {.sequence = sequence, .has_vote = true, .term = sequence, .vote = 1};
    fill_slot(&w);
}

/* Entries of index `from` on, with the command 100 * term + index. */
static void write_log(uint64_t from, uint32_t count, uint64_t term) {
    struct disk_write w = {.from = from, .entry_count = count};
    for (uint32_t i = 0; i < count; i++)
        w.entries[i] = (struct node_entry){.term = term, .command = 100 * term + from + i};
    fill_slot(&w);
}

static void write_snapshot(uint64_t index, uint64_t from) {
    struct disk_write w = {.has_snapshot = true, .from = from};
    w.snapshot = (struct node_snapshot){.index = index, .term = 9, .state = 1000 + index};
    fill_slot(&w);
}

static void sync_all(void) {
    while (disk.pending > 0) disk_sync(&disk);
}

/* Goal: writes become durable one by one, in order. Method: fill the ring from each of its places;
 * each sync changes the disk by the oldest write, which stays readable. */
Test(disk, sync_makes_just_the_oldest_durable) {
    for (uint32_t offset = 0; offset < DISK_WRITES_MAX; offset++) {
        disk_clear(&disk);
        for (uint32_t i = 0; i <= offset; i++) write_vote(i + 1);
        for (uint32_t i = 0; i < offset; i++) disk_sync(&disk);
        uint64_t first = offset + 1, next = offset + 2;
        while (disk.pending < DISK_WRITES_MAX) write_vote(next++);
        for (uint64_t sequence = first; sequence < next; sequence++) {
            cr_assert(disk.term == sequence - 1, "offset %u", offset);
            cr_assert(disk_sync(&disk)->sequence == sequence, "offset %u", offset);
            cr_assert(disk.term == sequence && disk.pending == next - 1 - sequence);
        }
    }
}

/* Goal: a crash loses what is not synced and nothing else. Method: sync each number of a full ring,
 * lose the others: the disk is as of the last one synced, and the next write follows on that. */
Test(disk, lose_keeps_what_was_synced) {
    for (uint32_t kept = 0; kept <= DISK_WRITES_MAX; kept++) {
        disk_clear(&disk);
        for (uint32_t i = 0; i < DISK_WRITES_MAX; i++) write_vote(i + 1);
        for (uint32_t i = 0; i < kept; i++) disk_sync(&disk);
        disk_lose(&disk);
        cr_assert(disk.pending == 0 && disk.term == kept, "kept %u", kept);
        write_vote(77);
        cr_assert(disk_sync(&disk)->sequence == 77 && disk.pending == 0, "kept %u", kept);
    }
}

/* Goal: a snapshot replaces the entries that it covers, no others (7). Method: one at each index of
 * a log and beyond its end. */
Test(disk, snapshot_drops_the_prefix) {
    enum { LAST = 10 };
    for (uint64_t index = 0; index <= LAST + 3; index++) {
        disk_clear(&disk);
        write_log(1, LAST, 1);
        write_snapshot(index, 0);
        sync_all();
        uint32_t left = index < LAST ? (uint32_t)(LAST - index) : 0;
        cr_assert(disk.entry_count == left && disk.snapshot.index == index);
        cr_assert(disk.snapshot.state == 1000 + index && disk.snapshot.term == 9);
        for (uint32_t i = 0; i < left; i++)
            cr_assert(disk.entries[i].command == 100 + index + 1 + i, "snapshot %u, entry %u",
                      (unsigned)index, i);
    }
}

/* Goal: an installed snapshot replaces the whole log, also a longer one that conflicts (7). Method:
 * the write that announces the log to end at the snapshot. */
Test(disk, installed_snapshot_replaces_the_log) {
    for (uint64_t index = 1; index <= 20; index++) {
        disk_clear(&disk);
        write_log(1, 10, 1);
        write_snapshot(index, index + 1);
        sync_all();
        cr_assert(disk.entry_count == 0 && disk_last(&disk) == index, "%u", (unsigned)index);
        write_log(index + 1, 2, 3);
        sync_all();
        cr_assert(disk_last(&disk) == index + 2 && disk.entries[0].term == 3);
    }
}

/* Goal: a conflicting suffix is replaced by what is written, however short (5.3). Method: each
 * place of a log, each length of a rewrite, above each snapshot. */
Test(disk, rewrite_truncates) {
    enum { LAST = 12 };
    for (uint64_t base = 0; base < LAST; base++)
        for (uint64_t from = base + 1; from <= LAST + 1; from++)
            for (uint32_t count = 0; count <= 3; count++) {
                disk_clear(&disk);
                write_log(1, LAST, 1);
                write_snapshot(base, 0);
                write_log(from, count, 2);
                sync_all();
                cr_assert(disk_last(&disk) == from + count - 1);
                for (uint64_t i = base + 1; i < from + count; i++) {
                    const struct node_entry *e = &disk.entries[i - base - 1];
                    uint64_t term = i < from ? 1 : 2;
                    cr_assert(e->term == term && e->command == 100 * term + i);
                }
            }
}

/* Goal: a log of the greatest length fits. Method: fill it entry batch by entry batch, compact all
 * but one, fill it again. */
Test(disk, holds_the_longest_log) {
    disk_clear(&disk);
    for (uint64_t base = 0, round = 0; round < 3; base += NODE_LOG_MAX - 1, round++) {
        for (uint64_t i = disk_last(&disk) + 1; i <= base + NODE_LOG_MAX; i++) {
            write_log(i, 1, 1);
            sync_all();
        }
        cr_assert(disk.entry_count == NODE_LOG_MAX);
        for (uint32_t i = 0; i < NODE_LOG_MAX; i++)
            cr_assert(disk.entries[i].command == 100 + base + 1 + i);
        write_snapshot(base + NODE_LOG_MAX - 1, 0);
        sync_all();
        cr_assert(disk.entry_count == 1);
    }
}

/* Goal: a node that never ran finds nothing but, if it is a first member, who the others are.
 * Method: clear or bootstrap a disk in use. */
Test(disk, clear_leaves_it_as_new) {
    for (node_set voters = 0; voters <= 14; voters += 14) {
        write_vote(5);
        write_log(1, 9, 1);
        write_snapshot(4, 0);
        sync_all();
        write_vote(6);
        if (voters == 0) disk_clear(&disk);
        else disk_bootstrap(&disk, voters);
        cr_assert(disk.term == 0 && disk.vote == 0 && disk.pending == 0 && disk.entry_count == 0);
        cr_assert(disk.snapshot.index == 0 && disk.snapshot.term == 0 && disk.snapshot.state == 0);
        struct node_image image = {.members.voters = voters};
        cr_assert(memcmp(&disk.image, &image, sizeof image) == 0);
        write_vote(1);
        cr_assert(disk_sync(&disk)->sequence == 1);
    }
}
