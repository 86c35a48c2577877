/* log.c - the log above the snapshot.
 *
 *     snapshot.index                commit        saved           last
 *     ------|---------------------------|-------------|---------------|
 *      gone | log[0] ...                                              |
 *           | log_write[0] <= ...     <= durable      |  > durable    |
 *
 * Each entry remembers the write that holds it, and is durable when that write is: not when the
 * disk once held an entry of that index and term.
 *   1. Entry 6 of term 2 is written (write 1). A leader of term 4 overwrites it (write 2). A leader
 *      of term 5, which has the old entry, writes 6 of term 2 once more (write 3).
 *   2. Write 1 is reported. The disk holds what the log holds, index and term, but write 2 is about
 *      to take it off again.
 *   3. log_write of entry 6 is 3, so it does not count before write 3 is reported. */
#include <assert.h>
#include <string.h>

#include "members.h"
#include "session.h"
#include "state.h"

static uint32_t slot(const struct raft *r, raft_index index) {
    raft_index i = index - r->snapshot.index - 1; /* Below the log it wraps around. */
    assert(i < RAFT_LOG_MAX);
    return (uint32_t)i;
}

const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index) {
    assert(index <= r->last);
    return &r->log[slot(r, index)];
}

raft_term raft_log_term(const struct raft *r, raft_index index) {
    if (index == r->snapshot.index) return r->snapshot.term;
    return raft_entry_at(r, index)->term;
}

bool raft_log_matches(const struct raft *r, raft_index index, raft_term term) {
    if (index < r->snapshot.index || index > r->last) return false;
    return raft_log_term(r, index) == term;
}

bool raft_log_full(const struct raft *r) { return r->last - r->snapshot.index == RAFT_LOG_MAX; }

/* Nor does a leader fill the log with what is committed: after a restart nobody would know that it
 * is, and there would be no room for the no-op that tells. */
bool raft_log_is_tail_full(const struct raft *r) {
    enum { CLIENTS_MAX = RAFT_LOG_MAX - RAFT_LOG_MAX / 4 };
    return r->last - r->snapshot.index >= CLIENTS_MAX || r->last - r->commit >= RAFT_TAIL_MAX;
}

bool raft_log_is_ready(const struct raft *r) { return raft_log_term(r, r->commit) == r->term; }

enum raft_verdict raft_verdict_at(const struct raft *r, raft_index index) {
    assert(index <= r->commit);
    return (enum raft_verdict)r->log_verdict[slot(r, index)];
}

raft_index raft_log_match_hint(const struct raft *r, raft_index floor, raft_index index,
                               raft_term term) {
    assert(floor >= r->snapshot.index);
    assert(index <= r->last);
    while (index > floor && raft_log_term(r, index) > term) index--;
    return index;
}

void raft_log_put(struct raft *r, const struct raft_entry *entry, raft_index index,
                  struct raft_effects *out) {
    assert(index > r->commit); /* What is committed is never rewritten. */
    assert(index <= r->last + 1);
    if (index <= r->last) assert(r->role != RAFT_LEADER); /* Leader Append-Only (5.3). */
    if (index <= r->members_index) raft_members_restore(r, index - 1);
    uint32_t i = slot(r, index);
    r->log[i] = *entry;
    r->log_write[i] = raft_write_open(r, out);
    r->last = index;
    if (r->saved >= index) r->saved = index - 1;
    if (out->save_from == 0 || out->save_from > index) out->save_from = index;
    if (entry->type == RAFT_MEMBERS) raft_members_adopt(r, &entry->members, index);
    r->open = ~(raft_set)0;
}

void raft_log_commit(struct raft *r, raft_index index) {
    assert(index > r->commit);
    for (raft_index i = r->commit + 1; i <= index; i++)
        r->log_verdict[slot(r, i)] =
            (uint8_t)raft_session_apply(r->sessions, raft_entry_at(r, i), i);
    r->commit = index;
}

static void save_snapshot(struct raft *r, const struct raft_snapshot *snapshot,
                          struct raft_effects *out) {
    r->snapshot = *snapshot;
    r->snapshot_write = raft_write_open(r, out);
    out->save_snapshot = true;
}

void raft_log_compact(struct raft *r, const struct raft_snapshot *snapshot,
                      struct raft_effects *out) {
    assert(snapshot->index <= r->saved && snapshot->index <= r->commit);
    r->open = ~(raft_set)0; /* Peers may need the snapshot now. */
    uint32_t from = slot(r, snapshot->index) + 1;
    raft_index kept = r->last - snapshot->index;
    memmove(r->log, r->log + from, kept * sizeof r->log[0]);
    memmove(r->log_write, r->log_write + from, kept * sizeof r->log_write[0]);
    memmove(r->log_verdict, r->log_verdict + from, kept * sizeof r->log_verdict[0]);
    save_snapshot(r, snapshot, out);
}

void raft_log_install(struct raft *r, const struct raft_snapshot *snapshot,
                      struct raft_effects *out) {
    assert(snapshot->index > r->commit);
    r->last = snapshot->index;
    r->saved = snapshot->index;
    r->commit = snapshot->index;
    memcpy(r->sessions, snapshot->sessions, sizeof r->sessions);
    save_snapshot(r, snapshot, out);
    out->save_from = snapshot->index + 1;
    raft_members_restore(r, r->last);
}

raft_write raft_log_write(const struct raft *r, raft_index index) {
    if (index <= r->snapshot.index) return r->snapshot_write;
    return r->log_write[slot(r, index)];
}

void raft_log_saved(struct raft *r) {
    while (r->saved < r->last && raft_log_write(r, r->saved + 1) <= r->durable) r->saved++;
}
