/* test_history.c - the tree of entries against a naive twin that keeps every prefix whole. */
#include "history.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

static struct history history;

/* Commands from here on stand for configurations. */
static const uint64_t CHANGES_FROM = (uint64_t)1 << 32;

static struct node_members members_of(uint64_t command) {
    return (struct node_members){.voters = command - CHANGES_FROM + 1};
}

static struct node_entry entry_of(uint64_t term, uint64_t command) {
    struct node_entry entry = {.term = term, .type = NODE_COMMAND, .command = command};
    if (command < CHANGES_FROM) return entry;
    return (struct node_entry){.term = term, .type = NODE_MEMBERS, .members = members_of(command)};
}

static const struct node_members first_members = {.voters = 14};
static void reset_history(void) { history_reset(&history, &first_members); }

static history_id add_entry(history_id parent, uint64_t term, uint64_t command, history_id *rival) {
    struct node_entry entry = entry_of(term, command);
    return history_add(&history, parent, &entry, rival);
}

/* ---- the naive twin ---- */

enum { PATH_MAX_LENGTH = 48, LIVE_MAX = 400 };

/* A record: all entries from index 1 to its own. */
struct path {
    history_id id;
    uint32_t length;
    struct {
        uint64_t term, command;
    } entries[PATH_MAX_LENGTH];
};

static struct twin {
    uint32_t base, top, count;
    struct path live[LIVE_MAX];
} twin;

static void reset_both(void) {
    reset_history();
    memset(&twin, 0, sizeof twin);
    twin.live[twin.count++].id = HISTORY_ROOT;
}

static bool is_prefix(const struct path *a, const struct path *b, uint32_t length) {
    return memcmp(a->entries, b->entries, length * sizeof a->entries[0]) == 0;
}

/* The live record of the same prefix up to `length`, or NULL. */
static const struct path *twin_find(const struct path *path, uint32_t length) {
    for (uint32_t i = 0; i < twin.count; i++)
        if (twin.live[i].length == length && is_prefix(&twin.live[i], path, length))
            return &twin.live[i];
    return NULL;
}

static const struct path *twin_find_id(history_id id) {
    for (uint32_t i = 0; i < twin.count; i++)
        if (twin.live[i].id == id) return &twin.live[i];
    return NULL;
}

/* Same index, same term, another past or command. */
static bool is_rival(const struct path *a, const struct path *b) {
    if (a->length != b->length || a->length == 0) return false;
    uint32_t last = a->length - 1;
    return a->entries[last].term == b->entries[last].term && !is_prefix(a, b, a->length);
}

static bool has_rival(const struct path *path) {
    for (uint32_t i = 0; i < twin.count; i++)
        if (is_rival(path, &twin.live[i])) return true;
    return false;
}

/* Where the last configuration of the path is; 0: the first one. */
static uint32_t twin_members_index(const struct path *path) {
    uint32_t index = path->length;
    while (index > 0 && path->entries[index - 1].command < CHANGES_FROM) index--;
    return index;
}

static void check_members(const struct history_record *r, const struct path *path) {
    uint32_t index = twin_members_index(path);
    struct node_members members =
        index == 0 ? first_members : members_of(path->entries[index - 1].command);
    cr_assert_eq(r->members_index, index);
    cr_assert_eq(r->members.voters, members.voters);
    cr_assert_eq(r->members.outgoing | r->members.learners, 0);
}

static void twin_forget(uint32_t base) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < twin.count; i++)
        if (twin.live[i].length >= base) twin.live[kept++] = twin.live[i];
    twin.count = kept;
    twin.base = base;
}

/* ---- random operations ---- */

/* Adds an entry to a path that is alive: the same prefix has the same record, another prefix has
 * another one, and the rival is one. */
static void add_both(const struct path *parent, uint64_t term, uint64_t command) {
    struct path path = *parent;
    path.entries[path.length].term = term;
    path.entries[path.length++].command = command;
    const struct path *known = twin_find(&path, path.length);
    history_id rival = 0;
    path.id = add_entry(parent->id, term, command, &rival);
    cr_assert(path.id != 0 && path.id <= HISTORY_RECORDS_MAX);
    const struct history_record *r = &history.records[path.id];
    const struct node_entry entry = entry_of(term, command);
    cr_assert(r->index == path.length && r->term == term && r->body == history_body(&entry));
    check_members(r, &path);
    if (rival != 0) cr_assert(is_rival(&path, twin_find_id(rival)));
    if (known != NULL) {
        cr_assert(path.id == known->id, "%u, known as %u", path.id, known->id);
        return;
    }
    cr_assert(twin_find_id(path.id) == NULL, "%u is alive", path.id);
    cr_assert((rival != 0) == has_rival(&path), "index %u, term %u", path.length, (unsigned)term);
    twin.live[twin.count++] = path;
    if (twin.top < path.length) twin.top = path.length;
}

