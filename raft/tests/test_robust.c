/* test_robust.c - a message from the network is never a programming error, and a copy of a node is
 * as good as the original. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

#include "dice.h"
#include "support.h"

/* As it is, its target included. */
static void feed(struct node *n, const struct raft_message *m) {
    node_step(n, &(struct raft_event){.type = RAFT_RECEIVE, .u.message = m});
}

static void assert_ignored(struct node *n, const struct raft_message *m) {
    static struct raft before;
    memcpy(&before, &n->raft, sizeof before);
    feed(n, m);
    assert_no_effects(n);
    cr_assert_eq(memcmp(&n->raft, &before, sizeof before), 0, "the node has changed");
}

enum { DEFECTS = 16, TYPES = RAFT_READ_REPLY + 1 };

/* What no correct peer sends. */
static void spoil(struct raft_message *m, unsigned defect) {
    switch (defect) {
    case 0: m->source = 0; return;
    case 1: m->source = m->target; return;
    case 2: m->source = RAFT_NODES_MAX + 1; return;
    case 3: m->source = UINT8_MAX; return;
    case 4: m->target = 0; return;
    case 5: m->target = 2; return;
    case 6: m->target = UINT8_MAX; return;
    case 7: m->entry_count = RAFT_BATCH_MAX + 1; return;
    case 8: m->entry_count = UINT8_MAX; return;
    case 9: m->entry_count = m->type != RAFT_APPEND ? 1 : RAFT_BATCH_MAX + 1; return;
    case 10: m->term = UINT64_MAX; return;
    case 11: m->term = UINT64_MAX / 2 + 1; return;
    case 12: m->index = UINT64_MAX; return;
    case 13: m->index = UINT64_MAX / 2 + 1; return;
    case 14: m->type = RAFT_READ_REPLY + 1; return;
    case 15: m->type = UINT8_MAX; return;
    }
    cr_assert_fail("there is no defect %u", defect);
}

/* Those that a node of an older term obeys at once. */
static bool raises_the_term(uint8_t type) {
    return type <= RAFT_CHUNK_REPLY && type != RAFT_PREVOTE;
}

/* Each defect in each type of message, in each role: no effects and no change; without the defect
 * the same message has both, if it is of a type that has in every role. */
Test(robust, wrong_messages_are_ignored) {
    for (unsigned i = 0; i < DEFECTS * TYPES * (RAFT_LEADER + 1); i++) {
        static struct node n; /* Padding too is compared. */
        node_start_as(&n, (enum raft_role)(i / DEFECTS / TYPES));
        raft_term term = n.raft.term + 1;
        uint8_t type = (uint8_t)(i / DEFECTS % TYPES);
        struct raft_message m = message_snapshot(2, term, 1, 1); /* Also an append of nothing. */
        m.type = type;
        m.target = 1;
        struct raft_message wrong = m;
        spoil(&wrong, i % DEFECTS);
        assert_ignored(&n, &wrong);
        if (!raises_the_term(type)) continue;
        feed(&n, &m);
        cr_assert(n.effects.save_vote, "case %u", i);
        cr_assert_eq(n.raft.term, term, "case %u", i);
    }
}

/* Term 0 comes before the first election: only pre-votes have it. */
Test(robust, messages_have_a_term) {
    for (uint8_t type = 0; type < TYPES; type++) {
        struct node n;
        node_start_as(&n, RAFT_FOLLOWER);
        struct raft_message m = message_snapshot(2, 0, 1, 1);
        m.type = type;
        m.target = 1;
        if (type == RAFT_PREVOTE) feed(&n, &m);
        else assert_ignored(&n, &m);
    }
}

/* Entries of no type, and configurations without voters, with node 0, or with a voter that is a
 * learner: the message is ignored, whatever else it holds. */
Test(robust, wrong_entries_are_ignored) {
    const struct raft_entry entries[] = {
        {.term = 4, .type = RAFT_MEMBERS + 1},
        {.term = 4, .type = UINT64_MAX},
        {.term = 4, .type = RAFT_MEMBERS},
        {.term = 4, .type = RAFT_MEMBERS, .members.learners = ids("123")},
        {.term = 4, .type = RAFT_MEMBERS, .members.outgoing = ids("123")},
        {.term = 4, .type = RAFT_MEMBERS, .members.voters = ids("0123")},
        {.term = 4, .type = RAFT_MEMBERS, .members = {ids("123"), ids("012"), 0}},
        {.term = 4, .type = RAFT_MEMBERS, .members = {ids("123"), 0, ids("0")}},
        {.term = 4, .type = RAFT_MEMBERS, .members = {ids("123"), 0, ids("34")}}};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        for (uint8_t place = 0; place < 3; place++) {
            struct node n;
            node_start_as(&n, RAFT_FOLLOWER);
            struct raft_message m = message_append(2, 4, "14444", 3, 5);
            m.target = 1;
            m.entries[place] = entries[i];
            assert_ignored(&n, &m);
        }
    }
}

/* A chunk names a snapshot that somebody can use, and some of its bytes. */
Test(robust, wrong_chunks_are_ignored) {
    for (unsigned defect = 0; defect < 10; defect++) {
        struct node n;
        node_start_as(&n, RAFT_FOLLOWER);
        struct raft_message m = message_snapshot(2, 4, 9, 4);
        struct raft_snapshot *s = &m.chunk.snapshot;
        m.target = 1;
        switch (defect) {
        case 0: m.index = 8; break;
        case 1: m.index_term = 3; break;
        case 2: s->index = m.index = 0; break;
        case 3: s->size = 0; break;
        case 4: m.chunk.length = 0; break;
        case 5: s->members.voters = 0; break;
        case 6: s->members.voters |= 1; break;
        case 7: s->members.outgoing |= 1; break;
        case 8: s->members.learners |= 1; break;
        case 9: s->members.learners = s->members.voters; break;
        }
        assert_ignored(&n, &m);
    }
}

