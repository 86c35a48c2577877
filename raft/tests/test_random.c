/* test_random.c - the node keeps its invariants whatever comes. */
#include <criterion/criterion.h>
#include <string.h>

#include "dice.h"
#include "session.h"
#include "support.h"

/* What the storage will hold when every write that was asked for is done. */
struct disk {
    raft_term term;
    raft_id vote;
    struct raft_snapshot snapshot;
    uint32_t count;
    struct raft_entry entries[RAFT_LOG_MAX];
    raft_write writes[RAFT_LOG_MAX]; /* The last one of each entry. */
    struct raft_snapshot incoming;   /* The snapshot whose chunks are kept, */
    uint64_t staged;                 /* and how many of its bytes have come. */
};

static void disk_cut(struct disk *d, raft_index from) {
    raft_index kept = from - d->snapshot.index - 1;
    if (kept < d->count) d->count = (uint32_t)kept;
}

static void disk_compact(struct disk *d, const struct raft_snapshot *snapshot) {
    raft_index covered = snapshot->index - d->snapshot.index;
    if (covered > d->count) covered = d->count;
    d->count -= (uint32_t)covered;
    memmove(d->entries, d->entries + covered, d->count * sizeof d->entries[0]);
    memmove(d->writes, d->writes + covered, d->count * sizeof d->writes[0]);
    d->snapshot = *snapshot;
}

static void disk_write(struct disk *d, const struct node *n) {
    const struct raft_effects *e = &n->effects;
    if (e->save_vote) {
        d->term = n->raft.term;
        d->vote = n->raft.vote;
    }
    if (e->save_snapshot) disk_compact(d, &n->raft.snapshot);
    if (e->save_from == 0) return;
    disk_cut(d, e->save_from);
    for (raft_index i = e->save_from; i <= n->raft.last; i++) {
        d->writes[d->count] = e->write;
        d->entries[d->count++] = *raft_entry_at(&n->raft, i);
    }
}

/* The naive twin of `saved`. */
static raft_index disk_saved(const struct disk *d, raft_write durable) {
    uint32_t saved = 0;
    while (saved < d->count && d->writes[saved] <= durable) saved++;
    return d->snapshot.index + saved;
}

/* The naive twin of `members`. */
static struct raft_members disk_members(const struct disk *d) {
    struct raft_members members = d->snapshot.members;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->entries[i].type == RAFT_MEMBERS) members = d->entries[i].members;
    return members;
}

static const char *wrong_disk(const struct disk *d, const struct raft *r) {
    struct raft_members members = disk_members(d);
    if (d->term != r->term || d->vote != r->vote) return "term and vote are saved";
    if (memcmp(&d->snapshot, &r->snapshot, sizeof d->snapshot) != 0) return "the snapshot is saved";
    if (d->snapshot.index + d->count != r->last) return "the length of the log is saved";
    if (memcmp(d->entries, r->log, d->count * sizeof d->entries[0]) != 0) return "the log is saved";
    if (disk_saved(d, r->durable) != r->saved)
        return "entries count with the write that holds them";
    if (memcmp(&members, &r->members, sizeof members) != 0)
        return "the configuration is a function of the log";
    return NULL;
}

/* A chunk is kept if it goes on where the last one of its snapshot ended. */
static const char *wrong_chunk(struct disk *d, const struct node *n,
                               const struct raft_event *event) {
    const struct raft_effects *e = &n->effects;
    if (e->apply_snapshot && !e->save_chunk) return "the last chunk is kept";
    if (!e->save_chunk) return NULL;
    const struct raft_message *m = event->u.message;
    const struct raft_snapshot *s = &m->chunk.snapshot;
    if (m->chunk.offset == 0) d->incoming = *s;
    if (m->chunk.offset == 0) d->staged = 0;
    bool is_same = d->incoming.index == s->index && d->incoming.term == s->term &&
                   d->incoming.state == s->state && d->incoming.size == s->size;
    if (!is_same) return "chunks of one snapshot follow each other";
    if (d->staged != m->chunk.offset) return "chunks come in order";
    if (m->chunk.length > s->size - d->staged) return "a chunk is part of the snapshot";
    d->staged += m->chunk.length;
    if (e->apply_snapshot != (d->staged == s->size)) return "a snapshot is whole when applied";
    return NULL;
}

