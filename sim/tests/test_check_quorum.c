/* test_check_quorum.c - the checks of what a quorum holds (story.h). */
#include <criterion/criterion.h>

#include "story.h"

/* ---- commit-quorum ---- */

TestSuite(commit_quorum, .init = open_world, .fini = close_world);

static void tell_figure_8(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, node_bit(1), 1, 1);
    elects(w, 3, 2, nodes(2, 3));
    replicates(w, node_bit(3), 1, 2);
    elects(w, 1, 3, nodes(1, 2));
    replicates(w, node_bit(2), 1, 1);
    learns(w, 1, 2, 1);
    if (variant == LEGAL) {
        replicates(w, nodes(1, 2), 2, 3);
        learns(w, 1, 2, 2);
    }
    commits(w, 1, variant == LEGAL ? 2 : 1);
}

/* An entry of an old term is not committed by counting replicas (5.4.2, figure 8). */
Test(commit_quorum, figure_8) { judge(CHECK_COMMIT_QUORUM, 3, tell_figure_8, FORGED); }

static void tell_unsynced(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    follows(w, 3, 1);
    for (node_id id = 1; id <= 3; id++) appends(w, id, 1, 1);
    syncs(w, 2);
    if (variant == LEGAL) syncs(w, 3);
    if (variant == FORGED_2) {
        syncs(w, 3);
        truncates(w, 3, 0);
        steps(w, 3);
        syncs(w, 3);
    }
    commits(w, 1, 1);
}

/* Entries in memory do not count, not even the leader's own, nor those that once were durable; and
 * without the leader others are a quorum. */
Test(commit_quorum, unsynced) { judge(CHECK_COMMIT_QUORUM, 3, tell_unsynced, FORGED_2); }

static void tell_half(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, variant == LEGAL ? three(1, 2, 4) : nodes(1, 2), 1, 1);
    commits(w, 1, 1);
}

/* Two of four are no quorum. */
Test(commit_quorum, half) { judge(CHECK_COMMIT_QUORUM, 4, tell_half, FORGED); }

static void tell_another_entry_synced(struct world *w, uint32_t variant) {
    elects(w, 2, 1, nodes(2, 3));
    replicates(w, node_bit(2), 1, 1);
    elects(w, 1, 2, nodes(1, 3));
    replicates(w, node_bit(1), 1, 2);
    if (variant == LEGAL) {
        becomes_follower(w, 2, 2);
        replicates(w, node_bit(2), 1, 2);
    }
    commits(w, 1, 1);
}

/* Another entry at the index does not count. */
Test(commit_quorum, another_entry) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_another_entry_synced, FORGED);
}

/* n1, leader of term 1, has synced nothing and commits late; n2 leads term 2, has committed 1/1 and
 * 2/2 and, as n3, compacted the first of them. */
static void tell_quorum_of_snapshots(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    appends(w, 1, 1, 1);
    appends(w, 1, 2, 1);
    replicates(w, nodes(2, 3), 1, 1);
    elects(w, 2, 2, nodes(2, 3));
    replicates(w, nodes(2, 3), 2, 2);
    learns(w, 2, 3, 2);
    for (node_id id = 2; id <= 3; id++) {
        struct puppet *p = puppet(w, id);
        p->view.commit = 2;
        p->next.apply_from = p->next.apply_to = 1; /* The state machine is slow. */
        steps(w, id);
        compacts(w, id);
        syncs(w, id);
    }
    learns(w, 1, 2, 1);
    learns(w, 1, 3, 1);
    commits(w, 1, variant == LEGAL ? 1 : 2);
}

/* A durable snapshot that ends with the entry counts, one before it does not (7). */
Test(commit_quorum, snapshots) { judge(CHECK_COMMIT_QUORUM, 3, tell_quorum_of_snapshots, FORGED); }

/* n1, leader of term 1, has 2/1 only in memory; the others have compacted 2/2. */
static void tell_quorum_of_other_snapshots(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    appends(w, 1, 1, 1);
    appends(w, 1, 2, 1);
    replicates(w, nodes(2, 3), 1, 1);
    elects(w, 2, 2, nodes(2, 3));
    replicates(w, nodes(2, 3), 2, 2);
    learns(w, 2, 3, 2);
    for (node_id id = 2; id <= 3; id++) {
        commits(w, id, 2);
        compacts(w, id);
        syncs(w, id);
    }
    shows_commit(w, 1, variant == LEGAL ? 1 : 2);
}

