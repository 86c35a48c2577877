/* test_robust.c - a message from the network is never a programming error, the node keeps its
 * invariants whatever comes, and a copy of it is as good as the original. */
#include <criterion/criterion.h>
#include <string.h>

#include "support.h"

static uint64_t dice_next(uint64_t *dice) { /* splitmix64 */
    uint64_t z = *dice += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t roll(uint64_t *dice, uint64_t bound) { return dice_next(dice) % bound; }

/* One of low to high; or, rarely, a number that overflows something. */
static uint64_t roll_number(uint64_t *dice, uint64_t low, uint64_t high) {
    static const uint64_t extremes[] = {0, UINT64_MAX / 2, UINT64_MAX / 2 + 1, UINT64_MAX};
    if (roll(dice, 2048) == 0) return extremes[roll(dice, 4)];
    return low + roll(dice, high - low + 1);
}

static raft_term roll_term(uint64_t *dice, const struct raft *r) {
    uint64_t face = roll(dice, 16);
    if (face == 0) return roll_number(dice, r->term, r->term + 2);
    if (face == 1) return roll_number(dice, r->term > 2 ? r->term - 2 : 0, r->term);
    return r->term;
}

/* Half of the time the term that the log has there, so that messages often fit. */
static raft_term roll_term_at(uint64_t *dice, const struct raft *r, raft_index index) {
    if (roll(dice, 2) == 0 || index < r->snapshot.index || index > r->last)
        return roll_number(dice, 0, 4);
    return index == r->snapshot.index ? r->snapshot.term : raft_entry_at(r, index)->term;
}

static raft_index roll_index(uint64_t *dice, const struct raft *r) {
    raft_index low = roll(dice, 8) == 0 ? 0 : r->snapshot.index;
    if (roll(dice, 4) == 0 && r->last > 2) low = r->last - 2;
    return roll_number(dice, low, r->last + 2);
}

static raft_id roll_id(uint64_t *dice, raft_id usual) {
    return (raft_id)(roll(dice, 64) == 0 ? roll(dice, 256) : usual);
}

static struct raft_message roll_message(uint64_t *dice, const struct raft *r) {
    struct raft_message m = {
        .type = roll_id(dice, (uint8_t)roll(dice, RAFT_SNAPSHOT_REPLY + 1)),
        .source = roll_id(dice, (raft_id)(2 + roll(dice, 2))),
        .target = roll_id(dice, r->self),
        .accepted = (uint8_t)(roll(dice, 3) % 2),
        .entry_count = roll_id(dice, (uint8_t)roll(dice, RAFT_BATCH_MAX + 1)),
        .term = roll_term(dice, r),
        .index = roll_index(dice, r),
        .commit = roll_index(dice, r),
        .hint = roll_index(dice, r),
        .state = dice_next(dice),
    };
    if (r->role == RAFT_CANDIDATE && roll(dice, 2) == 0) m.type = RAFT_VOTE_REPLY;
    bool answers = r->role == RAFT_LEADER && (r->voters >> 2 & 1) && roll(dice, 4) == 0;
    if (answers) m.index = r->peers[2].next - 1; /* What was sent last. */
    m.index_term = roll_term_at(dice, r, m.index);
    for (raft_index i = 0; i < RAFT_BATCH_MAX; i++) {
        m.entries[i].term = roll_term_at(dice, r, m.index + 1 + i);
        m.entries[i].command = dice_next(dice);
    }
    return m;
}

/* Any message and any request of the world; only the writes reported must have been asked for. */
static struct raft_event roll_event(uint64_t *dice, const struct raft *r, struct raft_message *m) {
    struct raft_event event = {.type = RAFT_RECEIVE, .now_us = dice_next(dice)};
    uint64_t face = roll(dice, 16);
    if (face < 2) {
        event.type = RAFT_PROPOSE;
        event.u.command = 1 + roll(dice, 1000);
    } else if (face < 5) {
        event.type = RAFT_SAVED;
        event.u.saved = roll(dice, r->written + 1);
    } else if (face == 5) {
        event.type = RAFT_COMPACT;
        event.u.compact.index = roll_index(dice, r);
        event.u.compact.state = dice_next(dice);
    } else if (face == 6) {
        event.type = RAFT_TIMEOUT;
    } else {
        *m = roll_message(dice, r);
        event.u.message = m;
    }
    return event;
}

enum { DEFECTS = 16 };

/* What no correct peer sends. */
static void spoil(struct raft_message *m, unsigned defect) {
    switch (defect) {
    case 0: m->source = 0; return;
    case 1: m->source = m->target; return;
    case 2: m->source = 4; return;
    case 3: m->source = RAFT_NODES_MAX + 1; return;
    case 4: m->source = UINT8_MAX; return;
    case 5: m->target = 0; return;
    case 6: m->target = 2; return;
    case 7: m->target = UINT8_MAX; return;
    case 8: m->entry_count = RAFT_BATCH_MAX + 1; return;
    case 9: m->entry_count = UINT8_MAX; return;
    case 10: m->term = 0; return;
    case 11: m->term = UINT64_MAX; return;
    case 12: m->index = UINT64_MAX; return;
    case 13: m->index = UINT64_MAX / 2 + 1; return;
    case 14: m->type = RAFT_SNAPSHOT_REPLY + 1; return;
    case 15: m->type = UINT8_MAX; return;
    }
    cr_assert_fail("there is no defect %u", defect);
}

static void start_as(struct node *n, enum raft_role role) {
    memset(n, 0, sizeof *n);
    node_start(n, (struct start){.term = 4, .log = "14"});
    if (role == RAFT_CANDIDATE) node_campaign(n);
    if (role == RAFT_LEADER) node_elect(n);
    cr_assert_eq(n->raft.role, role);
}

static void feed(struct node *n, const struct raft_message *m) {
    node_step(n, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = m});
}

