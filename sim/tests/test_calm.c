/* test_calm.c - the calm phase under configurations: actors with logs that differ, of which a twin
 * tells what still matters, who may be left outside the core, how that one goes on, and who
 * retires.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"
#include "process.h"

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

enum { VOTERS = 5, SPARES = 3, COUNT = VOTERS + SPARES, LOG_LAST = 12 };

static void begin(void) {
    struct cluster_config config = quiet(VOTERS);
    config.spares = SPARES;
    stage_begin(config);
}

static node_set nodes(node_id a, node_id b, node_id c) {
    return (node_bit(a) | node_bit(b) | node_bit(c)) & ~(node_set)1;
}

static struct node_members any_members(uint64_t *random) {
    struct node_members m = {0};
    while (m.voters == 0)
        for (node_id id = 1; id <= COUNT; id++) m.voters |= roll(random, 2) != 0 ? node_bit(id) : 0;
    if (roll(random, 3) == 0) m.outgoing = nodes((node_id)(1 + roll(random, COUNT)), 1, 2);
    if (roll(random, 3) == 0) m.learners = node_bit((node_id)(1 + roll(random, COUNT))) & ~m.voters;
    return m;
}

/* ---- the twin ---- */

/* What a node has: the configurations of its log, and how much of it is committed. */
struct holding {
    bool is_alive;
    uint64_t base, commit;
    struct node_members base_members;
    uint32_t count;
    uint64_t indexes[ACTOR_ENTRIES_MAX];
    struct node_members members[ACTOR_ENTRIES_MAX];
};

/* Calls all that still matter; returns whether the set holds a quorum of each. */
static bool twin_is_quorum(const struct holding h[COUNT + 1], node_set set, node_set *named) {
    uint32_t ahead = 1;
    for (uint32_t id = 2; id <= COUNT; id++)
        if (h[id].commit > h[ahead].commit) ahead = id;
    uint64_t commit = h[ahead].commit;
    struct node_members now = h[ahead].base_members;
    if (now.voters == 0) now.voters = cluster_voters(world);
    for (uint32_t i = 0; i < h[ahead].count; i++)
        if (h[ahead].indexes[i] <= commit) now = h[ahead].members[i];
    bool is_quorum = node_is_quorum(&now, set);
    *named = node_members_all(&now);
    for (uint32_t id = 1; id <= COUNT; id++)
        for (uint32_t i = 0; i < h[id].count; i++) {
            if (h[id].indexes[i] <= commit) continue;
            *named |= node_members_all(&h[id].members[i]);
            is_quorum = is_quorum && node_is_quorum(&h[id].members[i], set);
        }
    return is_quorum;
}

/* A log with up to three configurations, of which some part is committed. */
static void draw_holding(uint64_t *random, node_id id, struct holding *h) {
    *h = (struct holding){.is_alive = roll(random, 4) != 0};
    if (id <= VOTERS) h->base_members.voters = cluster_voters(world);
    if (roll(random, 3) == 0) {
        h->base = 1 + roll(random, 4);
        h->base_members = any_members(random);
    }
    for (uint64_t i = h->base + 1; i <= LOG_LAST && h->count < 3; i++) {
        if (roll(random, 4) != 0) continue;
        h->indexes[h->count] = i;
        h->members[h->count++] = any_members(random);
    }
    h->commit = h->is_alive ? h->base + roll(random, LOG_LAST - (uint32_t)h->base + 1) : h->base;
}

/* The node comes to have that, in memory or, if it is dead, on its disk. */
static void place(node_id id, const struct holding *h) {
    struct process *p = &world->processes[id];
    struct stage *s = &stages[id];
    struct disk *d = &world->disks[id];
    s->image.members = h->base_members;
    for (uint32_t i = 0; i < h->count; i++)
        order_entry(id, h->indexes[i],
                    (struct node_entry){.type = NODE_MEMBERS, .members = h->members[i]});
    s->view = (struct node_view){.snapshot.index = h->base, .commit = h->commit, .last = LOG_LAST};
    p->view = s->view;
    if (h->is_alive) return;
    crash_now(id);
    d->snapshot.index = h->base;
    d->image = s->image;
    d->entry_count = (uint32_t)(LOG_LAST - h->base);
    memset(d->entries, 0, d->entry_count * sizeof d->entries[0]);
    for (uint32_t i = 0; i < h->count; i++) {
        struct node_entry *e = &d->entries[h->indexes[i] - h->base - 1];
        e->type = NODE_MEMBERS;
        e->members = h->members[i];
    }
}

