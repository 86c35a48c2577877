/* test_check_configuration.c - the check of configurations (story.h). */
#include <criterion/criterion.h>

#include "story.h"

TestSuite(configuration, .init = open_world_with_spares, .fini = close_world);

/* The first members are n1, n2 and n3; n4 and n5 may join. */
static const node_set FIRST = 2 | 4 | 8, FOUR = 2 | 4 | 8 | 16, FIVE = 2 | 4 | 8 | 16 | 32;

/* ---- one at a time ---- */

static void tell_next_change(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, nodes(2, 3));
    if (variant == LEGAL) commits(w, 1, 3);
    if (variant <= FORGED) {
        reconfigures(w, 1, 4, 1, voters(FIVE));
        return;
    }
    saves_entry(w, 2, 4, 1); /* Not a leader; and not at once. */
    saves_members(w, 2, 5, 1, voters(FIVE));
    steps(w, 2);
}

/* "A leader must not begin the next change before the last one is committed" (D 4.1). */
Test(configuration, next_change) { judge(CHECK_CONFIGURATION, 3, tell_next_change, FORGED_2); }

static void tell_two_in_one_write(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, nodes(2, 3));
    saves_members(w, 1, 4, 1, voters(FIVE));
    saves_members(w, 1, 5, 1, voters(FOUR));
    if (variant == LEGAL) truncates(w, 1, 4);
    commits(w, 1, 3);
}

/* Two at once, of which only the first may follow on what is committed in that very step (D 4.1).
 */
Test(configuration, two_in_one_write) {
    judge(CHECK_CONFIGURATION, 3, tell_two_in_one_write, FORGED);
}

static void tell_another_change(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    follows(w, 3, 1);
    for (uint64_t i = 1; i <= 2; i++) copies(w, 3, 1, i);
    elects(w, 2, 2, nodes(2, 3));
    replicates_members(w, nodes(2, 3), 3, 2, voters(nodes(2, 3)));
    commits(w, 2, 3);
    if (variant == FORGED) {
        reconfigures(w, 1, 4, 1, voters(FIVE));
        return;
    }
    becomes_follower(w, 1, 2);
    saves_members(w, 1, 3, 2, voters(nodes(2, 3)));
    saves_members(w, 1, 4, 2, voters(FIRST));
    steps(w, 1);
}

/* That another configuration is committed at its index does not help the one that n1 has (D 4.1).
 */
Test(configuration, another_is_committed) {
    silent_with(1u << CHECK_CONFIGURATION, 3, tell_another_change, LEGAL);
    fires_alone(CHECK_CONFIGURATION, 3, tell_another_change, FORGED);
}

static void tell_change_upon_a_snapshot(struct world *w, uint32_t variant) {
    (void)variant;
    begin_change(w, voters(FOUR));
    catch_up(w, three(2, 3, 4));
    appends(w, 1, 4, 1);
    catch_up(w, three(2, 3, 4));
    commits(w, 1, 4);
    compacts(w, 1);
    syncs(w, 1);
    reconfigures(w, 1, 5, 1, voters(FIVE));
    follows(w, 5, 1);
    installs(w, 5, 1);
    syncs(w, 5);
    catch_up(w, FIVE & ~node_bit(1));
    crashes(w, 5, 0);
    restarts(w, 5);
    elects(w, 5, 2, three(3, 4, 5));
    syncs(w, 1);
    replicates(w, three(3, 4, 5), 6, 2);
    commits(w, 5, 6);
    reconfigures(w, 5, 7, 2, voters(FIVE & ~node_bit(1)));
}

/* What a snapshot covers is committed (7); n5 joins by one, and leads. */
Test(configuration, upon_a_snapshot) { silent(3, tell_change_upon_a_snapshot, LEGAL); }

static void tell_joint_all_the_way(struct world *w, uint32_t effect) {
    begin_change(w, joint(three(3, 4, 5), FIRST));
    catch_up(w, FIVE & ~node_bit(1));
    if (effect > 0) crashes_before(w, 1, effect);
    saves_members(w, 1, 4, 1, voters(three(3, 4, 5)));
    commits(w, 1, 3);
    if (effect > 0) return;
    syncs(w, 1);
    catch_up(w, three(3, 4, 5));
    puppet(w, 1)->view.role = NODE_FOLLOWER;
    commits(w, 1, 4);
    elects(w, 3, 2, nodes(4, 5));
    replicates(w, three(3, 4, 5), 5, 2);
    learns(w, 3, 4, 5);
    commits(w, 3, 5);
}

/* A joint configuration is committed and left in one step, also where the leader crashes in it; n1
 * leads up to the commit of the configuration without it (6, D 4.3). */
Test(configuration, through_a_joint_one) {
    for (uint32_t effect = 0; effect <= 3; effect++) silent(3, tell_joint_all_the_way, effect);
}

/* ---- quorums that meet ---- */