/* How often what happened: a hammer that hits nothing proves nothing. */
struct tally {
    uint32_t elections, step_downs, leader_commits, follower_commits, truncations, compactions;
    uint32_t installs, acknowledgements, rejections, grants, pregrants, chunks_sent, full_logs;
    uint32_t refusals, changes, joints, removals, transfers, timeouts_sent, reads, leases;
    uint32_t refused_reads, duplicates, expired;
};

struct hammer {
    uint64_t dice;
    struct node node;
    struct raft before;
    struct disk disk;
    struct tally tally;
};

static void hammer_restart(struct hammer *h) {
    struct disk *d = &h->disk;
    if (roll(&h->dice, 2) == 0) { /* A new life, often with a log that is nearly full. */
        *d = (struct disk){.count = (uint32_t)roll(&h->dice, RAFT_LOG_MAX + 1)};
        if (roll(&h->dice, 2) == 0) d->count %= 8;
        if (roll(&h->dice, 8) > 0) d->snapshot.members = roll_members(&h->dice);
        d->term = d->count > 0;
        for (uint32_t i = 0; i < d->count; i++)
            d->entries[i] = (struct raft_entry){.term = 1, .type = RAFT_COMMAND, .command = 1 + i};
    }
    memset(d->writes, 0, sizeof d->writes);
    d->staged = 0;
    struct raft_durable durable = {d->term, d->vote, &d->snapshot, d->count, d->entries};
    struct raft_config config = roll_config(&h->dice);
    raft_init(&h->node.raft, &config, &durable, &h->node.effects);
}

/* The invariants of raft.h. */
static const char *wrong_state(const struct raft *b, const struct raft *r) {
    if (r->term < b->term) return "the term never falls";
    if (r->term == b->term && b->vote != 0 && r->vote != b->vote) return "one vote a term";
    if (r->commit < b->commit) return "the commit index never falls";
    if (r->snapshot.index < b->snapshot.index) return "the snapshot never falls";
    if (r->snapshot.index > r->commit) return "the snapshot ends at or below the commit index";
    if (r->commit > r->last) return "the commit index is in the log";
    if (r->last - r->snapshot.index > RAFT_LOG_MAX) return "the log has a limit";
    if (r->saved > r->last) return "saved entries are in the log";
    if (r->saved < r->snapshot.index) return "the snapshot counts as saved";
    if (r->durable > r->written) return "what is durable was written";
    if (r->role == RAFT_CANDIDATE && r->vote != r->config.self)
        return "a candidate votes for itself";
    if (r->role == RAFT_LEADER && r->leader != r->config.self) return "a leader knows itself";
    if (r->role != RAFT_LEADER && r->leader == r->config.self) return "and nobody else does";
    return NULL;
}

static raft_set all_of(const struct raft_members *m) {
    return m->voters | m->outgoing | m->learners;
}

static const char *wrong_progress(const struct raft *b, const struct raft *r) {
    raft_set peers = all_of(&r->members) & ~((raft_set)1 << r->config.self);
    for (raft_set rest = peers; rest != 0; rest &= rest - 1) {
        raft_id id = (raft_id)__builtin_ctzll(rest);
        const struct raft_progress *p = &r->peers[id];
        bool was_peer = all_of(&b->members) >> id & 1;
        if (was_peer && p->match < b->peers[id].match) return "match only rises";
        if (p->match >= p->next) return "match is below next";
        if (p->next > r->last + 1) return "next is at most one beyond the log";
    }
    return NULL;
}

static const char *wrong_leader(const struct raft *b, const struct node *n) {
    const struct raft *r = &n->raft;
    if (r->role != RAFT_LEADER || b->role != RAFT_LEADER) return NULL;
    if (r->term != b->term) return "a leader leads one term";
    if (r->last < b->last) return "a leader never truncates";
    if (n->effects.save_from != 0 && n->effects.save_from != b->last + 1) return "append-only";
    raft_term commit_term =
        r->commit > r->snapshot.index ? raft_entry_at(r, r->commit)->term : r->snapshot.term;
    if (r->commit > b->commit && commit_term != r->term)
        return "a leader commits by counting only its own term";
    if (r->transfer != 0 && !(r->members.voters >> r->transfer & 1))
        return "a voter is to lead, no other";
    if (r->is_lease_lost < b->is_lease_lost) return "a lost lease stays lost";
    bool has_vote = (r->members.voters | r->members.outgoing) >> 1 & 1;
    if (r->members_index <= r->commit && commit_term == r->term && !has_vote)
        return "a leader that is removed steps down";
    return wrong_progress(b, r);
}