/* A durable snapshot holds what was committed, not another entry at the index (7). */
Test(commit_quorum, snapshots_of_another_entry) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_quorum_of_other_snapshots, FORGED);
}

/* A batch of entries of term 2, on n2 and n3, which compact it. */
static void grow(struct world *w, uint64_t from) {
    uint64_t last = from + NODE_WRITE_MAX - 1;
    for (node_id id = 2; id <= 3; id++) write_batch(w, id, from, 2);
    learns(w, 2, 3, last);
    for (node_id id = 2; id <= 3; id++) {
        commits(w, id, last);
        compacts(w, id);
        syncs(w, id);
    }
}

static void tell_old_entry(struct world *w, uint32_t variant) {
    (void)variant;
    elects(w, 1, 1, nodes(1, 2));
    appends(w, 1, 1, 1);
    replicates(w, nodes(2, 3), 1, 1);
    elects(w, 2, 2, nodes(2, 3));
    for (uint64_t i = 2; i <= NODE_LOG_MAX + NODE_WRITE_MAX; i += NODE_WRITE_MAX) grow(w, i);
    learns(w, 1, 2, 1);
    learns(w, 1, 3, 1);
    commits(w, 1, 1);
}

/* A late commit of an entry that the others have compacted long ago (7). */
Test(commit_quorum, old_entry) { silent(3, tell_old_entry, LEGAL); }

TestSuite(commit_quorum_of_changes, .init = open_world_with_spares, .fini = close_world);

static void tell_joint_quorum(struct world *w, uint32_t variant) {
    const node_set holders[] = {three(2, 4, 5), nodes(2, 3), nodes(4, 5), nodes(2, 4)};
    begin_change(w, joint(three(3, 4, 5), three(1, 2, 3)));
    catch_up(w, holders[variant]);
    commits(w, 1, 3);
}

/* A joint configuration needs both majorities (D 4.3): besides n1, the entry is on one of the new
 * voters only, or on none of the other outgoing ones. */
Test(commit_quorum_of_changes, joint) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_joint_quorum, FORGED_3);
}

static void tell_latest_configuration(struct world *w, uint32_t variant) {
    begin_change(w, voters(nodes(1, 2)));
    catch_up(w, node_bit(variant == LEGAL ? 2 : 3));
    commits(w, 1, 3);
}

/* "A server always uses the latest configuration in its log" (6): n1 and n3 were a quorum before.
 */
Test(commit_quorum_of_changes, latest) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_latest_configuration, FORGED);
}

static void tell_smaller_quorum(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 1);
    commits(w, 1, 1);
    appends(w, 1, 2, 1);
    if (variant != FORGED) syncs(w, 1);
    reconfigures(w, 1, 3, 1, voters(node_bit(1)));
    shows_commit(w, 1, variant == FORGED_2 ? 3 : 2);
}

/* A leader that has appended a smaller configuration needs no more than that one, even for what is
 * before it (6). */
Test(commit_quorum_of_changes, smaller) {
    silent(2, tell_smaller_quorum, LEGAL);
    fires_alone(CHECK_COMMIT_QUORUM, 2, tell_smaller_quorum, FORGED);
    fires_alone(CHECK_COMMIT_QUORUM, 2, tell_smaller_quorum, FORGED_2);
}

static void tell_commit_and_change(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 1);
    replicates(w, nodes(1, 2), 2, 1);
    if (variant == FORGED) reconfigures(w, 1, 3, 1, voters(three(1, 3, 4) | node_bit(2)));
    else saves_members(w, 1, 3, 1, voters(three(1, 3, 4) | node_bit(2)));
    commits(w, 1, 2);
}

/* What is committed in the step that appends a configuration may go by the one before: of four, two
 * are no quorum, but of three they were. */
Test(commit_quorum_of_changes, in_one_step) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_commit_and_change, FORGED);
}

static void tell_leader_outside(struct world *w, uint32_t variant) {
    begin_change(w, voters(nodes(2, 3)));
    catch_up(w, variant == LEGAL ? nodes(2, 3) : node_bit(2));
    puppet(w, 1)->view.role = NODE_FOLLOWER;
    commits(w, 1, 3);
    if (variant == LEGAL) commits(w, 2, 3);
}