/* ---- the core ---- */

static void check_links(void) {
    for (node_id s = 1; s <= COUNT; s++)
        for (node_id t = 1; t <= COUNT; t++) {
            bool is_linked = s == t || ((world->core >> s & 1) && (world->core >> t & 1));
            cr_assert(network_is_cut(&world->network, s, t) == !is_linked, "%u to %u", s, t);
        }
}

/* Goal: the core can elect and commit whatever the logs say, and nobody stays in it who need not.
 * Method: random logs, snapshots and commits, of the living and the dead; some are chosen to stay
 * outside: each of them is, unless the others would be no quorum of what the twin tells. */
Test(cluster, core_holds_every_quorum) {
    static struct holding h[COUNT + 1];
    uint32_t parts = 0, kept = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint64_t random = seed;
        begin();
        for (node_id id = 1; id <= COUNT; id++) {
            draw_holding(&random, id, &h[id]);
            place(id, &h[id]);
        }
        outside = random_next(&random) & random_next(&random);
        memset(world->counts, 0, sizeof world->counts);
        cluster_calm(world);
        node_set named, rest;
        cr_assert(twin_is_quorum(h, world->core, &named) && (world->core & ~named) == 0);
        cr_assert((named & ~world->core & ~outside) == 0, "nobody chose that");
        for (rest = world->core & outside; rest != 0; rest &= rest - 1, kept++)
            cr_assert(!twin_is_quorum(h, world->core & ~(rest & -rest), &named));
        cr_assert(world->counts[SOMETIMES_CORE_PART] == (world->core != named));
        parts += world->core != named;
        check_links();
    }
    cr_assert(parts > 500 && kept > 500, "%u parts, %u kept", parts, kept);
}

/* Goal: spare nodes that nobody added do not count. Method: all of the others are the core. */
Test(cluster, spares_stay_outside) {
    begin();
    cluster_calm(world);
    cr_assert(world->core == cluster_voters(world));
    cr_assert(world->counts[SOMETIMES_CORE_PART] == 0);
    check_links();
}

/* Goal: a configuration that only a packet holds cannot matter, and late packets do not disturb
 * what is watched. Method: packets in flight survive into the calm phase, unless a configuration
 * was ever appended, or the leader shall stay or hand over. */
Test(cluster, packets_that_matter_do_not_survive) {
    enum { PLAIN, CHANGED, STAY, HANDOVER, WAYS };
    for (uint32_t way = PLAIN; way < WAYS; way++) {
        begin();
        stages[1].view.role = NODE_LEADER;
        poke(1);
        if (way == CHANGED) order_change(1, 1, (struct node_members){.voters = nodes(1, 2, 6)});
        poke(1);
        for (node_id target = 2; target <= 4; target++) order_packet(1, target, 7, 0);
        poke(1);
        run_for(0);
        forced[CHOICE_STAY] = way == STAY;
        forced[CHOICE_HANDOVER] = way == HANDOVER ? 3 : 0;
        cluster_calm(world);
        cr_assert(slots_in_use(&world->network) == (way == PLAIN ? 3 : 0));
        cr_assert(world->counts[SOMETIMES_LOSS] == (way == PLAIN ? 0 : 3));
        heard_count = 0;
        run_for(2 * LATENCY_US);
        for (node_id id = 2; id <= 4; id++)
            cr_assert_str_eq(heard_by(id), way == PLAIN ? "receive:7" : "");
        cr_assert(slots_in_use(&world->network) == 0);
    }
}

/* ---- the others ---- */

/* In the order in which the calm phase chooses them. */
enum { CUT_OFF, LINKED, HUNG };

