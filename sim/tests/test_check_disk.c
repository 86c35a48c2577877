/* test_check_disk.c - the checks of what is durable, and what is known of it (story.h). */
#include <criterion/criterion.h>

#include "story.h"

/* ---- monotonic ---- */

TestSuite(monotonic, .init = open_world, .fini = close_world);

static void tell_falls(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    learns(w, 1, 2, 2);
    if (variant == LEGAL) learns(w, 1, 2, 2);
    if (variant == FORGED) puppet(w, 2)->view.term = 0;
    if (variant == FORGED_2) puppet(w, 2)->view.commit = 0;
    if (variant <= FORGED_2) steps(w, 2);
    if (variant == FORGED_3) learns(w, 1, 2, 1);
}

/* Term, commit and match fall (5.1, 5.3). */
Test(monotonic, in_a_life) { judge(CHECK_MONOTONIC, 3, tell_falls, FORGED_3); }

static void tell_next(struct world *w, uint32_t variant) {
    agree(w, 2);
    learns(w, 1, 2, 2);
    puppet(w, 1)->peers[2].next = variant == LEGAL ? 3 : 2;
    hears(w, 1, 2);
}

/* The next entry that a leader sends is one that it does not know to be there: no demand of Raft,
 * so that a node may not claim it. */
Test(next_above_match, claimed_or_not) {
    judge(CHECK_NEXT_ABOVE_MATCH, 3, tell_next, FORGED);
    struct node_impl modest = node_puppet;
    modest.supports &= ~(uint32_t)NODE_HAS_NEXT;
    world.cluster->impl = &modest;
    silent(3, tell_next, FORGED);
    world.cluster->impl = &node_puppet;
}

static void tell_match_of_a_new_term(struct world *w, uint32_t variant) {
    agree(w, 1);
    if (variant == LEGAL) elects(w, 1, 2, nodes(1, 2));
    learns(w, 1, 2, 0);
}

/* In a new term a leader knows nothing of its peers (figure 2). */
Test(monotonic, match_of_a_new_term) {
    judge(CHECK_MONOTONIC, 3, tell_match_of_a_new_term, FORGED);
}

static void tell_low_start(struct world *w, uint32_t variant) {
    agree(w, 2);
    follows(w, 2, 3);
    commits(w, 2, 2);
    compacts(w, 2);
    syncs(w, 2);
    crashes(w, 2, 0);
    if (variant == FORGED) puppet(w, 2)->start_term = 2;
    if (variant == FORGED_2) puppet(w, 2)->start_commit = 1;
    restarts(w, 2);
}

/* A life starts below what the disk holds (5.1). */
Test(monotonic, start) { judge(CHECK_MONOTONIC, 3, tell_low_start, FORGED_2); }

TestSuite(next_above_match, .init = open_world, .fini = close_world);

TestSuite(peers, .init = open_world_with_spares, .fini = close_world);

/* n4 joins, leaves and comes back; in the forged variant it stays as a learner in between. */
static void tell_returning_peer(struct world *w, uint32_t variant) {
    const node_set first = three(1, 2, 3), all = first | node_bit(4);
    struct node_members changes[] = {voters(all), voters(first), voters(all)};
    if (variant == FORGED) changes[1] = (struct node_members){.voters = first, .learners = 16};
    agree(w, 2);
    for (uint64_t i = 3; i <= 5; i++) {
        reconfigures(w, 1, i, 1, changes[i - 3]);
        syncs(w, 1);
        catch_up(w, three(2, 3, 4));
        commits(w, 1, i);
        if (i == 3) learns(w, 1, 4, 3);
    }
    learns(w, 1, 4, 0);
    if (variant == LEGAL) learns(w, 1, 4, 3);
}

/* Match never falls while the peer stays a member; one that leaves and comes back is a new one. */
Test(peers, that_return) { judge(CHECK_MONOTONIC, 3, tell_returning_peer, FORGED); }