static const char *wrong_save_and_apply(const struct raft *b, const struct node *n) {
    const struct raft *r = &n->raft;
    const struct raft_effects *e = &n->effects;
    bool saves = e->save_vote || e->save_snapshot || e->save_from != 0;
    if (saves != (e->write != 0)) return "a write saves something";
    if (e->write != 0 && e->write != b->written + 1) return "writes are counted";
    if (r->written != b->written + (e->write != 0)) return "one write a step";
    if (e->save_from != 0 && e->save_from <= b->commit && !e->apply_snapshot)
        return "committed entries are never rewritten";
    if (e->apply_snapshot) {
        if (e->apply_from != 0 || e->apply_to != 0) return "the snapshot is applied alone";
        if (r->commit != r->snapshot.index || r->commit <= b->commit) return "a new snapshot";
    } else if (r->commit > b->commit) {
        if (e->apply_from != b->commit + 1 || e->apply_to != r->commit) return "applied in order";
    } else if (e->apply_from != 0 || e->apply_to != 0) return "applied twice";
    return NULL;
}

static const char *wrong_answer(const struct raft *b, const struct node *n) {
    const struct raft_effects *e = &n->effects;
    if (e->answer_from == 0) return NULL;
    if (b->role != RAFT_LEADER && n->raft.role != RAFT_LEADER) return "only a leader answers";
    if (e->answer_from < e->apply_from || e->answer_from > e->apply_to)
        return "answers are applied";
    if (e->answer_from == e->apply_from) return NULL;
    if (raft_entry_at(&n->raft, e->answer_from - 1)->term == n->raft.term)
        return "all are answered";
    return NULL;
}

static unsigned waiting(const struct raft *r, uint64_t handle) {
    unsigned count = 0;
    for (uint8_t i = 0; i < r->read_count; i++)
        count += r->reads[i].source == r->config.self && r->reads[i].handle == handle;
    return count;
}

/* A read waits until it ends, once, and ends served only with what it may see. */
static const char *wrong_reads(const struct raft *b, const struct node *n,
                               const struct raft_event *event) {
    const struct raft_effects *e = &n->effects;
    uint64_t begun = event->type == RAFT_READ ? event->u.read : 0;
    unsigned before = begun != 0, after = 0;
    for (uint8_t i = 0; i < b->read_count; i++) before += b->reads[i].source == b->config.self;
    for (uint8_t i = 0; i < n->raft.read_count; i++)
        after += n->raft.reads[i].source == b->config.self;
    if (before != after + e->read_count) return "a read waits until it ends";
    for (uint8_t i = 0; i < e->read_count; i++) {
        const struct raft_read *read = &e->reads[i];
        bool began = read->handle == begun;
        if (waiting(b, read->handle) + began != 1) return "a read that ends has begun";
        if (waiting(&n->raft, read->handle) != 0) return "a read ends once";
        if (read->is_lease && !read->is_served) return "a lease serves";
        if (read->is_served && read->index > n->raft.commit) return "what is read is applied";
    }
    return NULL;
}

static const char *wrong_reply(const struct raft *r, const struct raft_outgoing *o) {
    const struct raft_message *m = &o->message;
    if (r->vote_write > r->durable && o->after < r->vote_write) return "a reply waits for the term";
    if (!m->accepted) return NULL;
    if (m->type == RAFT_VOTE_REPLY)
        return r->vote == m->target ? NULL : "the vote belongs to another";
    if (m->type == RAFT_PREVOTE_REPLY)
        return r->role == RAFT_LEADER && r->config.check_quorum ? "a leader is loyal to itself"
                                                                : NULL;
    if (m->index > r->last) return "what is acknowledged is in the log";
    if (m->type == RAFT_READ_REPLY)
        return m->index <= r->commit ? NULL : "what is read is committed";
    if (m->index > r->saved && o->after == 0) return "an acknowledgement waits for its entries";
    return NULL;
}