/* Bytes that the snapshot does not have are not kept; the answer says which are wanted. */
Test(robust, chunks_beyond_the_snapshot_are_not_kept) {
    static const uint64_t rows[][2] = {{0, SNAPSHOT_SIZE + 1}, {0, UINT64_MAX},
                                       {SNAPSHOT_SIZE, 1},     {UINT64_MAX, 1},
                                       {1, UINT64_MAX},        {UINT64_MAX - 9, SNAPSHOT_SIZE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start_as(&n, RAFT_FOLLOWER);
        for (uint64_t offset = 0; offset <= 10; offset += 10) {
            node_receive(&n, message_chunk(2, 4, 9, 4, rows[i][0], rows[i][1]));
            cr_assert_not(n.effects.save_chunk, "row %zu", i);
            cr_assert_eq(n.effects.write, 0, "row %zu", i);
            const struct raft_message *m = &sent_alone(&n, RAFT_CHUNK_REPLY, 2)->message;
            cr_assert_not(m->accepted);
            cr_assert_eq(m->hint, offset, "row %zu", i);
            node_receive(&n, message_chunk(2, 4, 9, 4, 0, 10));
        }
    }
}

static bool same_outgoing(const struct raft_outgoing *a, const struct raft_outgoing *b) {
    if (a->after != b->after) return false;
    uint32_t size = raft_message_size(&a->message);
    return raft_message_size(&b->message) == size && memcmp(&a->message, &b->message, size) == 0;
}

static bool same_reads(const struct raft_effects *a, const struct raft_effects *b) {
    if (a->read_count != b->read_count) return false;
    for (uint8_t i = 0; i < a->read_count; i++) {
        const struct raft_read *x = &a->reads[i], *y = &b->reads[i];
        if (x->handle != y->handle || x->index != y->index) return false;
        if (x->is_served != y->is_served || x->is_lease != y->is_lease) return false;
    }
    return true;
}

/* What the effects announce; the rest of a batch is garbage. */
static bool same_effects(const struct raft_effects *a, const struct raft_effects *b) {
    if (a->save_chunk != b->save_chunk) return false;
    if (a->write != b->write || a->save_vote != b->save_vote) return false;
    if (a->save_snapshot != b->save_snapshot || a->save_from != b->save_from) return false;
    if (a->message_count != b->message_count || a->timer != b->timer) return false;
    if (a->apply_snapshot != b->apply_snapshot) return false;
    if (a->apply_from != b->apply_from || a->apply_to != b->apply_to) return false;
    if (a->answer_from != b->answer_from || a->refusal != b->refusal) return false;
    if (a->leader != b->leader) return false;
    for (uint8_t i = 0; i < a->message_count; i++)
        if (!same_outgoing(&a->messages[i], &b->messages[i])) return false;
    return same_reads(a, b);
}

/* Steps the second node as the first. Each batch is full of garbage of its own. */
static void step_both(struct node *a, struct node *b, const struct raft_event *event) {
    memset(&a->effects, 0x00, sizeof a->effects);
    memset(&b->effects, 0xff, sizeof b->effects);
    raft_step(&a->raft, event, &a->effects);
    raft_step(&b->raft, event, &b->effects);
}

static struct start random_start(uint64_t *dice) {
    struct start start = {.config = roll_config(dice), .term = 2, .log = "12"};
    start.snapshot = (struct raft_snapshot){.index = 3, .term = 1, .members = roll_members(dice)};
    return start;
}

/* A node copied with memcpy does as the original from then on. */
Test(robust, copy_behaves_as_the_original) {
    static struct node original, copy;
    uint64_t dice = 2;
    for (uint32_t i = 0; i < 50000; i++) {
        if (i % 500 == 0) node_start(&original, random_start(&dice));
        if (i % 100 == 0) {
            memset(&copy, 0xa5, sizeof copy);
            memcpy(&copy.raft, &original.raft, sizeof copy.raft);
        }
        struct raft_message m;
        struct raft_event event = roll_event(&dice, &original.raft, &m);
        step_both(&original, &copy, &event);
        cr_assert(same_effects(&original.effects, &copy.effects), "event %u", i);
    }
}

/* A node keeps nothing of the memory that it was started in. */
Test(robust, start_leaves_nothing_to_chance) {
    static struct node nodes[2];
    uint64_t dice = 3;
    for (uint32_t i = 0; i < 50000; i++) {
        if (i % 200 == 0) {
            struct start start = random_start(&dice);
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

/* The bytes that raft_message_size() counts are the message: no padding, and none that matter are
 * left out (raft.h). */
Test(robust, message_size_counts_what_matters) {
    struct raft_message m = {.type = RAFT_APPEND};
    for (uint8_t count = 0; count <= RAFT_BATCH_MAX; count++) {
        m.entry_count = count;
        cr_assert_eq(raft_message_size(&m),
                     offsetof(struct raft_message, entries) + count * sizeof(struct raft_entry));
    }
    m = (struct raft_message){.type = RAFT_CHUNK};
    cr_assert_eq(raft_message_size(&m), offsetof(struct raft_message, chunk) + sizeof m.chunk);
}