static void tell_match_of_members(struct world *w, uint32_t variant) {
    struct node_members members = {.voters = three(1, 2, 3), .learners = node_bit(4)};
    begin_change(w, members);
    catch_up(w, node_bit(2));
    commits(w, 1, 3);
    if (variant == LEGAL) catch_up(w, node_bit(4));
    if (variant == LEGAL) learns(w, 1, 5, 3); /* Who is no member, is not asked for. */
    learns(w, 1, 4, 3);
}

/* What a leader knows of its learners must be true, too (5.3). */
Test(peers, that_learn) { judge(CHECK_MATCH_TRUTH, 3, tell_match_of_members, FORGED); }

/* n1 acts on another configuration than its log says, in which n3 is no member, or is one. */
static void tell_unknown_peer(struct world *w, uint32_t variant) {
    agree(w, 2);
    puppet(w, 1)->is_forged = true;
    puppet(w, 1)->forged = voters(variant == LEGAL ? nodes(1, 2) : three(1, 2, 3));
    learns(w, 1, 3, 77);
}

/* Of a node that is none of its peers a leader need not know anything: what it would say is noise,
 * and nobody asks. */
Test(peers, that_the_leader_does_not_have) {
    silent_with(1u << CHECK_MATCH_TRUTH | 1u << CHECK_MONOTONIC, 3, tell_unknown_peer, LEGAL);
    fires_alone(CHECK_MATCH_TRUTH, 3, tell_unknown_peer, FORGED);
}

/* ---- match-truth ---- */

TestSuite(match_truth, .init = open_world, .fini = close_world);

static void tell_early_match(struct world *w, uint32_t variant) {
    share(w, 1);
    appends(w, 1, 2, 1);
    appends(w, 2, 2, 1);
    if (variant == LEGAL) syncs(w, 2);
    learns(w, 1, 2, variant == FORGED_2 ? 3 : 2);
}

/* A leader takes as matching what is not durable on the peer (5.3). */
Test(match_truth, above_what_is_durable) {
    judge(CHECK_MATCH_TRUTH, 3, tell_early_match, FORGED_2);
}

static void tell_match_of_another(struct world *w, uint32_t variant) {
    elects(w, 2, 1, nodes(2, 3));
    replicates(w, node_bit(2), 1, 1);
    elects(w, 1, 2, nodes(1, 3));
    replicates(w, node_bit(1), 1, 2);
    if (variant == LEGAL || variant == FORGED_3) {
        becomes_follower(w, 2, 2);
        appends(w, 2, 1, 2);
    }
    if (variant == LEGAL) syncs(w, 2);
    if (variant == FORGED_2) {
        saves_vote(w, 2, 3, 2); /* Pending: not a later term yet. */
        steps(w, 2);
    }
    learns(w, 1, 2, 1);
}

/* The peer has another entry at the index, and the right one at most in memory (5.3). */
Test(match_truth, another_entry) { judge(CHECK_MATCH_TRUTH, 3, tell_match_of_another, FORGED_3); }

static void tell_match_beyond_own_log(struct world *w, uint32_t variant) {
    for (uint64_t i = 1; i <= 3; i++) replicates(w, nodes(1, 2), i, 1);
    truncates(w, 1, 2);
    steps(w, 1);
    elects(w, 1, 2, nodes(1, 3));
    learns(w, 1, 2, variant == LEGAL ? 2 : 3);
}

/* The peer's log goes on with what the leader has dropped: that does not match (5.3). */
Test(match_truth, beyond_own_log) {
    judge(CHECK_MATCH_TRUTH, 3, tell_match_beyond_own_log, FORGED);
}

/* n2 acknowledges 1/1, goes on to term 2 and replaces it; the leader of term 1 hears it late. */
static void tell_late_acknowledgement(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, nodes(1, 2), 1, 1);
    if (variant != FORGED_2) elects(w, 5, 2, three(3, 4, 5));
    if (variant == LEGAL) becomes_follower(w, 2, 2);
    appends(w, 2, 1, 2);
    syncs(w, 2);
    learns(w, 1, 2, 1);
}

