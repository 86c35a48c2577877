/* support.c - see support.h. */
#include "support.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

/* ---- what nodes, logs and messages are made of ---- */

raft_set ids_up_to(raft_id last) { return UINT64_MAX >> (63 - last) & ~(raft_set)1; }

raft_set ids(const char *digits) {
    raft_set set = 0;
    for (; *digits != '\0'; digits++) set |= (raft_set)1 << (*digits - '0');
    return set;
}

uint64_t command_at(raft_index index, raft_term term) { return index * 16 + term; }

uint64_t state_at(raft_index index) { return index * 1000; }

char *log_repeat(char *log, char term, unsigned length) {
    memset(log, term, length);
    log[length] = '\0';
    return log;
}

static bool is_letter(char c) { return c >= 'a'; }

/* A letter's members are up to the caller. */
static struct raft_entry entry_at(raft_index index, char c) {
    if (is_letter(c))
        return (struct raft_entry){.term = (raft_term)(c - 'a' + 1), .type = RAFT_MEMBERS};
    raft_term term = (raft_term)(c - '0');
    return (struct raft_entry){
        .term = term, .type = RAFT_COMMAND, .command = command_at(index, term)};
}

/* ---- a node ---- */

static struct raft_config config_of(struct raft_config c) {
    if (c.self == 0) c.self = 1;
    if (c.batch_max == 0) c.batch_max = RAFT_BATCH_MAX;
    if (c.patience == 0) c.patience = 3;
    if (c.window == 0) c.window = RAFT_LOG_MAX;
    if (c.chunk_max == 0) c.chunk_max = SNAPSHOT_SIZE;
    return c;
}

static struct raft_snapshot snapshot_of(const struct start *start) {
    struct raft_snapshot s = start->snapshot;
    if (s.index > 0 && s.state == 0) s.state = state_at(s.index);
    if (s.index > 0 && s.size == 0) s.size = SNAPSHOT_SIZE;
    if (start->joins || s.members.voters != 0) return s;
    s.members = start->members;
    if (s.members.voters == 0)
        s.members.voters = ids_up_to(start->voter_count != 0 ? start->voter_count : 3);
    return s;
}

static uint32_t entries_of(const struct start *start, struct raft_entry *entries) {
    const char *log = start->log != NULL ? start->log : "";
    uint32_t count = (uint32_t)strlen(log), change = 0;
    cr_assert_leq(count, RAFT_LOG_MAX);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = entry_at(start->snapshot.index + 1 + i, log[i]);
        if (!is_letter(log[i])) continue;
        cr_assert_lt(change, CHANGES_MAX);
        entries[i].members = start->changes[change++];
    }
    return count;
}

void node_start(struct node *n, struct start start) {
    struct raft_entry entries[RAFT_LOG_MAX];
    struct raft_config config = config_of(start.config);
    struct raft_snapshot snapshot = snapshot_of(&start);
    struct raft_durable durable = {.term = start.term,
                                   .vote = start.vote,
                                   .snapshot = &snapshot,
                                   .entry_count = entries_of(&start, entries),
                                   .entries = entries};
    n->now_us = 0;
    raft_init(&n->raft, &config, &durable, &n->effects);
}

void node_restart(struct node *n) {
    static struct raft before;
    before = n->raft;
    struct raft_durable durable = {.term = before.term,
                                   .vote = before.vote,
                                   .snapshot = &before.snapshot,
                                   .entry_count = (uint32_t)(before.last - before.snapshot.index),
                                   .entries = before.log};
    raft_init(&n->raft, &before.config, &durable, &n->effects);
}

void node_step(struct node *n, const struct raft_event *event) {
    struct raft_event timed = *event;
    timed.now_us = n->now_us;
    raft_step(&n->raft, &timed, &n->effects);
}

void node_receive(struct node *n, struct raft_message m) {
    m.target = n->raft.config.self;
    node_step(n, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = &m});
}

void node_timeout(struct node *n) { node_step(n, &(struct raft_event){.type = RAFT_TIMEOUT}); }

