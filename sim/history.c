/* history.c - the tree of all log entries. */
#include "history.h"

#include <assert.h>
#include <string.h>

static history_id *bucket(struct history *h, uint64_t index) {
    return &h->first[index % HISTORY_INDEXES_MAX];
}

void history_reset(struct history *h, const struct node_members *first) {
    uint64_t count = h->top - h->base + 1;
    if (count > HISTORY_INDEXES_MAX) count = HISTORY_INDEXES_MAX;
    for (uint64_t i = 0; i < count; i++) *bucket(h, h->base + i) = 0;
    h->base = 0;
    h->top = 0;
    h->free_first = 0;
    h->used = HISTORY_ROOT;
    h->records[HISTORY_ROOT] = (struct history_record){.members = *first};
    *bucket(h, 0) = HISTORY_ROOT;
}

static history_id new_record(struct history *h) {
    history_id id = h->free_first;
    if (id != 0) {
        h->free_first = h->records[id].next;
        return id;
    }
    return h->used < HISTORY_RECORDS_MAX ? ++h->used : 0;
}

static struct history_record make_record(const struct history *h, history_id parent,
                                         const struct node_entry *entry) {
    const struct history_record *p = &h->records[parent];
    bool is_change = entry->type == NODE_MEMBERS;
    return (struct history_record){
        .index = p->index + 1,
        .term = entry->term,
        .body = history_body(entry),
        .members_index = is_change ? p->index + 1 : p->members_index,
        .members = is_change ? entry->members : p->members,
        .parent = parent,
    };
}

history_id history_add(struct history *h, history_id parent, const struct node_entry *entry,
                       history_id *rival) {
    uint64_t index = h->records[parent].index + 1, body = history_body(entry);
    *rival = 0;
    if (index < h->base || index - h->base >= HISTORY_INDEXES_MAX) return 0;
    history_id *first = bucket(h, index);
    for (history_id id = *first; id != 0; id = h->records[id].next) {
        const struct history_record *r = &h->records[id];
        assert(r->index == index);
        if (r->term != entry->term) continue;
        if (r->parent == parent && r->body == body) return id;
        *rival = id;
    }
    history_id id = new_record(h);
    if (id == 0) return 0;
    h->records[id] = make_record(h, parent, entry);
    h->records[id].next = *first;
    *first = id;
    if (h->top < index) h->top = index;
    return id;
}

static void forget_index(struct history *h, uint64_t index) {
    history_id *first = bucket(h, index);
    while (*first != 0) {
        history_id id = *first;
        *first = h->records[id].next;
        if (id == HISTORY_ROOT) continue;
        h->records[id].next = h->free_first;
        h->free_first = id;
    }
}

void history_forget(struct history *h, uint64_t base) {
    assert(base >= h->base);
    assert(base <= h->top);
    while (h->base < base) forget_index(h, h->base++);
}

history_id history_ancestor(const struct history *h, history_id id, uint64_t index) {
    assert(index >= h->base);
    if (h->records[id].index < index) return 0;
    while (h->records[id].index > index) id = h->records[id].parent;
    assert(h->records[id].index == index);
    return id;
}