/* Nodes 1 to 5 are voters; the options are on for these nodes; that is how all outside go on. */
static void begin_outside(uint32_t pre_vote, uint32_t check_quorum, uint32_t way) {
    struct cluster_config config = quiet(VOTERS);
    config.spares = SPARES;
    config.pre_vote = pre_vote;
    config.check_quorum = check_quorum;
    stage_begin(config);
    forced[CHOICE_OUTSIDE] = way;
}

static bool is_linked(node_id a, node_id b) {
    bool is_cut = network_is_cut(&world->network, a, b);
    cr_assert(network_is_cut(&world->network, b, a) == is_cut, "n%u and n%u", a, b);
    return !is_cut;
}

/* The nodes that it can reach. */
static node_set links_of(node_id id) {
    node_set set = 0;
    for (node_id other = 1; other <= COUNT; other++)
        if (other != id && is_linked(id, other)) set |= node_bit(other);
    return set;
}

/* Goal: a node outside keeps just one link. Method: each node of the core is chosen for that; the
 * link is between these two, and no other node of the core loses or gets one. */
Test(cluster, outside_node_keeps_a_link) {
    for (uint32_t nth = 0; nth < 4; nth++) {
        begin_outside(CONFIG_OPTION_ALL, CONFIG_OPTION_ALL, LINKED);
        outside = node_bit(2);
        forced[CHOICE_OUTSIDE_LINK] = nth;
        cluster_calm(world);
        const node_id core[] = {1, 3, 4, 5};
        const node_set all = node_bit(2) | nodes(6, 7, 8); /* Spare nodes are outside, too. */
        cr_assert(world->core == 0x3a && world->reach == world->core);
        for (node_id id = 6; id <= 8; id++) cr_assert(links_of(id) == node_bit(core[nth]));
        cr_assert(links_of(2) == node_bit(core[nth]));
        cr_assert(world->counts[SOMETIMES_OUTSIDE_LINKED] == 4);
        for (uint32_t i = 0; i < 4; i++) {
            node_set others = world->core & ~node_bit(core[i]);
            cr_assert(links_of(core[i]) == (others | (i == nth ? all : 0)));
        }
        cr_assert(asked[CHOICE_OUTSIDE_LINK] == 4 && bound_asked[CHOICE_OUTSIDE_LINK] == 4);
    }
}

/* Goal: a node outside and the node that it reaches are never a quorum, and never become one.
 * Method: a configuration on one disk or in one log, in which nodes 1, 2 and 5 are the voters or
 * will be when a joint one is left: node 5 keeps a link to 3 or 4, but none to 1 or 2. */
Test(cluster, outside_pair_is_no_quorum) {
    static const node_set outgoing[] = {0, 0x3e};
    for (node_id id = 1; id <= 4; id++)
        for (uint32_t way = 0; way < 4; way++) {
            begin_outside(CONFIG_OPTION_ALL, CONFIG_OPTION_ALL, LINKED);
            order_change(
                4, 1,
                (struct node_members){.voters = nodes(1, 2, 5), .outgoing = outgoing[way / 2]});
            poke(4);
            run_for(2 * SYNC_US);
            if (way % 2 != 0) crash_now(4);
            outside = node_bit(5);
            forced[CHOICE_OUTSIDE_LINK] = id - 1u;
            cluster_calm(world);
            cr_assert(world->core == 0x1e);
            cr_assert(links_of(5) == (id >= 3 ? node_bit(id) : 0), "n%u", id);
            cr_assert(world->counts[SOMETIMES_OUTSIDE_LINKED] >= (id >= 3));
        }
}

/* The calm phase of a kind of node that lacks these features; node 5 is outside. */
static node_set links_without(uint32_t features) {
    const struct node_impl *whole = world->impl;
    struct node_impl part = *whole;
    part.supports &= ~features;
    world->impl = &part;
    outside = node_bit(5);
    cluster_calm(world);
    world->impl = whole;
    return links_of(5);
}