/* Each defect in each type of message, in each role: no effects and no change; without the defect
 * the same message has both. */
Test(robust, wrong_messages_are_ignored) {
    for (unsigned i = 0; i < DEFECTS * (RAFT_SNAPSHOT_REPLY + 1) * (RAFT_LEADER + 1); i++) {
        struct node n, before;
        start_as(&n, (enum raft_role)(i / DEFECTS / (RAFT_SNAPSHOT_REPLY + 1)));
        memcpy(&before, &n, sizeof n);
        struct raft_message m = {.type = (uint8_t)(i / DEFECTS % (RAFT_SNAPSHOT_REPLY + 1)),
                                 .source = 2,
                                 .target = 1,
                                 .term = n.raft.term + 1};
        struct raft_message wrong = m;
        spoil(&wrong, i % DEFECTS);
        feed(&n, &wrong);
        assert_no_effects(&n);
        cr_assert_eq(memcmp(&n.raft, &before.raft, sizeof n.raft), 0, "case %u", i);
        feed(&n, &m);
        cr_assert(n.effects.save_vote, "case %u", i);
        cr_assert_eq(n.raft.term, before.raft.term + 1, "case %u", i);
    }
}

/* What the storage will hold when every write that was asked for is done. */
struct disk {
    raft_term term;
    raft_id vote;
    struct raft_snapshot snapshot;
    uint32_t count;
    struct raft_entry entries[RAFT_LOG_MAX];
    raft_write writes[RAFT_LOG_MAX]; /* The last one of each entry. */
};

static void disk_cut(struct disk *d, raft_index from) {
    raft_index kept = from - d->snapshot.index - 1;
    if (kept < d->count) d->count = (uint32_t)kept;
}

static void disk_compact(struct disk *d, struct raft_snapshot snapshot) {
    raft_index covered = snapshot.index - d->snapshot.index;
    if (covered > d->count) covered = d->count;
    d->count -= (uint32_t)covered;
    memmove(d->entries, d->entries + covered, d->count * sizeof d->entries[0]);
    memmove(d->writes, d->writes + covered, d->count * sizeof d->writes[0]);
    d->snapshot = snapshot;
}

static void disk_write(struct disk *d, const struct node *n) {
    const struct raft_effects *e = &n->effects;
    if (e->save_vote) {
        d->term = n->raft.term;
        d->vote = n->raft.vote;
    }
    if (e->save_snapshot) disk_compact(d, n->raft.snapshot);
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

static const char *wrong_disk(const struct disk *d, const struct raft *r) {
    if (d->term != r->term || d->vote != r->vote) return "term and vote are saved";
    if (d->snapshot.index != r->snapshot.index) return "the snapshot is saved";
    if (d->snapshot.term != r->snapshot.term) return "the term of the snapshot is saved";
    if (d->snapshot.state != r->snapshot.state) return "the state of the snapshot is saved";
    if (d->snapshot.index + d->count != r->last) return "the length of the log is saved";
    if (memcmp(d->entries, r->log, d->count * sizeof d->entries[0]) != 0) return "the log is saved";
    if (disk_saved(d, r->durable) != r->saved)
        return "entries count with the write that holds them";
    return NULL;
}

/* How often what happened: a hammer that hits nothing proves nothing. */
struct tally {
    uint32_t elections, step_downs, leader_commits, follower_commits, truncations, compactions;
    uint32_t installs, acknowledgements, rejections, grants, snapshots_sent, full_logs, refusals;
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
        d->term = d->count > 0;
        for (uint32_t i = 0; i < d->count; i++) d->entries[i] = (struct raft_entry){1, 1 + i};
    }
    memset(d->writes, 0, sizeof d->writes);
    struct raft_durable durable = {d->term, d->vote, d->snapshot, d->count, d->entries};
    raft_set voters = UINT64_MAX >> (62 - roll(&h->dice, 5)) & ~(raft_set)1;
    struct raft_config config = {1, voters, (uint8_t)(1 + roll(&h->dice, RAFT_BATCH_MAX))};
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
    if (r->role == RAFT_CANDIDATE && r->vote != r->self) return "a candidate votes for itself";
    if (r->role == RAFT_LEADER && r->leader != r->self) return "a leader knows itself";
    return NULL;
}