static void check_ancestors(uint64_t *random) {
    const struct path *path = &twin.live[roll(random, twin.count)];
    for (uint32_t index = twin.base; index <= twin.top + 1; index++) {
        const struct path *expected = index <= path->length ? twin_find(path, index) : NULL;
        history_id id = history_ancestor(&history, path->id, index);
        cr_assert(id == (expected == NULL ? 0 : expected->id), "index %u of %u: %u", index,
                  path->length, id);
    }
}

static void add_any(uint64_t *random) {
    const struct path *parent = &twin.live[roll(random, twin.count)];
    if (twin.count == LIVE_MAX || parent->length == PATH_MAX_LENGTH) return;
    const uint64_t commands[] = {0, 0, 0, 1, 1, 1, CHANGES_FROM, CHANGES_FROM + 1};
    add_both(parent, 1 + roll(random, 3), commands[roll(random, 8)]);
}

static void forget_any(uint64_t *random) {
    uint32_t base = twin.base + roll(random, 3);
    if (base > twin.top) return;
    history_forget(&history, base);
    twin_forget(base);
}

/* Goal: two logs agree up to an index just when they have the same record there, and it tells the
 * configuration that is in force. Method: few terms, commands and configurations, so that paths
 * meet, part and are rivals all the time, on top of any record that is alive; ancestors at all
 * indexes; at times the oldest are forgotten, and all begins anew. */
Test(history, does_as_the_twin) {
    uint64_t random = 1;
    for (uint32_t round = 0; round < 300; round++) {
        reset_both();
        uint32_t forget_odds = 5 + roll(&random, 100);
        for (uint32_t n = 0; n < 1500; n++) {
            add_any(&random);
            if (n % 8 == 0) check_ancestors(&random);
            if (roll(&random, forget_odds) == 0) forget_any(&random);
        }
    }
}

/* ---- single properties ---- */

static history_id add(history_id parent, uint64_t term, uint64_t command) {
    history_id rival;
    return add_entry(parent, term, command, &rival);
}

/* Goal: Log Matching is seen to be broken (5.3). Method: an entry of one index and term with
 * another command, with another past, and good ones beside them. */
Test(history, tells_rivals) {
    reset_history();
    history_id rival, a = add(HISTORY_ROOT, 1, 10), b = add(HISTORY_ROOT, 2, 20);
    history_id c = add_entry(a, 3, 30, &rival);
    cr_assert(rival == 0 && a != b);
    cr_assert(add_entry(a, 3, 31, &rival) != c && rival == c); /* Another command. */
    history_id d = add_entry(b, 3, 30, &rival);                /* Another past. */
    cr_assert(d != c && rival != 0);
    cr_assert(add_entry(b, 4, 30, &rival) != 0 && rival == 0); /* Another term. */
    cr_assert(add_entry(c, 3, 30, &rival) != 0 && rival == 0); /* Another index. */
    cr_assert(add(HISTORY_ROOT, 1, 10) == a && add(a, 3, 30) == c);
}

/* Goal: every word of an entry tells it from others (history_body). Method: all pairs of entries
 * that differ in some of their words by a little, of any type. */
Test(history, body_sees_every_word) {
    enum { COUNT = 4 * 3 * 3 * 3 };
    uint64_t bodies[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        struct node_entry entry = {.type = i % 4};
        entry.command = i / 4 % 3;
        entry.session = i / 12 % 3;
        entry.serial = i / 36;
        bodies[i] = history_body(&entry);
        for (uint32_t j = 0; j < i; j++) cr_assert_neq(bodies[i], bodies[j], "%u and %u", i, j);
    }
    struct node_entry change = {.type = NODE_MEMBERS, .members = {1, 2, 4}}, entry = change;
    for (uint32_t word = 0; word < 3; word++) {
        entry = change;
        node_set *sets[] = {&entry.members.voters, &entry.members.outgoing,
                            &entry.members.learners};
        *sets[word] ^= (node_set)1 << 63;
        cr_assert_neq(history_body(&entry), history_body(&change));
    }
}

/* One path from the root as long as it gets; returns its last record. */
static history_id grow_path(history_id id, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        id = add(id, 1, i);
        cr_assert(id != 0, "entry %u", (unsigned)i);
    }
    return id;
}

