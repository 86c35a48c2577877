/* progress.c - how a leader sends to one peer. */
#include "progress.h"

#include <assert.h>

void raft_progress_reset(struct raft_progress *p, raft_index next) {
    assert(next >= 1);
    *p = (struct raft_progress){.next = next, .flow = RAFT_PROBE};
}

static raft_index under_way(const struct raft_progress *p) { return p->next - 1 - p->match; }

uint32_t raft_progress_room(const struct raft_progress *p, uint32_t window) {
    if (p->flow != RAFT_REPLICATE) return p->is_paused ? 0 : UINT32_MAX;
    return under_way(p) < window ? window - (uint32_t)under_way(p) : 0;
}

void raft_progress_sent(struct raft_progress *p, uint32_t count) {
    if (p->flow == RAFT_REPLICATE) p->next += count;
    else p->is_paused = true;
}

static void probe(struct raft_progress *p, raft_index next) {
    assert(next > p->match);
    p->next = next;
    p->flow = RAFT_PROBE;
    p->is_paused = false;
    p->is_quiet = false;
}

void raft_progress_heartbeat(struct raft_progress *p) {
    p->is_paused = false;
    if (p->flow != RAFT_REPLICATE) return;
    if (p->is_quiet) probe(p, p->match + 1);
    else p->is_quiet = under_way(p) > 0;
}

bool raft_progress_accepted(struct raft_progress *p, raft_index index) {
    if (index < p->match) return false;
    bool is_news = index > p->match;
    p->match = index;
    if (p->next <= index) p->next = index + 1;
    if (is_news) p->is_quiet = false;
    if (p->flow == RAFT_REPLICATE || (p->flow == RAFT_INSTALL && index < p->snapshot))
        return is_news;
    /* Without news it is a copy, or the peer has no room: the next heartbeat asks again. With news,
     * it is known from here on what they share. */
    if (!is_news) return false;
    p->next = index + 1;
    p->flow = RAFT_REPLICATE;
    p->is_paused = false;
    return true;
}

/* Late: what the peer has confirmed since then, or another probe than the one under way. */
bool raft_progress_is_rejected(const struct raft_progress *p, raft_index index) {
    switch ((enum raft_flow)p->flow) {
    case RAFT_PROBE: return index == p->next - 1 && index > p->match;
    case RAFT_REPLICATE: return index < p->next && index > p->match;
    case RAFT_INSTALL: return false;
    }
    assert(false);
    return false;
}

void raft_progress_back_off(struct raft_progress *p, raft_index hint) {
    assert(p->flow != RAFT_INSTALL);
    assert(hint < p->next);
    probe(p, (hint > p->match ? hint : p->match) + 1);
}

void raft_progress_install(struct raft_progress *p, raft_index snapshot) {
    assert(snapshot > p->match);
    p->flow = RAFT_INSTALL;
    p->snapshot = snapshot;
    p->offset = 0;
    p->next = snapshot + 1;
    p->is_paused = false;
}

/* The chunk under way is wanted still: it was lost, or the answer is a copy. A heartbeat tells. */
void raft_progress_wants(struct raft_progress *p, raft_index snapshot, uint64_t offset) {
    if (p->flow != RAFT_INSTALL || p->snapshot != snapshot || p->offset == offset) return;
    p->offset = offset;
    p->is_paused = false;
}
