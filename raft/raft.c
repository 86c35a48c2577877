/* raft.c - dispatches events, and what all parts of the core do: roles, writes, messages. */
#include "raft.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "state.h"

static_assert(sizeof(struct raft_entry) == 16, "a message has no padding");
static_assert(RAFT_MESSAGE_HEAD == 56, "a message has no padding");
static_assert(RAFT_TAIL_MAX >= 2, "a leader needs room for its no-op and a command");

/* No counter gets here by counting; a message that says more would make one wrap around. */
static const uint64_t NUMBER_MAX = UINT64_MAX / 2;

static void effects_begin(struct raft_effects *out) {
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
    out->refusal = RAFT_ACCEPTED;
    out->leader = 0;
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
 * follower" (figure 2). In the same term, a candidate gives way to the leader and keeps its vote.
 */
void raft_become_follower(struct raft *r, raft_term term, struct raft_effects *out) {
    assert(term >= r->term);
    if (r->role == RAFT_LEADER) {
        assert(term > r->term); /* There is one leader a term, and it is this one. */
        out->timer = RAFT_TIMER_ELECTION;
    }
    r->role = RAFT_FOLLOWER;
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
        r->leader = 0;
        raft_save_vote(r, out);
    }
}

void raft_commit_to(struct raft *r, raft_index index, struct raft_effects *out) {
    assert(index <= r->last);
    if (index <= r->commit) return;
    out->apply_from = r->commit + 1;
    out->apply_to = index;
    r->commit = index;
}

struct raft_message *raft_send(struct raft *r, enum raft_message_type type, raft_id target,
                               raft_write after, struct raft_effects *out) {
    assert(out->message_count < RAFT_NODES_MAX);
    assert(target != r->self);
    struct raft_outgoing *o = &out->messages[out->message_count++];
    o->after = after > r->durable ? after : 0;
    struct raft_message *m = &o->message;
    m->type = (uint8_t)type;
    m->source = r->self;
    m->target = target;
    m->accepted = false;
    m->entry_count = 0;
    memset(m->reserved, 0, sizeof m->reserved);
    m->term = r->term;
    m->index = 0;
    m->index_term = 0;
    m->commit = 0;
    m->hint = 0;
    m->state = 0;
    return m;
}

/* A message that no correct peer sends. One of an older term is not wrong, only late. */
static bool message_is_wrong(const struct raft *r, const struct raft_message *m) {
    if (m->source == 0 || m->source > RAFT_NODES_MAX || m->source == r->self) return true;
    if (!(r->voters >> m->source & 1)) return true;
    if (m->target != r->self || m->entry_count > RAFT_BATCH_MAX) return true;
    return m->term == 0 || m->term > NUMBER_MAX || m->index > NUMBER_MAX;
}

static void receive(struct raft *r, const struct raft_message *m, struct raft_effects *out) {
    if (message_is_wrong(r, m)) return;
    switch ((enum raft_message_type)m->type) {
    case RAFT_VOTE: raft_receive_vote(r, m, out); return;
    case RAFT_VOTE_REPLY: raft_receive_vote_reply(r, m, out); return;
    case RAFT_APPEND: raft_receive_append(r, m, out); return;
    case RAFT_SNAPSHOT: raft_receive_snapshot(r, m, out); return;
    case RAFT_APPEND_REPLY:
    case RAFT_SNAPSHOT_REPLY: raft_receive_append_reply(r, m, out); return;
    }
}

static void timeout(struct raft *r, struct raft_effects *out) {
    if (r->role == RAFT_LEADER) {
        raft_replicate_all(r, out);
        out->timer = RAFT_TIMER_HEARTBEAT;
    } else {
        raft_election_start(r, out);
    }
}

static void propose(struct raft *r, uint64_t command, struct raft_effects *out) {
    assert(command != RAFT_NOOP);
    out->leader = r->leader;
    if (r->role != RAFT_LEADER) {
        out->refusal = RAFT_NOT_LEADER;
    } else if (raft_log_full(r) || r->last - r->commit >= RAFT_TAIL_MAX) {
        out->refusal = RAFT_LOG_FULL;
    } else {
        raft_replicate_command(r, command, out);
    }
}

/* Only now does the node count itself: its own vote, its own copy of an entry. Before, a crash
 * could take back what others rely on. */
static void saved(struct raft *r, raft_write write, struct raft_effects *out) {
    assert(write <= r->written);
    if (write <= r->durable) return;
    r->durable = write;
    raft_log_saved(r);
    if (r->role == RAFT_CANDIDATE && r->vote_write <= r->durable)
        raft_election_count(r, r->self, out);
    else if (r->role == RAFT_LEADER) raft_replicate_saved(r, out);
}

void raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    raft_index commit = r->commit;
    raft_term term = r->term;
    effects_begin(out);
    switch (event->type) {
    case RAFT_RECEIVE: receive(r, event->u.message, out); break;
    case RAFT_TIMEOUT: timeout(r, out); break;
    case RAFT_PROPOSE: propose(r, event->u.command, out); break;
    case RAFT_SAVED: saved(r, event->u.saved, out); break;
    case RAFT_COMPACT:
        raft_snapshot_take(r, event->u.compact.index, event->u.compact.state, out);
        break;
    }
    assert(r->term >= term);
    assert(r->commit >= commit);
    assert(r->commit <= r->last);
    assert(r->snapshot.index <= r->commit);
}

void raft_init(struct raft *r, const struct raft_config *config, const struct raft_durable *durable,
               struct raft_effects *out) {
    assert(config->self >= 1 && config->self <= RAFT_NODES_MAX);
    assert(config->voters != 0 && !(config->voters & 1));
    assert(config->batch_max >= 1 && config->batch_max <= RAFT_BATCH_MAX);
    assert(durable->entry_count <= RAFT_LOG_MAX);
    memset(r, 0, offsetof(struct raft, peers)); /* The arrays are written before they are read. */
    r->self = config->self;
    r->voters = config->voters;
    r->batch_max = config->batch_max;
    r->quorum = (uint8_t)(__builtin_popcountll(config->voters) / 2 + 1);
    r->term = durable->term;
    r->vote = durable->vote;
    r->snapshot = durable->snapshot;
    r->commit = durable->snapshot.index;
    r->last = durable->snapshot.index + durable->entry_count;
    r->saved = r->last;
    for (uint32_t i = 0; i < durable->entry_count; i++) {
        r->log[i] = durable->entries[i];
        r->log_write[i] = 0;
    }
    effects_begin(out);
    out->timer = RAFT_TIMER_ELECTION;
}
