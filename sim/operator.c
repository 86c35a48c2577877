/* operator.c - asks a leader for another leader or configuration. */
#include "operator.h"

#include <assert.h>

#include "process.h"

enum { OPERATOR_TRIES = 8 };

/* What happens to the chosen node. */
enum change_kind {
    CHANGE_NONE,
    CHANGE_VOTER,        /* It becomes a voter, whatever it was before. */
    CHANGE_LEARNER,      /* It becomes a learner, whatever it was before. */
    CHANGE_REMOVE,       /* It leaves. */
    CHANGE_VOTER_JOINT,  /* As before, but through a joint configuration. */
    CHANGE_REMOVE_JOINT, /* Likewise. */
    CHANGE_REPLACE,      /* It leaves, and another one becomes a voter. */
    CHANGE_MOVE,         /* The voters are those that are chosen. */
    CHANGE_KIND_COUNT
};

static node_set choose_node(struct cluster *c, uint16_t subject) {
    uint32_t count = cluster_count(c);
    return node_bit((node_id)(1 + choice_take(c->choices, CHOICE_CHANGE_NODE, subject, count)));
}

static node_set choose_set(struct cluster *c) {
    node_set set = 0;
    for (node_id id = 1; id <= cluster_count(c); id++)
        if (choice_take(c->choices, CHOICE_CHANGE_NODE, id, 2) != 0) set |= node_bit(id);
    return set;
}

/* What is asked for, where `m` is the configuration now. */
static struct node_event change_of(struct cluster *c, enum change_kind kind,
                                   const struct node_members *m) {
    enum { FIRST = 0, SECOND = NODE_MAX + 1 }; /* Subjects of choices that are about no node. */
    node_set voters = m->voters, learners = m->learners, one = choose_node(c, FIRST);
    switch (kind) {
    case CHANGE_VOTER:
    case CHANGE_VOTER_JOINT: voters |= one; break;
    case CHANGE_LEARNER:
        voters &= ~one;
        learners |= one;
        break;
    case CHANGE_REMOVE:
    case CHANGE_REMOVE_JOINT:
        voters &= ~one;
        learners &= ~one;
        break;
    case CHANGE_REPLACE:
        learners &= ~one;
        voters = (voters & ~one) | choose_node(c, SECOND);
        break;
    case CHANGE_MOVE: voters = choose_set(c); break;
    case CHANGE_NONE:
    case CHANGE_KIND_COUNT: assert(false);
    }
    struct node_event event = {.type = NODE_CHANGE};
    event.u.change.voters = voters;
    event.u.change.learners = learners & ~voters;
    event.u.change.is_joint = kind == CHANGE_VOTER_JOINT || kind == CHANGE_REMOVE_JOINT;
    return event;
}

/* The newest leader, or a node that is chosen: it may be one that has been deposed. */
static node_id choose_leader(struct cluster *c) {
    uint32_t chosen = choice_take(c->choices, CHOICE_OPERATOR_TARGET, 0, cluster_count(c) + 1);
    if (chosen != 0) return process_listens(c, (node_id)chosen) ? (node_id)chosen : 0;
    node_id leader = 0;
    for (node_id id = 1; id <= cluster_count(c); id++) {
        if (!process_listens(c, id) || cluster_view(c, id)->role != NODE_LEADER) continue;
        if (leader == 0 || cluster_view(c, id)->term > cluster_view(c, leader)->term) leader = id;
    }
    return leader;
}

static void choose_change(struct cluster *c, node_id leader) {
    if (!(c->impl->supports & NODE_HAS_CHANGES)) return;
    uint32_t kind = choice_take(c->choices, CHOICE_CHANGE, 0, CHANGE_KIND_COUNT);
    if (kind == CHANGE_NONE) return;
    struct node_members m;
    c->impl->members(cluster_node(c, leader), &m);
    struct node_event event = change_of(c, (enum change_kind)kind, &m);
    if (event.u.change.voters == 0) return; /* A cluster of nobody is never asked for. */
    c->operator_wish = event;
    c->operator_tries = OPERATOR_TRIES;
}

/* What is refused is asked for again: an operator waits for the leader to be ready. */
static void ask_for_change(struct cluster *c, node_id leader) {
    if (c->operator_tries == 0) choose_change(c, leader);
    if (c->operator_tries == 0) return;
    process_step(c, leader, &c->operator_wish);
    if (c->effects.refused) {
        c->counts[SOMETIMES_CHANGE_REFUSED]++;
        c->operator_tries--;
    } else {
        c->operator_tries = 0;
        process_reschedule(c, 0, EVENT_FAULT, 0); /* Faults are worst in the midst of a change. */
    }
}

/* True if the leader was asked. */
static bool transfer(struct cluster *c, node_id leader) {
    if (!(c->impl->supports & NODE_HAS_TRANSFERS)) return false;
    uint32_t target = choice_take(c->choices, CHOICE_TRANSFER, 0, cluster_count(c) + 1);
    if (target == 0) return false;
    struct node_event event = {.type = NODE_TRANSFER};
    event.u.target = (node_id)target;
    process_step(c, leader, &event);
    return true;
}

void operator_occasion(struct cluster *c) {
    assert(!c->is_calm);
    node_id leader = choose_leader(c);
    if (leader == 0) return;
    if (!transfer(c, leader)) ask_for_change(c, leader);
}