static const char *wrong_leader(const struct raft *b, const struct node *n) {
    const struct raft *r = &n->raft;
    if (r->role != RAFT_LEADER || b->role != RAFT_LEADER) return NULL;
    if (r->term != b->term) return "a leader leads one term";
    if (r->last < b->last) return "a leader never truncates";
    if (n->effects.save_from != 0 && n->effects.save_from != b->last + 1) return "append-only";
    if (r->commit > b->commit && r->commit > r->snapshot.index &&
        raft_entry_at(r, r->commit)->term != r->term)
        return "a leader commits by counting only its own term";
    for (raft_set rest = r->voters; rest != 0; rest &= rest - 1) {
        const struct raft_progress *peer = &r->peers[__builtin_ctzll(rest)];
        if (peer->match < b->peers[__builtin_ctzll(rest)].match) return "match only rises";
        if (peer->match >= peer->next) return "match is below next";
        if (peer->next > r->last + 1) return "next is at most one beyond the log";
    }
    return NULL;
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

static const char *wrong_answer(const struct node *n) {
    const struct raft_effects *e = &n->effects;
    if (e->answer_from == 0) return NULL;
    if (n->raft.role != RAFT_LEADER) return "only a leader answers";
    if (e->answer_from < e->apply_from || e->answer_from > e->apply_to)
        return "answers are applied";
    if (e->answer_from == e->apply_from) return NULL;
    if (raft_entry_at(&n->raft, e->answer_from - 1)->term == n->raft.term)
        return "all are answered";
    return NULL;
}

static const char *wrong_reply(const struct raft *r, const struct raft_outgoing *o) {
    const struct raft_message *m = &o->message;
    if (m->entry_count != 0) return "a reply has no entries";
    if (r->vote_write > r->durable && o->after < r->vote_write) return "a reply waits for the term";
    if (!m->accepted) return NULL;
    if (m->type == RAFT_VOTE_REPLY)
        return r->vote == m->target ? NULL : "the vote belongs to another";
    if (m->index > r->last) return "what is acknowledged is in the log";
    if (m->index > r->saved && o->after == 0) return "an acknowledgement waits for its entries";
    return NULL;
}

static const char *wrong_message(const struct raft *r, const struct raft_outgoing *o) {
    const struct raft_message *m = &o->message;
    if (m->source != r->self || m->target == r->self) return "messages are sent to others";
    if (!(r->voters >> m->target & 1)) return "messages are sent to members";
    if (m->term != r->term) return "messages have the term";
    if (o->after > r->written) return "messages wait for what was written";
    if (o->after != 0 && o->after <= r->durable) return "messages wait for what is not durable";
    switch ((enum raft_message_type)m->type) {
    case RAFT_VOTE: return r->role == RAFT_CANDIDATE ? NULL : "candidates ask for votes";
    case RAFT_APPEND:
        if (m->entry_count > r->batch_max) return "batches are limited";
        if (m->index + m->entry_count > r->last) return "entries that are sent are in the log";
        return r->role == RAFT_LEADER ? NULL : "leaders send entries";
    case RAFT_SNAPSHOT: return r->role == RAFT_LEADER ? NULL : "leaders send snapshots";
    case RAFT_VOTE_REPLY:
    case RAFT_APPEND_REPLY:
    case RAFT_SNAPSHOT_REPLY: return wrong_reply(r, o);
    }
    return "messages have a type";
}

static const char *wrong_messages(const struct node *n) {
    if (n->effects.message_count > RAFT_NODES_MAX) return "messages are limited";
    const char *wrong = NULL;
    for (uint8_t i = 0; i < n->effects.message_count && wrong == NULL; i++)
        wrong = wrong_message(&n->raft, &n->effects.messages[i]);
    return wrong;
}

static const char *wrong_step(const struct hammer *h) {
    const struct node *n = &h->node;
    const char *wrong = wrong_state(&h->before, &n->raft);
    if (wrong == NULL) wrong = wrong_leader(&h->before, n);
    if (wrong == NULL) wrong = wrong_save_and_apply(&h->before, n);
    if (wrong == NULL) wrong = wrong_answer(n);
    if (wrong == NULL) wrong = wrong_messages(n);
    if (wrong == NULL) wrong = wrong_disk(&h->disk, &n->raft);
    return wrong;
}

static void count_messages(struct tally *t, const struct raft_effects *e) {
    for (uint8_t i = 0; i < e->message_count; i++) {
        const struct raft_message *m = &e->messages[i].message;
        t->acknowledgements += m->type == RAFT_APPEND_REPLY && m->accepted;
        t->rejections += m->type == RAFT_APPEND_REPLY && !m->accepted;
        t->grants += m->type == RAFT_VOTE_REPLY && m->accepted;
        t->snapshots_sent += m->type == RAFT_SNAPSHOT;
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
    count_messages(t, &n->effects);
}

/* 300,000 random events, over many lives of a node: the invariants hold after each, and what was
 * asked to be saved is what the node holds. */
Test(robust, random_events_do_no_harm) {
    static struct hammer h = {.dice = 1};
    hammer_restart(&h);
    for (uint32_t i = 0; i < 300000; i++) {
        if (roll(&h.dice, 100) == 0) hammer_restart(&h);
        struct raft_message m;
        struct raft_event event = roll_event(&h.dice, &h.node.raft, &m);
        memcpy(&h.before, &h.node.raft, sizeof h.before);
        node_step(&h.node, &event);
        disk_write(&h.disk, &h.node);
        const char *wrong = wrong_step(&h);
        cr_assert_null(wrong, "event %u, of type %d: %s", i, event.type, wrong);
        count_step(&h.tally, &h.before, &h.node);
    }
    uint32_t counts[sizeof h.tally / sizeof(uint32_t)];
    memcpy(counts, &h.tally, sizeof counts);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        cr_assert_geq(counts[i], 20, "field %zu of the tally: %u", i, counts[i]);
}

static bool same_outgoing(const struct raft_outgoing *a, const struct raft_outgoing *b) {
    if (a->after != b->after) return false;
    if (memcmp(&a->message, &b->message, RAFT_MESSAGE_HEAD) != 0) return false;
    size_t size = a->message.entry_count * sizeof a->message.entries[0];
    return memcmp(a->message.entries, b->message.entries, size) == 0;
}

/* What the effects announce; the rest of a batch is garbage. */
static bool same_effects(const struct raft_effects *a, const struct raft_effects *b) {
    if (a->write != b->write || a->save_vote != b->save_vote) return false;
    if (a->save_snapshot != b->save_snapshot || a->save_from != b->save_from) return false;
    if (a->message_count != b->message_count || a->timer != b->timer) return false;
    if (a->apply_snapshot != b->apply_snapshot) return false;
    if (a->apply_from != b->apply_from || a->apply_to != b->apply_to) return false;
    if (a->answer_from != b->answer_from || a->refusal != b->refusal) return false;
    if (a->leader != b->leader) return false;
    for (uint8_t i = 0; i < a->message_count; i++)
        if (!same_outgoing(&a->messages[i], &b->messages[i])) return false;
    return true;
}

/* Steps the second node as the first. Each batch is full of garbage of its own. */
static void step_both(struct node *a, struct node *b, const struct raft_event *event) {
    memset(&a->effects, 0x00, sizeof a->effects);
    memset(&b->effects, 0xff, sizeof b->effects);
    node_step(a, event);
    node_step(b, event);
}

/* A node copied with memcpy does as the original from then on. */
Test(robust, copy_behaves_as_the_original) {
    static struct hammer h = {.dice = 2};
    static struct node copy;
    for (uint32_t i = 0; i < 50000; i++) {
        if (i % 500 == 0) hammer_restart(&h);
        if (i % 100 == 0) {
            memset(&copy, 0xa5, sizeof copy);
            memcpy(&copy.raft, &h.node.raft, sizeof copy.raft);
        }
        struct raft_message m;
        struct raft_event event = roll_event(&h.dice, &h.node.raft, &m);
        step_both(&h.node, &copy, &event);
        cr_assert(same_effects(&h.node.effects, &copy.effects), "event %u", i);
    }
}

/* A node keeps nothing of the memory that it was started in. */
Test(robust, start_leaves_nothing_to_chance) {
    static struct node nodes[2];
    static const struct start start = {.term = 2, .log = "12", .snapshot = {.index = 3, .term = 1}};
    uint64_t dice = 3;
    for (uint32_t i = 0; i < 50000; i++) {
        if (i % 200 == 0) {
            memset(&nodes[0], 0x00, sizeof nodes[0]);
            memset(&nodes[1], 0xff, sizeof nodes[1]);
            for (int k = 0; k < 2; k++) node_start(&nodes[k], start);
        }
        struct raft_message m;
        struct raft_event event = roll_event(&dice, &nodes[0].raft, &m);
        step_both(&nodes[0], &nodes[1], &event);
        cr_assert(same_effects(&nodes[0].effects, &nodes[1].effects), "event %u", i);
    }
}
