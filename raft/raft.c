/* raft.c - dispatches events, and what all parts of the core do: roles, writes, messages. */
#include "raft.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "members.h"
#include "state.h"

enum { MESSAGE_HEAD = offsetof(struct raft_message, entries) };

static_assert(sizeof(struct raft_entry) == 40, "an entry has no padding");
static_assert((int)MESSAGE_HEAD == 56, "a message has no padding");
static_assert(RAFT_TAIL_MAX >= 2, "a leader needs room for its no-op and a command");

/* No counter gets here by counting; a message that says more would make one wrap around. */
static const uint64_t NUMBER_MAX = UINT64_MAX / 2;

static void effects_begin(struct raft_effects *out) {
    out->save_chunk = false;
    out->write = 0;
    out->save_vote = false;
    out->save_snapshot = false;
    out->save_from = 0;
    out->message_count = 0;
    out->timer = RAFT_TIMER_KEEP;
    out->apply_snapshot = false;
    out->apply_from = 0;
    out->apply_to = 0;
    out->answer_from = 0;
    out->read_count = 0;
    out->refusal = RAFT_ACCEPTED;
    out->leader = 0;
    out->lost_peer = 0;
}

raft_write raft_write_open(struct raft *r, struct raft_effects *out) {
    if (out->write == 0) {
        r->written++;
        out->write = r->written;
    }
    assert(out->write == r->written);
    return out->write;
}

void raft_save_vote(struct raft *r, struct raft_effects *out) {
    r->vote_write = raft_write_open(r, out);
    out->save_vote = true;
}

/* "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
 * follower" (figure 2). In the same term, a candidate gives way to the leader and keeps its vote,
 * and a leader steps down of its own accord. */
void raft_become_follower(struct raft *r, raft_term term, struct raft_effects *out) {
    assert(term >= r->term);
    if (term > r->term || r->role == RAFT_LEADER) {
        raft_read_refuse(r, out);
        r->leader = 0;
    }
    if (r->role == RAFT_LEADER) {
        r->has_live_leader = false;
        r->transfer = 0;
        r->due = 0;
        r->open = 0;
        out->timer = RAFT_TIMER_ELECTION;
    }
    r->role = RAFT_FOLLOWER;
    if (term == r->term) return;
    r->term = term;
    r->vote = 0;
    raft_save_vote(r, out);
}

void raft_commit_to(struct raft *r, raft_index index, struct raft_effects *out) {
    assert(index <= r->last);
    if (index <= r->commit) return;
    out->apply_from = r->commit + 1;
    out->apply_to = index;
    raft_log_commit(r, index);
}

struct raft_message *raft_send(struct raft *r, enum raft_message_type type, raft_id target,
                               raft_write after, struct raft_effects *out) {
    assert(out->message_count < RAFT_MESSAGES_MAX);
    assert(target != r->config.self);
    struct raft_outgoing *o = &out->messages[out->message_count++];
    o->after = after > r->durable ? after : 0;
    struct raft_message *m = &o->message;
    m->type = (uint8_t)type;
    m->source = r->config.self;
    m->target = target;
    m->accepted = false;
    m->entry_count = 0;
    m->transfer = false;
    memset(m->reserved, 0, sizeof m->reserved);
    m->term = r->term;
    m->index = 0;
    m->index_term = 0;
    m->commit = 0;
    m->hint = 0;
    m->tag = 0;
    return m;
}

uint32_t raft_message_size(const struct raft_message *m) {
    assert(m->entry_count <= RAFT_BATCH_MAX);
    if (m->type == RAFT_CHUNK) return MESSAGE_HEAD + (uint32_t)sizeof m->chunk;
    return MESSAGE_HEAD + m->entry_count * (uint32_t)sizeof m->entries[0];
}

/* A message that no correct node sends. One of an older term is not wrong, only late; one of a node
 * outside the configuration is not, either: what adds it may not have come yet. */
static bool message_is_wrong(const struct raft *r, const struct raft_message *m) {
    if (m->source == 0 || m->source > RAFT_NODES_MAX || m->source == r->config.self) return true;
    if (m->target != r->config.self || m->entry_count > RAFT_BATCH_MAX) return true;
    if (m->entry_count > 0 && m->type != RAFT_APPEND) return true;
    if (m->term > NUMBER_MAX || m->index > NUMBER_MAX) return true;
    return m->term == 0 && m->type != RAFT_PREVOTE && m->type != RAFT_PREVOTE_REPLY;
}