/* A peer whose durable term is above the leader's owes it nothing any more (5.3). */
Test(match_truth, late_acknowledgement) {
    judge(CHECK_MATCH_TRUTH, 5, tell_late_acknowledgement, FORGED_2);
}

static void tell_rewritten_match(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, nodes(1, 2), 1, 1);
    replicates(w, nodes(1, 2), 2, 1);
    learns(w, 1, 2, 1);
    if (variant == LEGAL) becomes_follower(w, 2, 2);
    if (variant == FORGED_3) truncates(w, 2, 0);
    else saves_entry(w, 2, 1, variant == FORGED_2 ? 2 : 0);
    if (variant == FORGED_2) saves_entry(w, 2, 2, 2);
    steps(w, 2);
    syncs(w, 2);
}

/* A rewrite on the peer makes what a leader knows false (5.3). */
Test(match_truth, rewrite) { judge(CHECK_MATCH_TRUTH, 5, tell_rewritten_match, FORGED_3); }

static void tell_former_leader(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, nodes(1, 2), 1, 1);
    replicates(w, nodes(1, 2), 2, 1);
    learns(w, 1, 2, variant == LEGAL ? 1 : 2);
    if (variant != LEGAL) elects(w, 3, 2, three(1, 3, 4));
    if (variant == FORGED_2) crashes(w, 1, 0);
    if (variant != LEGAL) becomes_follower(w, 2, 2);
    saves_entry(w, 2, 1, variant == LEGAL ? 1 : 2);
    steps(w, 2);
    syncs(w, 2);
}

/* What a leader knew when it still led, and what is above the match, may be rewritten (5.3). */
Test(match_truth, former_leader) {
    for (uint32_t variant = LEGAL; variant <= FORGED_2; variant++)
        silent(5, tell_former_leader, variant);
}

static void tell_dead_leader(struct world *w, uint32_t variant) {
    share(w, 1);
    learns(w, 1, 2, 1);
    if (variant == LEGAL) crashes(w, 1, 0);
    truncates(w, 2, 0);
    steps(w, 2);
    syncs(w, 2);
}

/* A dead leader takes nothing to be true; to forget an entry is wrong, but not for this check. */
Test(match_truth, dead_leader) {
    silent_with(1u << CHECK_MATCH_TRUTH, 3, tell_dead_leader, LEGAL);
    fires_alone(CHECK_MATCH_TRUTH, 3, tell_dead_leader, FORGED);
}

/* n3 gets the snapshot of n2, n1 has not compacted; then n3 leads. */
static void tell_match_and_snapshots(struct world *w, uint32_t variant) {
    (void)variant;
    agree(w, 3);
    commits(w, 2, 3);
    compacts(w, 2);
    becomes_follower(w, 3, 1);
    installs(w, 3, 2);
    syncs(w, 3);
    learns(w, 1, 3, 2); /* Of an AppendEntries that ended below the snapshot. */
    learns(w, 1, 3, 3);
    elects(w, 3, 2, nodes(1, 3));
    learns(w, 3, 1, 2);
    learns(w, 3, 1, 3);
}

/* What the snapshot of either side covers matches (7). */
Test(match_truth, snapshots) { silent(3, tell_match_and_snapshots, LEGAL); }

static void tell_match_below_the_snapshot(struct world *w, uint32_t variant) {
    agree(w, 3);
    compacts(w, 1);
    becomes_follower(w, 3, 1);
    replicates(w, node_bit(3), 1, 1);
    if (variant == LEGAL) replicates(w, node_bit(3), 2, 1);
    learns(w, 1, 3, 2);
}

/* ... if the peer's log reaches as far at all (7). */
Test(match_truth, below_the_snapshot) {
    judge(CHECK_MATCH_TRUTH, 3, tell_match_below_the_snapshot, FORGED);
}