/* Goal: without pre-vote and check-quorum everywhere, a node that keeps a link may disturb the core
 * for ever, and one whose disk hangs may lead for ever without check-quorum. Method: each option is
 * off for one node, or not supported. */
Test(cluster, outside_nodes_need_the_options) {
    const struct {
        uint32_t pre_vote, check_quorum, lacks;
        bool may_link, may_hang;
    } rows[] = {
        {255, 255, 0, true, true},
        {254, 255, 0, false, true},
        {255, 127, 0, false, false},
        {255, 255, NODE_HAS_PRE_VOTE, false, true},
        {255, 255, NODE_HAS_CHECK_QUORUM, false, false},
    };
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_outside(rows[i].pre_vote, rows[i].check_quorum, LINKED);
        cr_assert(links_without(rows[i].lacks) == (rows[i].may_link ? node_bit(1) : 0), "%u", i);
        begin_outside(rows[i].pre_vote, rows[i].check_quorum, HUNG);
        cr_assert(links_without(rows[i].lacks) == (rows[i].may_hang ? 0x1e : 0), "%u", i);
        cr_assert(world->counts[SOMETIMES_OUTSIDE_HUNG] == rows[i].may_hang);
        cr_assert((world->processes[5].hung_us == UINT64_MAX) == rows[i].may_hang);
        begin_outside(rows[i].pre_vote, rows[i].check_quorum, CUT_OFF);
        cr_assert(links_without(rows[i].lacks) == 0);
    }
}

/* Goal: one node outside, of those that run, keeps its links to the core and the clients, but no
 * write of it ever ends. Method: two voters and the spares outside, all alive or the first one
 * dead; a write that was under way, and one after it. */
Test(cluster, outside_node_hangs) {
    for (node_id hung = 4; hung <= 5; hung++) {
        begin_outside(0, CONFIG_OPTION_ALL, HUNG);
        if (hung == 5) crash_now(4);
        order_write(hung, 1);
        poke(hung);
        outside = node_bit(4) | node_bit(5);
        cluster_calm(world);
        cr_assert(world->core == 0xe && world->reach == (world->core | node_bit(hung)));
        for (node_id id = 4; id <= COUNT; id++)
            cr_assert(links_of(id) == (id == hung ? world->core : 0), "n%u", id);
        cr_assert(world->counts[SOMETIMES_OUTSIDE_HUNG] == 1);
        run_for(0); /* Node 4 starts again. */
        world->clients[0].leader = hung;
        cr_assert_str_eq(ask_client(hung), "propose:1");
        order_write(hung, 2);
        poke(hung);
        order_packet(1, hung, 7, 0);
        poke(1);
        heard_count = 0;
        run_for(QUIET_US / 2);
        cr_assert_str_eq(heard_by(hung), "receive:7");
        cr_assert(world->disks[hung].pending == 2 && world->disks[hung].term == 0);
    }
}

/* Goal: a disk that hung works again in the calm phase. Method: it hangs until long after, or for
 * ever, with a write that it has begun, before or after it began to hang. */
Test(cluster, calm_phase_ends_a_hang) {
    for (uint32_t bits = 0; bits < 4; bits++) {
        begin();
        uint64_t until_us = bits & 1 ? QUIET_US : UINT64_MAX;
        if (bits & 2) process_hang(world, 2, until_us);
        order_write(2, 1);
        order_packet(2, 3, 7, 1);
        poke(2);
        if (!(bits & 2)) process_hang(world, 2, until_us);
        run_for(2 * SYNC_US);
        cr_assert(world->disks[2].pending == 1);
        heard_count = 0;
        cluster_calm(world);
        run_for(SYNC_US);
        cr_assert_str_eq(heard_by(2), "saved:1");
        cr_assert(world->disks[2].pending == 0 && world->disks[2].term == 1);
        run_for(LATENCY_US);
        cr_assert_str_eq(heard_by(3), "receive:7");
    }
}

/* Goal: nodes that are gone stay away, unless the others are no quorum without them. Method: two or
 * three of five have stopped for good, and a spare: in the second case the voters come back. */