static struct raft_event propose_event(enum raft_entry_type type, uint64_t command,
                                       raft_index session, uint64_t serial) {
    return (struct raft_event){.type = RAFT_PROPOSE, .u.propose = {type, command, session, serial}};
}

void node_propose(struct node *n, uint64_t command) { node_retry(n, command, 0, 0); }

void node_open(struct node *n) {
    struct raft_event event = propose_event(RAFT_SESSION, 0, 0, 0);
    node_step(n, &event);
}

void node_retry(struct node *n, uint64_t command, raft_index session, uint64_t serial) {
    struct raft_event event = propose_event(RAFT_COMMAND, command, session, serial);
    node_step(n, &event);
}

void node_read(struct node *n, uint64_t handle) {
    node_step(n, &(struct raft_event){.type = RAFT_READ, .u.read = handle});
}

void node_change(struct node *n, raft_set voters, raft_set learners) {
    struct raft_event event = {.type = RAFT_CHANGE, .u.change = {voters, learners, false}};
    node_step(n, &event);
}

void node_transfer(struct node *n, raft_id target) {
    node_step(n, &(struct raft_event){.type = RAFT_TRANSFER, .u.target = target});
}

void node_compact(struct node *n, raft_index index) {
    struct raft_event event = {.type = RAFT_COMPACT,
                               .u.compact = {index, state_at(index), SNAPSHOT_SIZE}};
    node_step(n, &event);
}

void node_saved(struct node *n, raft_write write) {
    node_step(n, &(struct raft_event){.type = RAFT_SAVED, .u.saved = write});
}

void node_save(struct node *n) { node_saved(n, n->raft.written); }

static raft_set others(const struct raft *r) {
    const struct raft_members *m = &r->members;
    return (m->voters | m->outgoing | m->learners) & ~((raft_set)1 << r->config.self);
}

void node_campaign(struct node *n) {
    node_timeout(n);
    for (raft_set rest = others(&n->raft); rest != 0 && n->raft.role == RAFT_PRECANDIDATE;
         rest &= rest - 1)
        node_receive(n, message_pregrant((raft_id)__builtin_ctzll(rest), n->raft.term));
    cr_assert_eq(n->raft.role, RAFT_CANDIDATE);
    node_save(n);
}

void node_elect(struct node *n) {
    node_campaign(n);
    for (raft_set rest = others(&n->raft); rest != 0 && n->raft.role == RAFT_CANDIDATE;
         rest &= rest - 1)
        node_receive(n, message_grant((raft_id)__builtin_ctzll(rest), n->raft.term));
    cr_assert_eq(n->raft.role, RAFT_LEADER);
}

/* Twice where a long tail came before the no-op. */
void node_agree(struct node *n) {
    do {
        raft_index last = n->raft.last;
        node_save(n);
        for (raft_set rest = others(&n->raft); rest != 0; rest &= rest - 1) {
            struct raft_message m =
                message_accepted((raft_id)__builtin_ctzll(rest), n->raft.term, last);
            m.tag = n->raft.round;
            node_receive(n, m);
        }
    } while (n->raft.role == RAFT_LEADER && n->raft.commit < n->raft.last);
}

void node_answer(struct node *n, raft_id peer, uint64_t round) {
    struct raft_message m = message_accepted(peer, n->raft.term, n->raft.commit);
    m.tag = round;
    node_receive(n, m);
}

void node_lead(struct node *n, struct start start) {
    node_start(n, start);
    node_elect(n);
    node_agree(n);
    cr_assert_eq(n->raft.commit, n->raft.last);
}

void node_start_as(struct node *n, enum raft_role role) {
    bool pre_vote = role == RAFT_PRECANDIDATE;
    node_start(n, (struct start){.config.pre_vote = pre_vote, .term = 4, .log = "14"});
    if (pre_vote) node_timeout(n);
    if (role == RAFT_CANDIDATE) node_campaign(n);
    if (role == RAFT_LEADER) node_elect(n);
    cr_assert_eq(n->raft.role, role);
}