static void tell_another_entry_below_the_snapshot(struct world *w, uint32_t variant) {
    agree(w, 3);
    compacts(w, 1);
    becomes_follower(w, 3, 1);
    for (uint64_t i = 1; i <= 2; i++) replicates(w, node_bit(3), i, variant == LEGAL ? 1 : 0);
    learns(w, 1, 3, 2);
}

/* ... and has the same entry there: 2/1, not 2/0 (7). */
Test(match_truth, another_entry_below_the_snapshot) {
    judge(CHECK_MATCH_TRUTH, 3, tell_another_entry_below_the_snapshot, FORGED);
}

/* ---- recovery ---- */

TestSuite(recovery, .init = open_world, .fini = close_world);

/* n2 gets four pending writes on top of what is durable: a term and entries; a rewrite; a snapshot;
 * and more entries. */
static void pend(struct world *w) {
    agree(w, 1);
    commits(w, 2, 1);
    becomes_follower(w, 2, 3);
    saves_entry(w, 2, 2, 0);
    appends(w, 2, 3, 0);
    appends(w, 2, 2, 1);
    compacts(w, 2);
    saves_entry(w, 2, 3, 1);
    appends(w, 2, 4, 1);
}
enum { PENDING = 4 };

static void tell_kept(struct world *w, uint32_t kept) {
    pend(w);
    crashes(w, 2, kept);
    replicates(w, node_bit(1), 2, 1);
    restarts(w, 2);
    uint64_t last[PENDING + 1] = {1, 3, 2, 2, 4};
    cr_assert_eq(puppet(w, 2)->view.last, last[kept]);
    appends(w, 2, last[kept] + 1, 5);
    syncs(w, 2);
}

static void tell_death(struct world *w, uint32_t kept) {
    pend(w);
    crashes(w, 2, kept);
}

/* A restart reads what was durable and any first part of what was pending. Until then, nobody knows
 * which. */
Test(recovery, prefixes) {
    for (uint32_t kept = 0; kept <= PENDING; kept++) silent(3, tell_kept, kept);
    for (uint32_t kept = 0; kept <= PENDING; kept++) silent(3, tell_death, kept);
}

static void tell_changed_disk(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    compacts(w, 2);
    syncs(w, 2);
    crashes(w, 2, 0);
    struct disk *disk = &w->cluster->disks[2];
    if (variant == 1) disk->term++;
    if (variant == 2) disk->vote = 3;
    if (variant == 3) disk->entry_count--;
    if (variant == 4) disk->entries[0].term++;
    if (variant == 5) disk->entries[0].command++;
    if (variant == 6) disk->snapshot.state++;
    if (variant == 7) disk->snapshot.term++;
    if (variant == 8) disk->snapshot.index++;
    if (variant == 9) disk->image.members.learners = node_bit(3);
    if (variant == 10) disk->entries[0].serial++;
    if (variant == 11) disk->entries[0].type = NODE_SESSION;
    restarts(w, 2);
}

/* The disk has changed during the crash, in any of its fields. */
Test(recovery, changed_disk) {
    silent(3, tell_changed_disk, LEGAL);
    for (uint32_t variant = 1; variant <= 11; variant++)
        fires_alone(CHECK_RECOVERY, 3, tell_changed_disk, variant);
}

static void tell_empty_disk(struct world *w, uint32_t variant) {
    crashes(w, 4, 0);
    if (variant == FORGED) w->cluster->disks[4].image.members = voters(three(1, 2, 3));
    restarts(w, 4);
}

/* Who joins has an empty disk: no members. */
Test(peers, that_joined_not_yet) { judge(CHECK_RECOVERY, 3, tell_empty_disk, FORGED); }

