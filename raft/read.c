/* read.c - reads that do not go through the log (8, D 6.4).
 *
 *     leader:   commit index noted -- round begins --> answered by a quorum: nobody else had been
 *               elected when it began, so nothing newer had been committed --> served
 *     follower: asks the leader for that index, waits until it has applied so far --> served
 *
 * Reads that come while a round is under way wait for the next: one round serves all of them. */
#include <assert.h>

#include "quorum.h"
#include "state.h"

static void end(struct raft_effects *out, struct raft_read read) {
    assert(out->read_count < sizeof out->reads / sizeof out->reads[0]);
    out->reads[out->read_count++] = read;
}

static void forget(struct raft *r, uint8_t count) {
    assert(count <= r->read_count);
    r->read_count = (uint8_t)(r->read_count - count);
    for (uint8_t i = 0; i < r->read_count; i++) r->reads[i] = r->reads[i + count];
}

/* False: too many wait. A leader's reads end with the next round; those of a follower, of which a
 * message may be lost, make room. */
static bool wait_for(struct raft *r, uint64_t handle, raft_id source, struct raft_effects *out) {
    bool is_full = r->read_count == RAFT_READS_MAX;
    if (is_full && r->role == RAFT_LEADER) return false;
    if (is_full) {
        end(out, (struct raft_read){.handle = r->reads[0].handle});
        forget(r, 1);
    }
    r->reads[r->read_count].handle = handle;
    r->reads[r->read_count].index = 0;
    r->reads[r->read_count].source = source;
    r->read_count++;
    return true;
}

static void reply(struct raft *r, raft_id target, uint64_t handle, bool accepted, raft_index index,
                  struct raft_effects *out) {
    struct raft_message *m = raft_send(r, RAFT_READ_REPLY, target, r->vote_write, out);
    m->accepted = accepted;
    m->index = index;
    m->tag = handle;
}

/* The lease of the last round lasts: until then, those who answered it vote for nobody (D 6.4.1).
 */
static bool has_lease(const struct raft *r) {
    if (r->config.lease_us == 0 || r->is_lease_lost || r->round_done == 0) return false;
    if (!raft_log_is_ready(r) || r->now_us < r->lease_from_us) return false;
    return r->now_us - r->lease_from_us < r->config.lease_us;
}

void raft_read_begin(struct raft *r, uint64_t handle, struct raft_effects *out) {
    out->leader = r->leader;
    struct raft_read read = {.handle = handle, .index = r->commit};
    if (r->role == RAFT_LEADER && has_lease(r)) {
        read.is_served = read.is_lease = true;
        end(out, read);
        return;
    }
    if (r->leader == 0 || !wait_for(r, handle, r->config.self, out)) {
        end(out, read);
        return;
    }
    if (r->role == RAFT_LEADER) return; /* raft_read_lead() goes on. */
    raft_send(r, RAFT_READ_REQUEST, r->leader, r->vote_write, out)->tag = handle;
}

void raft_receive_read_request(struct raft *r, const struct raft_message *m,
                               struct raft_effects *out) {
    if (m->term != r->term || r->role != RAFT_LEADER) return; /* It takes another for the leader. */
    if (has_lease(r)) reply(r, m->source, m->tag, true, r->commit, out);
    else if (!wait_for(r, m->tag, m->source, out)) reply(r, m->source, m->tag, false, 0, out);
}

void raft_receive_read_reply(struct raft *r, const struct raft_message *m,
                             struct raft_effects *out) {
    if (m->term != r->term || r->role != RAFT_FOLLOWER) return;
    for (uint8_t i = 0; i < r->read_count; i++) {
        if (r->reads[i].handle != m->tag || r->reads[i].index != 0) continue;
        if (m->accepted) {
            r->reads[i].index = m->index;
            return;
        }
        end(out, (struct raft_read){.handle = m->tag});
        r->reads[i] = r->reads[--r->read_count];
        return;
    }
}

void raft_read_round(struct raft *r) {
    assert(r->role == RAFT_LEADER);
    r->round++;
    r->round_us = r->now_us;
    r->answered = raft_set_of(r->config.self);
    r->due = raft_replicate_peers(r);
    r->reads_sent = raft_log_is_ready(r) ? r->read_count : 0;
    r->reads_index = r->commit;
}

static void serve(struct raft *r, struct raft_effects *out) {
    for (uint8_t i = 0; i < r->reads_sent; i++) {
        struct raft_read read = {
            .handle = r->reads[i].handle, .index = r->reads_index, .is_served = true};
        if (r->reads[i].source == r->config.self) end(out, read);
        else reply(r, r->reads[i].source, read.handle, true, read.index, out);
    }
    forget(r, r->reads_sent);
    r->reads_sent = 0;
}

static void finish_round(struct raft *r, struct raft_effects *out) {
    if (r->round_done == r->round || !raft_quorum(&r->members, r->answered)) return;
    r->round_done = r->round;
    r->lease_from_us = r->round_us;
    serve(r, out);
}

/* "If the leader has not yet marked an entry from its current term committed, it waits until it has
 * done so" (D 6.4): before, its commit index may be behind. */
void raft_read_lead(struct raft *r, struct raft_effects *out) {
    finish_round(r, out);
    if (r->read_count == 0 || r->round_done != r->round || !raft_log_is_ready(r)) return;
    raft_read_round(r);
    finish_round(r, out);
}

void raft_read_follow(struct raft *r, struct raft_effects *out) {
    uint8_t kept = 0;
    for (uint8_t i = 0; i < r->read_count; i++) {
        bool is_served = r->reads[i].index != 0 && r->reads[i].index <= r->commit;
        struct raft_read read = {r->reads[i].handle, r->reads[i].index, is_served, false};
        if (is_served) end(out, read);
        else r->reads[kept++] = r->reads[i];
    }
    r->read_count = kept;
}

/* Followers whose reads wait here give up by themselves: the leader that they asked is gone. */
void raft_read_refuse(struct raft *r, struct raft_effects *out) {
    for (uint8_t i = 0; i < r->read_count; i++)
        if (r->reads[i].source == r->config.self)
            end(out, (struct raft_read){.handle = r->reads[i].handle});
    r->read_count = 0;
    r->reads_sent = 0;
}