Test(cluster, gone_nodes_stay_away_unless_needed) {
    for (uint32_t count = 2; count <= 3; count++) {
        begin_outside(CONFIG_OPTION_ALL, CONFIG_OPTION_ALL, LINKED);
        for (node_id id = 1; id <= count; id++) process_stop(world, id);
        process_stop(world, 7);
        cluster_calm(world);
        bool are_needed = count == 3;
        cr_assert(world->core == (are_needed ? 0x3e : 0x38));
        cr_assert(world->gone == ((are_needed ? 0 : 0x6) | node_bit(7)));
        cr_assert(links_of(7) == 0 && (are_needed || links_of(1) == 0));
        run_for(QUIET_US / 2);
        for (node_id id = 1; id <= count; id++)
            cr_assert(world->processes[id].is_alive == are_needed);
        cr_assert(!world->processes[7].is_alive);
    }
}

/* ---- who retires ---- */

/* In the calm phase, node 1 leads, and has removed node 5: it commits up to `commit`. */
static void commit_removal(uint64_t commit, bool is_wanted_again) {
    struct node_members without = {.voters = 0x1e}, with = {.voters = 0x3e};
    begin();
    stages[1].view.role = NODE_LEADER;
    poke(1);
    order_change(1, 3, without);
    poke(1);
    if (is_wanted_again) order_change(2, 4, with);
    if (is_wanted_again) poke(2);
    cluster_calm(world);
    cr_assert(world->core == 0x3e);
    stages[1].view.commit = commit;
    heard_count = 0;
    poke(1);
}

/* Goal: a node is shut down once its removal is committed, not before, and not if it is wanted
 * again. Method: the leader commits up to just before and just that; another log has a change that
 * adds it. The node that retires hears nothing more, and is not waited for. */
Test(cluster, removed_nodes_retire) {
    for (uint32_t bits = 0; bits < 4; bits++) {
        bool is_committed = bits & 1, is_wanted = bits & 2, retires = is_committed && !is_wanted;
        commit_removal(is_committed ? 3 : 2, is_wanted);
        cr_assert(world->counts[SOMETIMES_RETIRED] == retires);
        cr_assert(world->core == (retires ? 0x1e : 0x3e));
        cr_assert(world->processes[5].is_alive == !retires);
        cr_assert_str_eq(facts(&world->change), retires ? "step crash" : "step");
        order_packet(1, 5, 7, 0);
        poke(1);
        run_for(QUIET_US / 2);
        cr_assert_str_eq(heard_by(5), retires ? "" : "receive:7");
        cr_assert(world->processes[5].is_alive == !retires && pending(EVENT_RESTART, 5) == 0);
    }
}

/* Goal: a leader that has removed itself retires, too. Method: it commits that, and steps down in
 * the same step. */
Test(cluster, removed_leader_retires) {
    begin();
    stages[1].view.role = NODE_LEADER;
    poke(1);
    order_change(1, 3, (struct node_members){.voters = 0x3c});
    poke(1);
    cluster_calm(world);
    stages[1].view.commit = 3;
    stages[1].view.role = NODE_FOLLOWER;
    poke(1);
    cr_assert(!world->processes[1].is_alive && world->core == 0x3c);
    cr_assert(pending(EVENT_RESTART, 1) == 0 && world->counts[SOMETIMES_RETIRED] == 1);
}

/* Goal: who is dead may retire. Method: the removed node has crashed, and would restart. */
Test(cluster, dead_nodes_retire) {
    begin();
    stages[1].view.role = NODE_LEADER;
    poke(1);
    order_change(1, 3, (struct node_members){.voters = 0x1e});
    poke(1);
    crash_now(5);
    cluster_calm(world);
    cr_assert(queue_reset(&world->queue,
                          (struct event){.due_us = 9000, .key = event_key(EVENT_RESTART, 5)}));
    stages[1].view.commit = 3;
    poke(1);
    cr_assert(world->counts[SOMETIMES_RETIRED] == 1 && world->core == 0x1e);
    run_for(QUIET_US / 2);
    cr_assert(!world->processes[5].is_alive);
}
