/* dice.c - see dice.h. */
#include "dice.h"

static uint64_t next(uint64_t *dice) { /* splitmix64 */
    uint64_t z = *dice += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t roll(uint64_t *dice, uint64_t bound) { return next(dice) % bound; }

static bool one_in(uint64_t *dice, uint64_t bound) { return roll(dice, bound) == 0; }

/* One of low to high; or, rarely, a number that overflows something. */
static uint64_t roll_number(uint64_t *dice, uint64_t low, uint64_t high) {
    static const uint64_t extremes[] = {0, UINT64_MAX / 2, UINT64_MAX / 2 + 1, UINT64_MAX};
    if (one_in(dice, 2048)) return extremes[roll(dice, 4)];
    return low == 0 && high == UINT64_MAX ? next(dice) : low + roll(dice, high - low + 1);
}

static raft_term roll_term(uint64_t *dice, const struct raft *r) {
    uint64_t face = roll(dice, 16);
    if (face == 0) return roll_number(dice, r->term, r->term + 2);
    if (face <= 2) return roll_number(dice, r->term > 2 ? r->term - 2 : 0, r->term);
    return r->term;
}

/* Half of the time the term that the log has there, so that messages often fit. */
static raft_term roll_term_at(uint64_t *dice, const struct raft *r, raft_index index) {
    if (one_in(dice, 2) || index < r->snapshot.index || index > r->last)
        return roll_number(dice, 0, 4);
    return index == r->snapshot.index ? r->snapshot.term : raft_entry_at(r, index)->term;
}

static raft_index roll_index(uint64_t *dice, const struct raft *r) {
    raft_index low = one_in(dice, 8) ? 0 : r->snapshot.index;
    if (one_in(dice, 4) && r->last > 2) low = r->last - 2;
    return roll_number(dice, low, r->last + 2);
}

static uint8_t roll_byte(uint64_t *dice, uint64_t usual) {
    return (uint8_t)(one_in(dice, 64) ? roll(dice, 256) : usual);
}

struct raft_members roll_members(uint64_t *dice) {
    struct raft_members m = {0};
    for (raft_id id = 1; id <= 6; id++) {
        uint64_t face = roll(dice, 8);
        if (face < 5) m.voters |= (raft_set)1 << id;
        if (face == 5) m.learners |= (raft_set)1 << id;
    }
    if (m.voters == 0) m.voters = 2;
    m.learners &= ~m.voters;
    if (one_in(dice, 3)) m.outgoing = roll(dice, 128) & ~(raft_set)1;
    return m;
}

struct raft_config roll_config(uint64_t *dice) {
    bool check_quorum = one_in(dice, 2);
    return (struct raft_config){
        .self = 1,
        .batch_max = (uint8_t)(1 + roll(dice, RAFT_BATCH_MAX)),
        .patience = (uint8_t)(1 + roll(dice, 4)),
        .pre_vote = one_in(dice, 2),
        .check_quorum = check_quorum,
        .window = (uint16_t)(1 + roll(dice, 20)),
        .chunk_max = (uint32_t)(1 + roll(dice, 20)),
        .lease_us = check_quorum && one_in(dice, 2) ? 1 + roll(dice, 1000) : 0,
    };
}

static struct raft_entry roll_entry(uint64_t *dice, const struct raft *r, raft_index index) {
    struct raft_entry e = {.term = roll_term_at(dice, r, index)};
    uint64_t face = roll(dice, 16);
    e.type = face < 12 ? RAFT_COMMAND : face < 14 ? RAFT_SESSION : RAFT_NOOP;
    e.command = 1 + roll(dice, 1000);
    if (face < 8) e.session = roll_index(dice, r);
    if (face < 8) e.serial = roll(dice, 8);
    if (face == 15) e = (struct raft_entry){.term = e.term, .type = RAFT_MEMBERS};
    if (face == 15) e.members = roll_members(dice);
    if (face == 15 && one_in(dice, 16)) e.members.voters = roll(dice, 128);
    if (one_in(dice, 512)) e.type = next(dice);
    return e;
}

/* Mostly the snapshot that the message names, and what must come next of it. */
static void roll_chunk(uint64_t *dice, const struct raft *r, struct raft_message *m) {
    struct raft_snapshot *s = &m->chunk.snapshot;
    bool goes_on = r->incoming.index != 0 && !one_in(dice, 4);
    if (goes_on) m->index = r->incoming.index;
    if (goes_on) m->index_term = r->incoming.term;
    *s = (struct raft_snapshot){.index = m->index, .term = m->index_term, .state = m->index};
    s->size = goes_on ? r->incoming.size : roll_number(dice, 1, 64);
    s->members = roll_members(dice);
    for (uint32_t i = 0; i < RAFT_SESSIONS_MAX; i++)
        if (one_in(dice, 3)) s->sessions[i].id = s->sessions[i].active = 1 + roll(dice, 64);
    m->chunk.offset = goes_on ? r->incoming.offset : 0;
    m->chunk.length = roll_number(dice, 1, s->size > m->chunk.offset ? s->size : 1);
    if (one_in(dice, 8)) m->chunk.offset = roll_number(dice, 0, s->size);
    if (one_in(dice, 32)) s->index = roll_index(dice, r);
    if (one_in(dice, 32)) s->size = roll_number(dice, 0, 3);
}

/* What a peer of this node, in its role, would answer. */
static void make_answer(const struct raft *r, struct raft_message *m) {
    m->term = r->term;
    m->tag = r->role == RAFT_LEADER ? r->round : r->term;
    if (r->role == RAFT_CANDIDATE) m->type = RAFT_VOTE_REPLY;
    if (r->role == RAFT_PRECANDIDATE) m->type = RAFT_PREVOTE_REPLY;
    if (r->role == RAFT_FOLLOWER && r->read_count > 0) m->tag = r->reads[0].handle;
    if (r->role != RAFT_LEADER || m->source > RAFT_NODES_MAX) return;
    if (m->type < RAFT_APPEND_REPLY) m->type = RAFT_APPEND_REPLY;
    bool is_peer = (r->members.voters | r->members.outgoing) >> m->source & 1;
    if (is_peer) m->index = r->peers[m->source].next - 1; /* What was sent last. */
}

static struct raft_message roll_message(uint64_t *dice, const struct raft *r) {
    struct raft_message m = {
        .type = roll_byte(dice, roll(dice, RAFT_READ_REPLY + 1)),
        .source = roll_byte(dice, 2 + roll(dice, 5)),
        .target = roll_byte(dice, r->config.self),
        .accepted = !one_in(dice, 3),
        .transfer = one_in(dice, 8),
        .term = roll_term(dice, r),
        .index = roll_index(dice, r),
        .commit = roll_index(dice, r),
        .hint = roll_index(dice, r),
        .tag = roll(dice, 8),
    };
    if (!one_in(dice, 4)) make_answer(r, &m);
    m.index_term = roll_term_at(dice, r, m.index);
    if (m.type == RAFT_CHUNK) roll_chunk(dice, r, &m);
    if (m.type != RAFT_APPEND && !one_in(dice, 64)) return m;
    m.entry_count = roll_byte(dice, roll(dice, RAFT_BATCH_MAX + 1));
    for (raft_index i = 0; i < RAFT_BATCH_MAX; i++)
        m.entries[i] = roll_entry(dice, r, m.index + 1 + i);
    return m;
}

static void roll_propose(uint64_t *dice, const struct raft *r, struct raft_event *event) {
    struct raft_entry e = roll_entry(dice, r, r->last);
    event->type = RAFT_PROPOSE;
    event->u.propose.type = one_in(dice, 4) ? RAFT_SESSION : RAFT_COMMAND;
    event->u.propose.command = e.command;
    event->u.propose.session = e.session;
    event->u.propose.serial = e.serial;
}

static void roll_change(uint64_t *dice, const struct raft *r, struct raft_event *event) {
    struct raft_members m = roll_members(dice);
    event->type = RAFT_CHANGE;
    event->u.change.voters = m.voters;
    event->u.change.learners = m.learners;
    event->u.change.is_joint = one_in(dice, 4);
    if (one_in(dice, 2)) event->u.change.voters = r->members.voters ^ 2 << roll(dice, 6);
    if (one_in(dice, 16)) event->u.change.voters = roll(dice, 4);
}

struct raft_event roll_event(uint64_t *dice, const struct raft *r, struct raft_message *m) {
    struct raft_event event = {.type = RAFT_RECEIVE, .now_us = r->now_us + roll(dice, 50)};
    if (one_in(dice, 64)) event.now_us = next(dice);
    uint64_t face = roll(dice, 32);
    if (face < 3) {
        roll_propose(dice, r, &event);
    } else if (face < 8) {
        event.type = RAFT_SAVED;
        event.u.saved = one_in(dice, 2) ? r->written : roll(dice, r->written + 1);
    } else if (face < 10) {
        event.type = RAFT_COMPACT;
        event.u.compact.index = roll_index(dice, r);
        event.u.compact.state = next(dice);
        event.u.compact.size = 1 + roll(dice, 64);
    } else if (face < 12) {
        event.type = RAFT_TIMEOUT;
    } else if (face < 14) {
        event.type = RAFT_READ;
        event.u.read = *dice;
    } else if (face == 14) {
        roll_change(dice, r, &event);
    } else if (face == 15 && one_in(dice, 4)) {
        event.type = RAFT_TRANSFER;
        event.u.target = roll_byte(dice, 1 + roll(dice, 4));
    } else {
        *m = roll_message(dice, r);
        event.u.message = m;
    }
    return event;
}