static void tell_second_write_only(struct world *w, uint32_t variant) {
    follows(w, 2, 1);
    becomes_follower(w, 2, 2);
    steps(w, 2);
    appends(w, 2, 1, 1);
    struct disk_write second = w->cluster->disks[2].writes[1];
    crashes(w, 2, variant == LEGAL ? 2 : 0);
    if (variant != LEGAL) {
        *disk_write(&w->cluster->disks[2]) = second;
        disk_sync(&w->cluster->disks[2]);
    }
    restarts(w, 2);
}

/* The second of two pending writes has survived, the first has not. */
Test(recovery, not_a_prefix) { judge(CHECK_RECOVERY, 3, tell_second_write_only, FORGED); }

/* ---- wiped disks ---- */

TestSuite(wipe, .init = open_world, .fini = close_world);

/* n3 has all that n1 and n2 have committed, a snapshot, and writes that are pending; then nothing.
 */
static void tell_wiped(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 2);
    becomes_follower(w, 3, 1);
    copies(w, 3, 1, 1);
    copies(w, 3, 1, 2);
    commits(w, 3, 1);
    compacts(w, 3);
    syncs(w, 3);
    becomes_follower(w, 3, 1);
    steps(w, 3);
    if (variant == FORGED) crashes(w, 3, 0);
    else wipes(w, 3);
    struct disk *disk = &w->cluster->disks[3];
    if (variant == FORGED) disk_clear(disk);
    if (variant == FORGED_2) disk->term = 1;
    if (variant == FORGED_3) disk->image.members = voters(three(1, 2, 3));
    restarts(w, 3);
    if (variant != LEGAL) return;
    cr_assert(puppet(w, 3)->view.last == 0);
    becomes_follower(w, 3, 1);
    copies(w, 3, 1, 1);
    compacts(w, 1);
    installs(w, 3, 1);
    syncs(w, 3);
    crashes(w, 3, 0);
    restarts(w, 3);
    cr_assert(puppet(w, 3)->view.last == 2);
}

/* Goal: after a wipe the checks expect an empty disk: no term, no log, no members, nothing pending.
 * Method: the node starts with nothing, takes entries and a snapshot, and restarts with those; an
 * empty disk that nobody has told of, and a wiped one that holds a term or members. */
Test(wipe, disk_is_empty) { judge(CHECK_RECOVERY, 3, tell_wiped, FORGED_3); }

/* n2 has voted for n1 in term 1. Its disk forgets that; the others do not. */
static void tell_vote_after_wipe(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    wipes(w, 2);
    restarts(w, 2);
    if (variant == LEGAL) votes(w, 2, 1, 1);
    if (variant == LEGAL) syncs(w, 2);
    votes(w, 2, 3, variant == LEGAL ? 2 : 1);
    syncs(w, 2);
}

/* Goal: a wiped node that votes a second time in a term is found, as its promise had left (5.2).
 * Method: it votes for another node in that term, or for the same one and then in the next term. */
Test(wipe, second_vote) { judge(CHECK_VOTE_ONCE, 3, tell_vote_after_wipe, FORGED); }

static void tell_lost_entry(struct world *w, uint32_t variant) {
    agree(w, 2);
    if (variant == LEGAL) becomes_follower(w, 3, 1);
    if (variant == LEGAL) copies(w, 3, 1, 1);
    if (variant == LEGAL) copies(w, 3, 1, 2);
    wipes(w, 2);
}

/* Goal: what is committed and lost by a wipe is found at once. Method: it was on two of three
 * disks, or on all of them. */
Test(wipe, committed_entry) { judge(CHECK_COMMITTED_DURABILITY, 3, tell_lost_entry, FORGED); }

/* The disk of a living node changes: found by the comparison. */
Test(recovery, living_disk) {
    world_reset(&world, 3, CHECK_ALL);
    agree(&world, 1);
    expect_none(&world, LEGAL);
    world.cluster->disks[2].entries[0].command++;
    checks_compare(world.checks, world.cluster);
    expect_violation(&world, CHECK_RECOVERY, FORGED);
}