/* "It does not count itself in majorities" (6); and it may step down with the commit. */
Test(commit_quorum_of_changes, leader_outside) {
    judge(CHECK_COMMIT_QUORUM, 3, tell_leader_outside, FORGED);
}

static void tell_learner(struct world *w, uint32_t variant) {
    begin_change(w, (struct node_members){.voters = three(1, 2, 3), .learners = node_bit(4)});
    catch_up(w, variant == LEGAL ? nodes(2, 4) : node_bit(4));
    commits(w, 1, 3);
}

/* Learners do not count (D 4.2.1). */
Test(commit_quorum_of_changes, learner) { judge(CHECK_COMMIT_QUORUM, 3, tell_learner, FORGED); }

/* ---- committed-durability ---- */

TestSuite(committed_durability, .init = open_world, .fini = close_world);

static void tell_lonely_commit(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, variant == LEGAL ? nodes(1, 2) : node_bit(1), 1, 1);
    commits(w, 1, 1);
}

/* It fires with the commit, before anything is lost (5.4.1). */
Test(committed_durability, before_the_loss) {
    judge(CHECK_COMMITTED_DURABILITY, 3, tell_lonely_commit, FORGED);
}

static void tell_rival_in_memory(struct world *w, uint32_t variant) {
    agree(w, 2);
    becomes_follower(w, 3, 2);
    appends(w, 3, 1, variant == LEGAL ? 1 : 2);
}

/* A log in memory that lacks a committed entry becomes electable (5.4.1). */
Test(committed_durability, memory) {
    judge(CHECK_COMMITTED_DURABILITY, 3, tell_rival_in_memory, FORGED);
}

/* n3 writes 1/2 and then, in the same breath, 1/1 over it. */
static void tell_rival_on_disk(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, node_bit(1), 1, 1);
    if (variant == LEGAL) elects(w, 3, 2, nodes(2, 3));
    appends(w, 3, 1, 2);
    if (variant == LEGAL) elects(w, 1, 3, nodes(1, 2));
    replicates(w, node_bit(2), 1, 1);
    if (variant == LEGAL) replicates(w, nodes(1, 2), 2, 3);
    if (variant <= FORGED) {
        becomes_follower(w, 3, 3);
        appends(w, 3, 1, 1);
    }
    if (variant == FORGED_2) {
        syncs(w, 3);
        crashes(w, 3, 0);
    }
    commits(w, 1, variant == LEGAL ? 2 : 1);
    if (variant <= FORGED) syncs_but(w, 3, 1);
    if (variant == LEGAL) syncs(w, 3);
}

/* A rival log becomes electable when it reaches the disk, where memory is ahead of it; or it is so
 * at the commit, on the disk of a dead node or in memory (5.4.1). */
Test(committed_durability, disk) {
    judge(CHECK_COMMITTED_DURABILITY, 3, tell_rival_on_disk, FORGED_3);
}

static void tell_kept_rival(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 1);
    appends(w, 3, 1, 2);
    crashes(w, 3, variant == LEGAL ? 0 : 1);
    commits(w, 1, 1);
    restarts(w, 3);
}

/* The crash has kept a pending write with an electable log (5.4.1). */
Test(committed_durability, kept_write) {
    judge(CHECK_COMMITTED_DURABILITY, 3, tell_kept_rival, FORGED);
}

static void tell_forgetful_voter(struct world *w, uint32_t variant) {
    agree(w, 1);
    replicates(w, node_bit(2), 2, 1);
    if (variant == FORGED_2) replicates(w, node_bit(3), 1, 0);
    becomes_follower(w, 2, 2);
    truncates(w, 2, variant == LEGAL ? 1 : 0);
    steps(w, 2);
    syncs(w, 2);
}

/* A voter's durable log becomes less up-to-date: it would now elect the log of n3, which is as
 * empty or a little better (5.4.1). */
Test(committed_durability, less_up_to_date) {
    judge(CHECK_COMMITTED_DURABILITY, 3, tell_forgetful_voter, FORGED_2);
}

static void tell_outgrown_rival(struct world *w, uint32_t variant) {
    agree(w, 1);
    if (variant == LEGAL) replicates(w, nodes(1, 2), 2, 2);
    saves_command(w, 3, 1, (struct node_entry){.term = 1, .command = 9});
    steps(w, 3);
}

/* Whom a quorum would elect depends on what is durable now, not at the commit (5.4.1). The log
 * itself is wrong either way, which is another check's business. */