static void receive(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (message_is_wrong(r, m)) return;
    switch ((enum raft_message_type)m->type) {
    case RAFT_PREVOTE: raft_receive_prevote(r, m, out); return;
    case RAFT_PREVOTE_REPLY: raft_receive_prevote_reply(r, m, out); return;
    case RAFT_VOTE: raft_receive_vote(r, m, out); return;
    case RAFT_VOTE_REPLY: raft_receive_vote_reply(r, m, out); return;
    case RAFT_APPEND: raft_receive_append(r, m, out); return;
    case RAFT_CHUNK: raft_receive_chunk(r, m, out); return;
    case RAFT_APPEND_REPLY:
    case RAFT_CHUNK_REPLY: raft_receive_append_reply(r, m, out); return;
    case RAFT_TIMEOUT_NOW: raft_receive_timeout_now(r, m, out); return;
    case RAFT_READ_REQUEST: raft_receive_read_request(r, m, out); return;
    case RAFT_READ_REPLY: raft_receive_read_reply(r, m, out); return;
    }
}

static void timeout(struct raft *r, struct raft_effects *out) {
    if (r->role == RAFT_LEADER) raft_replicate_heartbeat(r, out);
    else raft_election_timeout(r, out);
}

static enum raft_refusal propose_refusal(const struct raft *r) {
    if (r->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (r->transfer != 0) return RAFT_TRANSFERRING;
    return raft_log_is_tail_full(r) ? RAFT_LOG_FULL : RAFT_ACCEPTED;
}

static void propose(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    assert(event->u.propose.type == RAFT_COMMAND || event->u.propose.type == RAFT_SESSION);
    out->leader = r->leader;
    out->refusal = propose_refusal(r);
    if (out->refusal != RAFT_ACCEPTED) return;
    struct raft_entry entry = {.term = r->term, .type = event->u.propose.type};
    entry.command = event->u.propose.command;
    if (entry.type == RAFT_COMMAND) {
        entry.session = event->u.propose.session;
        entry.serial = event->u.propose.serial;
    }
    raft_log_put(r, &entry, r->last + 1, out);
}

/* Only now does the node count itself: its own vote, its own copy of an entry. Before, a crash
 * could take back what others rely on. */
static void saved(struct raft *r, raft_write write, struct raft_effects *out) {
    assert(write <= r->written);
    if (write <= r->durable) return;
    r->durable = write;
    raft_log_saved(r);
    if (r->role == RAFT_CANDIDATE && r->vote_write <= r->durable)
        raft_election_count(r, r->config.self, out);
    else r->is_news = true;
}

static void dispatch(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    switch (event->type) {
    case RAFT_RECEIVE: receive(r, event->u.message, out); return;
    case RAFT_TIMEOUT: timeout(r, out); return;
    case RAFT_PROPOSE: propose(r, event, out); return;
    case RAFT_READ: raft_read_begin(r, event->u.read, out); return;
    case RAFT_CHANGE: raft_members_change(r, event, out); return;
    case RAFT_TRANSFER: raft_transfer_begin(r, event->u.target, out); return;
    case RAFT_SAVED: saved(r, event->u.saved, out); return;
    case RAFT_COMPACT: raft_snapshot_take(r, event, out); return;
    }
    assert(false);
}

void raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    raft_index commit = r->commit;
    raft_term term = r->term;
    r->now_us = event->now_us;
    effects_begin(out);
    dispatch(r, event, out);
    if (r->role == RAFT_LEADER) raft_replicate_finish(r, out);
    else if (r->read_count > 0) raft_read_follow(r, out);
    assert(r->term >= term);
    assert(r->commit >= commit);
    assert(r->commit <= r->last);
    assert(r->snapshot.index <= r->commit);
}

static bool config_is_valid(const struct raft_config *c) {
    if (c->self < 1 || c->self > RAFT_NODES_MAX) return false;
    if (c->batch_max < 1 || c->batch_max > RAFT_BATCH_MAX) return false;
    if (c->lease_us > 0 && !c->check_quorum) return false;
    return c->patience >= 1 && c->window >= 1 && c->chunk_max >= 1;
}

/* A node may have promised its loyalty to a leader, whose lease still lasts, and forgotten it. */
void raft_init(struct raft *r, const struct raft_config *config, const struct raft_durable *durable,
               struct raft_effects *out) {
    assert(config_is_valid(config));
    assert(durable->entry_count <= RAFT_LOG_MAX);
    memset(r, 0, offsetof(struct raft, peers)); /* The arrays are written before they are read. */
    r->config = *config;
    r->term = durable->term;
    r->vote = durable->vote;
    r->has_live_leader = config->lease_us > 0;
    if (durable->snapshot != NULL) r->snapshot = *durable->snapshot;
    memcpy(r->sessions, r->snapshot.sessions, sizeof r->sessions);
    r->commit = r->snapshot.index;
    r->last = r->snapshot.index + durable->entry_count;
    r->saved = r->last;
    for (uint32_t i = 0; i < durable->entry_count; i++) {
        r->log[i] = durable->entries[i];
        r->log_write[i] = 0;
    }
    raft_members_restore(r, r->last);
    effects_begin(out);
    out->timer = RAFT_TIMER_ELECTION;
}