/* ---- messages ---- */

struct raft_message message_vote(raft_id source, raft_term term, raft_index last,
                                 raft_term last_term) {
    return (struct raft_message){
        .type = RAFT_VOTE, .source = source, .term = term, .index = last, .index_term = last_term};
}

struct raft_message message_grant(raft_id source, raft_term term) {
    return (struct raft_message){
        .type = RAFT_VOTE_REPLY, .source = source, .accepted = true, .term = term};
}

struct raft_message message_prevote(raft_id source, raft_term term, raft_index last,
                                    raft_term last_term) {
    struct raft_message m = message_vote(source, term, last, last_term);
    m.type = RAFT_PREVOTE;
    m.tag = term;
    return m;
}

struct raft_message message_pregrant(raft_id source, raft_term term) {
    struct raft_message m = message_grant(source, term);
    m.type = RAFT_PREVOTE_REPLY;
    m.tag = term;
    return m;
}

struct raft_message message_append(raft_id source, raft_term term, const char *log, raft_index from,
                                   raft_index to) {
    cr_assert_geq(from, 1);
    cr_assert_leq(to, strlen(log));
    cr_assert_leq(to + 1 - from, RAFT_BATCH_MAX);
    struct raft_message m = {
        .type = RAFT_APPEND, .source = source, .term = term, .index = from - 1};
    if (m.index > 0) m.index_term = entry_at(m.index, log[m.index - 1]).term;
    m.entry_count = (uint8_t)(to + 1 - from);
    for (uint8_t i = 0; i < m.entry_count; i++)
        m.entries[i] = entry_at(from + i, log[from + i - 1]);
    return m;
}

struct raft_message message_accepted(raft_id source, raft_term term, raft_index index) {
    return (struct raft_message){.type = RAFT_APPEND_REPLY,
                                 .source = source,
                                 .accepted = true,
                                 .term = term,
                                 .index = index};
}

struct raft_message message_rejected(raft_id source, raft_term term, raft_index index,
                                     raft_index hint, raft_term hint_term) {
    return (struct raft_message){.type = RAFT_APPEND_REPLY,
                                 .source = source,
                                 .term = term,
                                 .index = index,
                                 .index_term = hint_term,
                                 .hint = hint};
}

struct raft_message message_chunk(raft_id source, raft_term term, raft_index index,
                                  raft_term index_term, uint64_t offset, uint64_t length) {
    struct raft_message m = {.type = RAFT_CHUNK,
                             .source = source,
                             .term = term,
                             .index = index,
                             .index_term = index_term};
    m.chunk.offset = offset;
    m.chunk.length = length;
    m.chunk.snapshot = (struct raft_snapshot){.index = index,
                                              .term = index_term,
                                              .state = state_at(index),
                                              .size = SNAPSHOT_SIZE,
                                              .members.voters = ids("123")};
    return m;
}

struct raft_message message_snapshot(raft_id source, raft_term term, raft_index index,
                                     raft_term index_term) {
    return message_chunk(source, term, index, index_term, 0, SNAPSHOT_SIZE);
}

struct raft_message message_chunk_reply(raft_id source, raft_term term, raft_index index,
                                        bool accepted, uint64_t hint) {
    return (struct raft_message){.type = RAFT_CHUNK_REPLY,
                                 .source = source,
                                 .accepted = accepted,
                                 .term = term,
                                 .index = index,
                                 .hint = hint};
}

struct raft_message message_of(uint8_t type, raft_term term) {
    const struct raft_message messages[] = {
        [RAFT_VOTE] = message_vote(2, term, 0, 0),
        [RAFT_VOTE_REPLY] = message_grant(2, term),
        [RAFT_APPEND] = message_append(2, term, "14", 3, 2),
        [RAFT_APPEND_REPLY] = message_rejected(2, term, 2, 0, 0),
        [RAFT_CHUNK] = message_snapshot(2, term, 2, 4),
        [RAFT_CHUNK_REPLY] = message_chunk_reply(2, term, 2, false, 0),
    };
    cr_assert_lt(type, sizeof messages / sizeof messages[0]);
    return messages[type];
}