Test(committed_durability, now) {
    silent_with(1u << CHECK_COMMITTED_DURABILITY, 3, tell_outgrown_rival, LEGAL);
    fires_alone(CHECK_COMMITTED_DURABILITY, 3, tell_outgrown_rival, FORGED);
}

static void tell_half_of_four(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, three(1, 2, 3), 1, 1);
    learns(w, 1, 2, 1);
    learns(w, 1, 3, 1);
    commits(w, 1, 1);
    replicates(w, variant == LEGAL ? nodes(1, 2) : node_bit(1), 2, 3);
    appends(w, 4, 1, 2);
}

/* Two of four elect nobody, three do (5.4.1); that the rival exists is wrong either way. */
Test(committed_durability, half) {
    silent_with(1u << CHECK_COMMITTED_DURABILITY, 4, tell_half_of_four, LEGAL);
    fires_alone(CHECK_COMMITTED_DURABILITY, 4, tell_half_of_four, FORGED);
}

TestSuite(durability_of_changes, .init = open_world_with_spares, .fini = close_world);

/* n1, in term 1, wants to add n5, which nobody but n5 hears of; n2, in term 2, removes n1. */
static void tell_change_before_own_term(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    becomes_follower(w, 5, 1);
    replicates_members(w, nodes(1, 5), 1, 1, voters(three(1, 2, 3) | nodes(4, 5)));
    elects(w, 2, 2, three(2, 3, 4));
    uint64_t index = 1;
    if (variant == LEGAL) {
        replicates(w, three(2, 3, 4), index, 2);
        commits(w, 2, index++);
    }
    replicates_members(w, nodes(2, 3), index, 2, voters(three(2, 3, 4)));
    commits(w, 2, index);
}

/* A leader must not change the configuration before it has committed an entry of its own term (the
 * correction of D 4.1): here n1, n4 and n5 would elect n1 without what n2 and n3 have committed. */
Test(durability_of_changes, change_before_own_term) {
    judge(CHECK_COMMITTED_DURABILITY, 4, tell_change_before_own_term, FORGED);
}

static void tell_own_configuration(struct world *w, uint32_t variant) {
    agree(w, 1);
    becomes_follower(w, 4, 2);
    if (variant == LEGAL) appends(w, 4, 1, 2);
    if (variant == FORGED) reconfigures(w, 4, 1, 2, voters(node_bit(4)));
    if (variant == FORGED_2) reconfigures(w, 4, 1, 2, joint(node_bit(4), nodes(3, 5)));
}

/* A candidate goes by the configuration in its own log, be it in the cluster or not (6): without
 * one it is elected by nobody, else by whoever knows as little. */
Test(durability_of_changes, own_configuration) {
    silent_with(1u << CHECK_COMMITTED_DURABILITY, 3, tell_own_configuration, LEGAL);
    fires_alone(CHECK_COMMITTED_DURABILITY, 3, tell_own_configuration, FORGED);
    fires_alone(CHECK_COMMITTED_DURABILITY, 3, tell_own_configuration, FORGED_2);
}

static void tell_old_majority(struct world *w, uint32_t variant) {
    agree(w, 1);
    replicates(w, nodes(1, 2), 2, variant == LEGAL ? 3 : 1);
    becomes_follower(w, 3, 2);
    reconfigures(w, 3, 1, 2, joint(three(3, 4, 5), three(1, 2, 3)));
}

/* Who is in a joint configuration needs both majorities: the outgoing voters know better, or they
 * do not (D 4.3). */
Test(durability_of_changes, joint) {
    silent_with(1u << CHECK_COMMITTED_DURABILITY, 3, tell_old_majority, LEGAL);
    fires_alone(CHECK_COMMITTED_DURABILITY, 3, tell_old_majority, FORGED);
}

static void tell_missing_voter(struct world *w, uint32_t variant) {
    agree(w, 1);
    becomes_follower(w, 3, 2);
    reconfigures(w, 3, 1, 2, voters(nodes(3, variant == LEGAL ? NODE_MAX : 5)));
}

/* A voter that does not exist elects nobody; an empty one would. */
Test(durability_of_changes, missing_voter) {
    silent_with(1u << CHECK_COMMITTED_DURABILITY, 3, tell_missing_voter, LEGAL);
    fires_alone(CHECK_COMMITTED_DURABILITY, 3, tell_missing_voter, FORGED);
}