static void tell_next_members(struct world *w, uint32_t variant) {
    const struct node_members next[] = {
        joint(three(3, 4, 5), FIRST),
        voters(three(3, 4, 5)),
        voters(FIVE),
        voters(node_bit(1)),
        joint(three(3, 4, 5), nodes(4, 5)),
    };
    share(w, 1);
    reconfigures(w, 1, 2, 1, next[variant]);
}

/* One voter more or less, or a joint configuration: else there are quorums without a common member
 * (6, D 4.1). */
Test(configuration, quorums_that_meet) {
    judge(CHECK_CONFIGURATION, 3, tell_next_members, FORGED_4);
}

static bool majority(node_set voters, node_set set) {
    return voters == 0 || __builtin_popcountll(voters & set) * 2 > __builtin_popcountll(voters);
}

/* Of five nodes, no set has a quorum of one whose complement has a quorum of the other. */
static bool quorums_meet(struct node_members a, struct node_members b) {
    for (node_set set = 0; set < 64; set += 2) {
        node_set rest = FIVE & ~set;
        if (majority(a.voters, set) && majority(a.outgoing, set) && majority(b.voters, rest) &&
            majority(b.outgoing, rest))
            return false;
    }
    return true;
}

static bool is_judged_to_meet(struct node_members next) {
    world_reset(&world, 3, 1u << CHECK_CONFIGURATION);
    reconfigures(&world, 1, 1, 1, next);
    return checks_violation(world.checks) == NULL;
}

/* Goal: the arithmetic is right. Method: from the first members to every set of voters, and every
 * joint one, against the definition. Of a joint one, the check wants one half to be enough. */
Test(configuration, does_as_the_definition) {
    for (node_set set = 2; set < 64; set += 2) {
        struct node_members next = voters(set);
        cr_assert_eq(is_judged_to_meet(next), quorums_meet(voters(FIRST), next), "%x", (int)set);
        for (node_set old = 2; old < 64; old += 2) {
            next = joint(set, old);
            bool is_half = quorums_meet(voters(FIRST), voters(set)) ||
                           quorums_meet(voters(FIRST), voters(old));
            cr_assert_eq(is_judged_to_meet(next), is_half, "%x, %x", (int)set, (int)old);
            if (is_half) cr_assert(quorums_meet(voters(FIRST), next));
        }
    }
}

static void tell_leave_joint(struct world *w, uint32_t variant) {
    begin_change(w, joint(three(3, 4, 5), FIRST));
    catch_up(w, FIVE & ~node_bit(1));
    commits(w, 1, 3);
    reconfigures(w, 1, 4, 1, voters(variant == LEGAL ? three(3, 4, 5) : nodes(1, 4)));
}

/* What follows a joint configuration must meet one of its halves (D 4.3). */
Test(configuration, after_a_joint_one) { judge(CHECK_CONFIGURATION, 3, tell_leave_joint, FORGED); }

/* ---- a function of the log ---- */

/* From the next step on, it acts on that one, whatever its log says. */
static void forges(struct world *w, node_id id, struct node_members members) {
    puppet(w, id)->is_forged = true;
    puppet(w, id)->forged = members;
}

static void tell_in_force(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    if (variant == FORGED) forges(w, 2, voters(FIRST)); /* Not before it is committed? */
    reconfigures(w, 2, 3, 1, voters(FOUR));
    if (variant == FORGED) return;
    syncs(w, 2);
    if (variant == FORGED_2) forges(w, 2, voters(FOUR)); /* Although it is cut off again? */
    follows(w, 3, 1);
    copies(w, 3, 1, 1);
    copies(w, 3, 1, 2);
    elects(w, 3, 2, nodes(1, 3));
    becomes_follower(w, 2, 2);
    appends(w, 2, 3, 2);
}

/* "A server always uses the latest configuration in its log, regardless of whether the entry is
 * committed" (6). */
Test(configuration, latest_in_the_log) { judge(CHECK_CONFIGURATION, 3, tell_in_force, FORGED_2); }

/* n2, which has 2/1 and the configuration at 3/1, seeks votes, wins them, or steps down, without a
 * word about its log. */
static void tell_promotion(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, three(2, 3, 4));
    commits(w, 1, 3);
    puppet(w, 2)->view.role = NODE_PRECANDIDATE;
    if (variant == FORGED) forges(w, 2, voters(FIRST));
    steps(w, 2);
    if (variant == FORGED) return;
    for (node_id id = 3; id <= 4; id++) {
        promises_prevote(w, id, 2, 1);
        steps(w, id);
        hears_promise(w, 2, id,
                      (struct promise){.type = PROMISE_PREVOTE, .candidate = 2, .term = 1});
    }
    if (variant == FORGED_2) forges(w, 2, voters(FIRST));
    votes(w, 2, 2, 2);
    if (variant == FORGED_2) return;
    for (node_id id = 3; id <= 4; id++) votes(w, id, 2, 2);
    for (node_id id = 2; id <= 4; id++) syncs(w, id);
    if (variant == FORGED_3) forges(w, 2, voters(FIRST));
    leads(w, 2, 2);
}

/* It counts votes by the configuration that it acts on: that of its log (6). */
Test(configuration, when_promoted) { judge(CHECK_CONFIGURATION, 3, tell_promotion, FORGED_3); }