/* A leader that is removed steps down at the end of its step, and tells. */
static const char *wrong_request(const struct raft *r, const struct raft_message *m, bool led) {
    switch ((enum raft_message_type)m->type) {
    case RAFT_PREVOTE: return r->role == RAFT_PRECANDIDATE ? NULL : "it would campaign";
    case RAFT_VOTE: return r->role == RAFT_CANDIDATE ? NULL : "candidates ask for votes";
    case RAFT_APPEND:
        if (m->entry_count > r->config.batch_max) return "batches are limited";
        if (m->index + m->entry_count > r->last) return "entries that are sent are in the log";
        return led ? NULL : "leaders send entries";
    case RAFT_CHUNK:
        if (m->chunk.length < 1 && r->snapshot.size > 0) return "a chunk has bytes";
        if (m->chunk.length > r->config.chunk_max) return "chunks are limited";
        return led ? NULL : "leaders send snapshots";
    case RAFT_TIMEOUT_NOW: return led ? NULL : "leaders transfer";
    case RAFT_READ_REQUEST:
        return m->target == r->leader && !led ? NULL : "followers ask the leader";
    case RAFT_PREVOTE_REPLY:
    case RAFT_VOTE_REPLY:
    case RAFT_APPEND_REPLY:
    case RAFT_CHUNK_REPLY:
    case RAFT_READ_REPLY: return "this is a reply";
    }
    return "messages have a type";
}

static bool is_reply(uint8_t type) {
    return type == RAFT_PREVOTE_REPLY || type == RAFT_VOTE_REPLY || type == RAFT_APPEND_REPLY ||
           type == RAFT_CHUNK_REPLY || type == RAFT_READ_REPLY;
}

static const char *wrong_message(const struct raft *b, const struct raft *r,
                                 const struct raft_outgoing *o) {
    const struct raft_message *m = &o->message;
    /* Who has no vote may be elected and step down in one step: entries of its term are old here.
     */
    bool led_shortly = b->role == RAFT_CANDIDATE && r->role == RAFT_FOLLOWER && r->leader == 0;
    bool led_before = (b->role == RAFT_LEADER || led_shortly) && b->term == r->term;
    bool led = r->role == RAFT_LEADER || led_before;
    if (m->source != r->config.self || m->target == r->config.self)
        return "messages are sent to others";
    if (m->term != r->term) return "messages have the term";
    if (m->type != RAFT_APPEND && m->entry_count != 0) return "only appends have entries";
    if (o->after > r->written) return "messages wait for what was written";
    if (o->after != 0 && o->after <= r->durable) return "messages wait for what is not durable";
    if (is_reply(m->type)) return wrong_reply(r, o);
    if (m->type != RAFT_READ_REQUEST && !(all_of(&r->members) >> m->target & 1))
        return "requests are sent to members";
    return wrong_request(r, m, led);
}

static const char *wrong_messages(const struct raft *b, const struct node *n) {
    if (n->effects.message_count > RAFT_MESSAGES_MAX) return "messages are limited";
    const char *wrong = NULL;
    for (uint8_t i = 0; i < n->effects.message_count && wrong == NULL; i++)
        wrong = wrong_message(b, &n->raft, &n->effects.messages[i]);
    return wrong;
}

/* The sessions are a function of what is committed. */
static const char *wrong_sessions(const struct raft *b, const struct raft *r) {
    struct raft_session sessions[RAFT_SESSIONS_MAX];
    if (r->commit == b->commit && r->snapshot.index == b->snapshot.index) return NULL;
    memcpy(sessions, r->snapshot.sessions, sizeof sessions);
    for (raft_index i = r->snapshot.index + 1; i <= r->commit; i++)
        if (raft_session_apply(sessions, raft_entry_at(r, i), i) != raft_verdict_at(r, i))
            return "verdicts follow from the log";
    return memcmp(sessions, r->sessions, sizeof sessions) == 0 ? NULL : "sessions follow, too";
}

