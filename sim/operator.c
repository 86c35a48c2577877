/* operator.c - asks a leader for another leader or configuration. */
#include "operator.h"

#include <assert.h>

#include "process.h"
#include "survey.h"

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
    CHANGE_HEAL,         /* Instead of it, a member that is gone leaves, and a node that runs takes
                          * its place. */
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

static node_set lowest(node_set set) { return set & -set; }

/* A node that is gone, and one that may take its place; both empty: there is nothing to heal. */
static node_set find_gone(const struct cluster *c, const struct node_members *m, node_set *in) {
    node_set all = node_members_all(m), gone = lowest(all & c->gone);
    *in = gone != 0 ? lowest(cluster_ids(c) & ~all & ~c->gone) : 0;
    return gone;
}

/* What is asked for, where `m` is the configuration now. */
static struct node_event change_of(struct cluster *c, enum change_kind kind,
                                   const struct node_members *m) {
    enum { FIRST = 0, SECOND = NODE_MAX + 1 }; /* Subjects of choices that are about no node. */
    node_set voters = m->voters, learners = m->learners, one = choose_node(c, FIRST), in;
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
    case CHANGE_HEAL:
        one = find_gone(c, m, &in);
        voters = (voters & ~one) | in;
        learners &= ~one;
        break;
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
    node_set listening = 0;
    for (node_id id = 1; id <= cluster_count(c); id++)
        if (process_listens(c, id)) listening |= node_bit(id);
    if (chosen != 0) return listening >> chosen & 1 ? (node_id)chosen : 0;
    return cluster_leader(c, listening);
}

/* An operator goes by health: of the voters that it asks for, a majority is not gone. */
static bool is_healthy(const struct cluster *c, const struct node_event *wish) {
    node_set voters = wish->u.change.voters;
    return node_is_majority(voters, voters & ~c->gone);
}

static void choose_change(struct cluster *c, node_id leader) {
    if (!(c->impl->supports & NODE_HAS_CHANGES)) return;
    uint32_t kind = choice_take(c->choices, CHOICE_CHANGE, 0, CHANGE_KIND_COUNT);
    if (kind == CHANGE_NONE) return;
    struct node_members m;
    c->impl->members(cluster_node(c, leader), &m);
    struct node_event event = change_of(c, (enum change_kind)kind, &m);
    bool is_none = event.u.change.voters == m.voters && event.u.change.learners == m.learners;
    if (kind == CHANGE_HEAL && is_none) return;
    if (kind == CHANGE_HEAL) c->counts[SOMETIMES_REPLACED]++;
    c->operator_wish = event;
    c->operator_tries = OPERATOR_TRIES;
}

/* What is refused is asked for again: an operator waits for the leader to be ready. */
static void ask_for_change(struct cluster *c, node_id leader) {
    if (c->operator_tries == 0) choose_change(c, leader);
    if (!is_healthy(c, &c->operator_wish)) c->operator_tries = 0;
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

/* ---- machines ---- */

/* A node that has taken part, is in no configuration that matters, and is not gone. */
static node_id find_removed(const struct cluster *c) {
    node_set rest = cluster_ids(c) & ~c->gone & ~survey_cluster(c, 0).named;
    for (; rest != 0; rest &= rest - 1) {
        node_id id = (node_id)__builtin_ctzll(rest);
        if (c->disks[id].term > 0) return id;
    }
    return 0;
}

/* An id that was never used. */
static node_id find_unused(const struct cluster *c) {
    for (node_set rest = c->gone; rest != 0; rest &= rest - 1)
        if (!c->processes[__builtin_ctzll(rest)].has_memory) return (node_id)__builtin_ctzll(rest);
    return 0;
}

/* A removed machine is wiped and comes back under a new id: the old one is gone for good. Under its
 * old id it could vote twice in a term. */
static void renew(struct cluster *c) {
    node_id removed = find_removed(c), unused = find_unused(c);
    if (removed == 0) return;
    if (c->config.wipe_same_id != 0) {
        if (c->processes[removed].is_alive) process_crash(c, removed);
        process_wipe(c, removed);
    } else if (unused != 0) {
        c->counts[SOMETIMES_RENEWED]++;
        process_stop(c, removed);
        c->gone &= ~node_bit(unused);
        process_start(c, unused);
    }
}

void operator_occasion(struct cluster *c) {
    assert(!c->is_calm);
    if (choice_take(c->choices, CHOICE_RENEW, 0, 2) != 0) {
        renew(c);
        return;
    }
    node_id leader = choose_leader(c);
    if (leader == 0) return;
    if (!transfer(c, leader)) ask_for_change(c, leader);
}