static void tell_joiner(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, node_bit(2));
    follows(w, 4, 1);
    if (variant == FORGED) forges(w, 4, voters(FIRST));
    appends(w, 4, 1, 1);
    if (variant == FORGED) return;
    copies(w, 4, 1, 2);
    if (variant == FORGED_2) forges(w, 4, voters(0));
    reconfigures(w, 4, 3, 1, voters(FOUR));
}

/* Who joins knows no members until its log tells. */
Test(configuration, of_a_joiner) { judge(CHECK_CONFIGURATION, 3, tell_joiner, FORGED_2); }

static void tell_members_of_a_snapshot(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, three(2, 3, 4));
    commits(w, 1, 3);
    compacts(w, 1);
    follows(w, 5, 1);
    if (variant == FORGED) forges(w, 5, voters(FIRST));
    installs(w, 5, 1);
    if (variant == FORGED) return;
    syncs(w, 5);
    crashes(w, 5, 0);
    if (variant == FORGED_2) forges(w, 5, voters(FIVE));
    restarts(w, 5);
}

/* ... or a snapshot, from which a life starts, too (7). */
Test(configuration, of_a_snapshot) {
    judge(CHECK_CONFIGURATION, 3, tell_members_of_a_snapshot, FORGED_2);
}

/* A configuration that changes on its own is found by the comparison. */
Test(configuration, compared) {
    world_reset(&world, 3, CHECK_ALL);
    begin_change(&world, voters(FOUR));
    expect_none(&world, LEGAL);
    forges(&world, 1, (struct node_members){.voters = FOUR, .learners = node_bit(5)});
    steps(&world, 1);
    cr_assert_not(world.is_over, "%s", speaks(&world));
    checks_compare(world.checks, world.cluster);
    expect_violation(&world, CHECK_CONFIGURATION, FORGED);
}

/* ---- who leads from outside ---- */

static void tell_removed_leader(struct world *w, uint32_t variant) {
    struct node_members members = {.voters = nodes(2, 3)};
    if (variant == FORGED_2) members.learners = node_bit(1);
    begin_change(w, members);
    steps(w, 1);
    catch_up(w, nodes(2, 3));
    learns(w, 1, 2, 3);
    if (variant == LEGAL) puppet(w, 1)->view.role = NODE_FOLLOWER;
    commits(w, 1, 3);
}

/* "The leader steps down once it has committed the C_new log entry" (6), in the step in which it
 * does; a learner has no vote either. */
Test(configuration, removed_leader) {
    judge(CHECK_CONFIGURATION, 3, tell_removed_leader, FORGED_2);
}

static void tell_outgoing_leader(struct world *w, uint32_t variant) {
    (void)variant;
    begin_change(w, joint(three(3, 4, 5), FIRST));
    catch_up(w, FIVE & ~node_bit(1));
    commits(w, 1, 3);
    appends(w, 1, 4, 1);
}

/* Who is only an outgoing voter of a joint configuration may lead it (D 4.3). */
Test(configuration, outgoing_leader) { silent(3, tell_outgoing_leader, LEGAL); }

/* n1 commits its removal. */
static void remove_leader(struct world *w) {
    begin_change(w, voters(nodes(2, 3)));
    catch_up(w, nodes(2, 3));
    puppet(w, 1)->view.role = NODE_FOLLOWER;
    commits(w, 1, 3);
}

static void lead_from_outside(struct world *w, uint32_t variant) {
    elects(w, 1, 2, three(1, 2, 3));
    replicates(w, three(1, 2, 3), 4, 2);
    if (variant == LEGAL) puppet(w, 1)->view.role = NODE_FOLLOWER;
    commits(w, 1, 4);
}

static void tell_outsider_elected(struct world *w, uint32_t variant) {
    remove_leader(w);
    lead_from_outside(w, variant);
}

static void tell_forgetful_outsider(struct world *w, uint32_t variant) {
    remove_leader(w);
    crashes(w, 1, 0);
    restarts(w, 1);
    lead_from_outside(w, variant);
}

/* A removed server may be elected, whether it knows that it is removed (D 4.2.2) or not, and leads
 * until it has committed an entry of its own term. */
Test(configuration, outsider_elected) {
    judge(CHECK_CONFIGURATION, 3, tell_outsider_elected, FORGED);
    judge(CHECK_CONFIGURATION, 3, tell_forgetful_outsider, FORGED);
}

static void tell_joiner_leads(struct world *w, uint32_t variant) {
    begin_change(w, voters(FOUR));
    catch_up(w, node_bit(2));
    follows(w, 4, 1);
    copies(w, 4, 1, 1);
    copies(w, 4, 1, 2);
    if (variant == LEGAL) copies(w, 4, 1, 3);
    elects(w, 4, 2, three(2, 3, 4));
}

/* Who knows no members leads nobody. */
Test(configuration, joiner_leads) {
    fires_alone(CHECK_CONFIGURATION, 3, tell_joiner_leads, FORGED);
}