static const char *wrong_step(struct hammer *h, const struct raft_event *event) {
    const struct node *n = &h->node;
    const struct raft *b = &h->before;
    const char *wrong = wrong_state(b, &n->raft);
    if (wrong == NULL) wrong = wrong_leader(b, n);
    if (wrong == NULL) wrong = wrong_save_and_apply(b, n);
    if (wrong == NULL) wrong = wrong_answer(b, n);
    if (wrong == NULL) wrong = wrong_reads(b, n, event);
    if (wrong == NULL) wrong = wrong_messages(b, n);
    if (wrong == NULL) wrong = wrong_chunk(&h->disk, n, event);
    if (wrong == NULL) wrong = wrong_disk(&h->disk, &n->raft);
    if (wrong == NULL) wrong = wrong_sessions(b, &n->raft);
    return wrong;
}

static void count_messages(struct tally *t, const struct raft_effects *e) {
    for (uint8_t i = 0; i < e->message_count; i++) {
        const struct raft_message *m = &e->messages[i].message;
        t->acknowledgements += m->type == RAFT_APPEND_REPLY && m->accepted;
        t->rejections += m->type == RAFT_APPEND_REPLY && !m->accepted;
        t->grants += m->type == RAFT_VOTE_REPLY && m->accepted;
        t->pregrants += m->type == RAFT_PREVOTE_REPLY && m->accepted;
        t->chunks_sent += m->type == RAFT_CHUNK;
        t->timeouts_sent += m->type == RAFT_TIMEOUT_NOW;
    }
}

static void count_answers(struct tally *t, const struct node *n) {
    const struct raft_effects *e = &n->effects;
    for (uint8_t i = 0; i < e->read_count; i++) {
        t->reads += e->reads[i].is_served;
        t->leases += e->reads[i].is_lease;
        t->refused_reads += !e->reads[i].is_served;
    }
    for (raft_index i = e->apply_from; i != 0 && i <= e->apply_to; i++) {
        t->duplicates += raft_verdict_at(&n->raft, i) == RAFT_DUPLICATE;
        t->expired += raft_verdict_at(&n->raft, i) == RAFT_EXPIRED;
    }
}

static void count_step(struct tally *t, const struct raft *b, const struct node *n) {
    const struct raft *r = &n->raft;
    bool led = b->role == RAFT_LEADER, leads = r->role == RAFT_LEADER,
         commits = r->commit > b->commit;
    t->elections += leads && !led;
    t->step_downs += led && !leads;
    t->leader_commits += commits && leads;
    t->follower_commits += commits && !leads && !n->effects.apply_snapshot;
    t->truncations += n->effects.save_from != 0 && n->effects.save_from <= b->last;
    t->compactions += n->effects.save_snapshot && !n->effects.apply_snapshot;
    t->installs += n->effects.apply_snapshot;
    t->full_logs += r->last - r->snapshot.index == RAFT_LOG_MAX;
    t->refusals += n->effects.refusal == RAFT_LOG_FULL;
    t->changes += led && leads && r->members_index > b->members_index;
    t->joints += leads && r->members.outgoing != 0 && b->members.outgoing == 0;
    t->removals += led && !leads && r->term == b->term && r->members_index <= r->commit &&
                   !(r->members.voters >> 1 & 1);
    t->transfers += r->transfer != 0 && b->transfer == 0;
    count_messages(t, &n->effects);
    count_answers(t, n);
}

/* Many lives of a node: the invariants hold after each event, and what was asked to be saved is
 * what the node holds. */
Test(random, any_events_do_no_harm) {
    enum { EVENTS = 600000 };
    static struct hammer h = {.dice = 1};
    hammer_restart(&h);
    for (uint32_t i = 0; i < EVENTS; i++) {
        if (roll(&h.dice, 300) == 0) hammer_restart(&h);
        struct raft_message m;
        struct raft_event event = roll_event(&h.dice, &h.node.raft, &m);
        memcpy(&h.before, &h.node.raft, sizeof h.before);
        raft_step(&h.node.raft, &event, &h.node.effects);
        disk_write(&h.disk, &h.node);
        const char *wrong = wrong_step(&h, &event);
        cr_assert_null(wrong, "event %u, of type %d: %s", i, event.type, wrong);
        count_step(&h.tally, &h.before, &h.node);
    }
    uint32_t counts[sizeof h.tally / sizeof(uint32_t)];
    memcpy(counts, &h.tally, sizeof counts);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        cr_expect_geq(counts[i], 20, "field %zu of the tally: %u", i, counts[i]);
}