/* Goal: the span of indexes is limited, and says so. Method: a path up to the limit; one entry
 * more fits just when one index is forgotten. */
Test(history, full_span_gives_no_record) {
    reset_history();
    history_id last = grow_path(HISTORY_ROOT, HISTORY_INDEXES_MAX - 1);
    for (uint64_t base = 1; base < 100; base++) {
        cr_assert(add(last, 1, 0) == 0);
        cr_assert(history.top - history.base == HISTORY_INDEXES_MAX - 1);
        history_forget(&history, base);
        last = add(last, 1, 0);
        cr_assert(last != 0, "base %u", (unsigned)base);
    }
}

/* Goal: the number of records is limited, and says so. Method: siblings until none is left; old
 * ones are still found and rivals told; what is forgotten is room for as many. */
Test(history, full_records_give_none) {
    reset_history();
    history_id rival, first = add(HISTORY_ROOT, 1, 0);
    enum { SIBLINGS = HISTORY_RECORDS_MAX - 2 }; /* Without the root and `first`. */
    for (uint64_t i = 1; i < SIBLINGS; i++) cr_assert(add(first, i, 7) != 0);
    history_id last = add(first, SIBLINGS, 7);
    cr_assert(last != 0);
    cr_assert(add(first, SIBLINGS + 1, 7) == 0 && add(last, 1, 0) == 0);
    cr_assert(add_entry(first, SIBLINGS, 8, &rival) == 0 && rival == last);
    cr_assert(add(first, SIBLINGS, 7) == last);
    history_forget(&history, 2); /* The root and `first`. */
    history_id a = add(last, 1, 0), b = add(a, 1, 0);
    cr_assert(a == first && b == 0); /* The root is kept. */
    cr_assert(history.records[HISTORY_ROOT].index == 0 && add(HISTORY_ROOT, 1, 0) == 0);
}

/* Goal: a run of any length goes on as long as disks compact. Method: a window of two branches
 * slides over many times the span; it uses no more records than it has, and each can be told. */
Test(history, sliding_window_never_fills) {
    enum { WINDOW = 100 };
    reset_history();
    history_id trail[WINDOW], id = HISTORY_ROOT;
    for (uint64_t i = 1; i <= 10 * HISTORY_INDEXES_MAX; i++) {
        cr_assert(add(id, i + 1, 1) != 0); /* A branch of its own at each index. */
        if (i > WINDOW) history_forget(&history, i - WINDOW);
        id = add(id, 1, i);
        cr_assert(id != 0, "index %u", (unsigned)i);
        uint64_t past = i - i % WINDOW; /* Kept in trail[0]. */
        trail[i % WINDOW] = id;
        if (past > 0) cr_assert(history_ancestor(&history, id, past) == trail[0]);
        cr_assert(history.used <= 2 * WINDOW + 10);
    }
}

/* The ids that a fixed script gets, some of them through free records. */
static uint32_t run_script(history_id *ids) {
    uint64_t random = 7;
    uint32_t count = 0;
    ids[count++] = HISTORY_ROOT;
    while (count < 2000) {
        history_id parent = ids[count - 1 - roll(&random, count < 20 ? count : 20)];
        ids[count] = add(parent, 1 + roll(&random, 3), roll(&random, 2));
        cr_assert(ids[count] != 0);
        count++;
    }
    return count;
}

/* Goal: a run leaves nothing to the next one. Method: after histories of all sizes, of one branch
 * and of many, wrapped around and forgotten, the same script gets the same ids as on new memory. */
Test(history, reset_leaves_it_as_new) {
    static history_id fresh[2000], again[2000];
    reset_history();
    uint32_t count = run_script(fresh);
    for (uint64_t length = 1; length < 3 * HISTORY_INDEXES_MAX; length = length * 3 + 1) {
        for (uint64_t lag = 1; lag < HISTORY_INDEXES_MAX; lag *= 20) {
            reset_history();
            history_id id = HISTORY_ROOT;
            for (uint64_t i = 1; i <= length; i++) {
                add(id, 2, 2);
                id = add(id, 1, i);
                cr_assert(id != 0);
                if (i > lag) history_forget(&history, i - lag);
            }
            reset_history();
            cr_assert(history.base == 0 && history.top == 0 && history.used == HISTORY_ROOT);
            for (uint32_t i = 1; i < HISTORY_INDEXES_MAX; i++) cr_assert(history.first[i] == 0);
            cr_assert(run_script(again) == count);
            cr_assert(memcmp(fresh, again, sizeof fresh) == 0, "length %u", (unsigned)length);
        }
    }
}