/* ---- what was sent and what is held ---- */

unsigned sent_count(const struct node *n, enum raft_message_type type, raft_id target) {
    unsigned count = 0;
    for (uint8_t i = 0; i < n->effects.message_count; i++) {
        const struct raft_message *m = &n->effects.messages[i].message;
        count += m->target == target && m->type == type;
    }
    return count;
}

const struct raft_outgoing *sent_nth(const struct node *n, enum raft_message_type type,
                                     raft_id target, unsigned number) {
    const struct raft_outgoing *found = NULL;
    for (uint8_t i = 0; i < n->effects.message_count && found == NULL; i++) {
        const struct raft_outgoing *o = &n->effects.messages[i];
        if (o->message.target == target && o->message.type == type && number-- == 0) found = o;
    }
    cr_assert_not_null(found, "no such message of type %u to node %u", type, target);
    cr_assert_eq(found->message.source, n->raft.config.self);
    cr_assert_eq(found->message.term, n->raft.term);
    return found;
}

const struct raft_outgoing *sent_to(const struct node *n, enum raft_message_type type,
                                    raft_id target) {
    unsigned count = 0;
    for (uint8_t i = 0; i < n->effects.message_count; i++)
        count += n->effects.messages[i].message.target == target;
    cr_assert_eq(count, 1, "%u messages were sent to node %u", count, target);
    return sent_nth(n, type, target, 0);
}

const struct raft_outgoing *sent_alone(const struct node *n, enum raft_message_type type,
                                       raft_id target) {
    cr_assert_eq(n->effects.message_count, 1, "%u messages were sent", n->effects.message_count);
    return sent_to(n, type, target);
}

void assert_log(const struct node *n, const char *log) {
    const struct raft *r = &n->raft;
    char held[RAFT_LOG_MAX + 1] = "";
    for (raft_index i = r->snapshot.index + 1; i <= r->last; i++) {
        const struct raft_entry *e = raft_entry_at(r, i);
        char first = e->type == RAFT_MEMBERS ? 'a' - 1 : '0';
        held[i - r->snapshot.index - 1] = (char)(first + (char)e->term);
    }
    cr_assert_str_eq(held, log, "node %u holds \"%s\", not \"%s\"", r->config.self, held, log);
}

void assert_members(const struct raft_members *m, const char *voters, const char *outgoing,
                    const char *learners) {
    cr_assert_eq(m->voters, ids(voters), "voters %" PRIx64 ", not %s", m->voters, voters);
    cr_assert_eq(m->outgoing, ids(outgoing), "outgoing %" PRIx64 ", not %s", m->outgoing, outgoing);
    cr_assert_eq(m->learners, ids(learners), "learners %" PRIx64 ", not %s", m->learners, learners);
}

void assert_served(const struct node *n, uint64_t handle, raft_index index) {
    cr_assert_eq(n->effects.read_count, 1);
    cr_assert_eq(n->effects.reads[0].handle, handle);
    cr_assert_eq(n->effects.reads[0].index, index);
    cr_assert(n->effects.reads[0].is_served);
}

void assert_no_effects(const struct node *n) {
    const struct raft_effects *e = &n->effects;
    cr_assert_not(e->save_chunk);
    cr_assert_eq(e->write, 0);
    cr_assert_not(e->save_vote || e->save_snapshot || e->save_from != 0);
    cr_assert_eq(e->message_count, 0);
    cr_assert_eq(e->timer, RAFT_TIMER_KEEP);
    cr_assert_not(e->apply_snapshot);
    cr_assert(e->apply_from == 0 && e->apply_to == 0);
    cr_assert_eq(e->answer_from, 0);
    cr_assert_eq(e->read_count, 0);
    cr_assert_eq(e->lost_peer, 0);
}
