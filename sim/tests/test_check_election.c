/* test_check_election.c - the checks of elections, leaders and votes (story.h). */
#include <criterion/criterion.h>

#include "story.h"

/* ---- election-safety ---- */

TestSuite(election_safety, .init = open_world, .fini = close_world);

static void tell_second_leader(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    if (variant == FORGED) {
        leads(w, 3, 1);
        return;
    }
    elects(w, 3, 2, nodes(2, 3));
    if (variant == FORGED_2) leads(w, 1, 2); /* Straight from one term to the next. */
}

/* Two nodes lead one term at the same time (5.2); two terms at the same time are legal. */
Test(election_safety, two_at_once) {
    judge(CHECK_ELECTION_SAFETY, 3, tell_second_leader, FORGED_2);
}

static void tell_leader_of_the_past(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    crashes(w, 1, 0);
    elects(w, 2, 2, three(2, 3, 5));
    elects(w, 3, 3, three(2, 3, 5));
    restarts(w, 1);
    if (variant == LEGAL) elects(w, 4, 4, three(3, 4, 5));
    else leads(w, 4, 1);
}

/* One leader a term over all time: the first one is long gone (5.2). */
Test(election_safety, over_all_time) {
    judge(CHECK_ELECTION_SAFETY, 5, tell_leader_of_the_past, FORGED);
}

/* ---- leader-completeness ---- */

TestSuite(leader_completeness, .init = open_world, .fini = close_world);

static void tell_new_leader(struct world *w, uint32_t variant) {
    agree(w, 1);
    follows(w, 3, 1);
    if (variant == LEGAL) replicates(w, node_bit(3), 1, 1);
    elects(w, 3, 2, nodes(2, 3));
}

/* A new leader lacks an entry that was committed in an earlier term (5.4). */
Test(leader_completeness, new_leader) {
    judge(CHECK_LEADER_COMPLETENESS, 3, tell_new_leader, FORGED);
}

static void tell_late_commit(struct world *w, uint32_t variant) {
    share(w, 4);
    for (uint64_t i = 1; i <= 4 && variant == LEGAL; i++) replicates(w, node_bit(3), i, 1);
    if (variant == FORGED_2) replicates(w, node_bit(3), 1, 0);
    if (variant == FORGED_2) replicates(w, node_bit(3), 2, 0);
    elects(w, 3, variant == FORGED_3 ? 3 : 2, nodes(2, 3));
    if (variant == FORGED_3) leads(w, 2, 2);
    learns(w, 1, 2, 1);
    commits(w, 1, 1);
}

/* The old leader commits late, when a later one was elected without the entry, or with another one
 * at its index (5.4). That one need not be the last who came to power. */
Test(leader_completeness, late_commit) {
    judge(CHECK_LEADER_COMPLETENESS, 3, tell_late_commit, FORGED_2);
    fires_alone(CHECK_LEADER_COMPLETENESS, 3, tell_late_commit, FORGED_3);
}

static void tell_own_term(struct world *w, uint32_t variant) {
    agree(w, 1);
    leads(w, 3, variant == LEGAL ? 1 : 2);
}

/* What is committed in its own term, a leader need not have had (5.4): that there are two leaders
 * is wrong, but not for this check. */
Test(leader_completeness, own_term) {
    silent_with(1u << CHECK_LEADER_COMPLETENESS, 3, tell_own_term, LEGAL);
    fires_alone(CHECK_LEADER_COMPLETENESS, 3, tell_own_term, FORGED);
}

/* n3 gets the votes for term 2, but hears of them only when n2 has committed 1/1 in term 3. In the
 * forged variants n1 had already replicated it, and commits it itself in term 1, before or after.
 */
static void tell_twice_committed(struct world *w, uint32_t variant) {
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, nodes(1, 2), 1, 1);
    if (variant != LEGAL) follows(w, 4, 1);
    if (variant != LEGAL) replicates(w, node_bit(4), 1, 1);
    for (node_id voter = 3; voter <= 5; voter++) {
        votes(w, voter, 3, 2);
        syncs(w, voter);
    }
    elects(w, 2, 3, three(2, 4, 5));
    if (variant >= FORGED_2) commits(w, 1, 1);
    replicates(w, nodes(4, 5), 1, 1);
    replicates(w, three(2, 4, 5), 2, 3);
    learns(w, 2, 4, 2);
    learns(w, 2, 5, 2);
    commits(w, 2, variant == FORGED_3 ? 1 : 2);
    if (variant == FORGED) commits(w, 1, 1);
    leads(w, 3, 2);
}

/* What counts is the lowest term in which an entry was committed, not its own (5.4): an old entry
 * is committed indirectly by a successor, while a leader of a term between still comes to power. */
Test(leader_completeness, lowest_term_of_commit) {
    judge(CHECK_LEADER_COMPLETENESS, 5, tell_twice_committed, FORGED_2);
    fires_alone(CHECK_LEADER_COMPLETENESS, 5, tell_twice_committed, FORGED_3);
}

/* ---- vote-once ---- */

TestSuite(vote_once, .init = open_world, .fini = close_world);

static void tell_second_vote(struct world *w, uint32_t variant) {
    votes(w, 2, 1, 1);
    syncs(w, 2);
    saves_vote(w, 2, variant == LEGAL ? 2 : 1, variant == FORGED_2 ? 0 : 3);
    steps(w, 2);
}

/* A save changes or forgets the vote that the disk holds for the term (5.2). */
Test(vote_once, changed) { judge(CHECK_VOTE_ONCE, 3, tell_second_vote, FORGED_2); }

static void tell_second_vote_pending(struct world *w, uint32_t variant) {
    votes(w, 2, 1, 1);
    saves_vote(w, 2, 1, variant == LEGAL ? 1 : 3);
    steps(w, 2);
    syncs_but(w, 2, 1);
    syncs(w, 2);
}

/* ... or that it held before a pending write became durable (5.2). */
Test(vote_once, changed_while_pending) {
    judge(CHECK_VOTE_ONCE, 3, tell_second_vote_pending, FORGED);
}

static void tell_second_vote_leaves(struct world *w, uint32_t variant) {
    votes(w, 2, 1, 1);
    syncs(w, 2);
    follows(w, 2, 2);
    promises_vote(w, 2, variant == LEGAL ? 1 : 3, 1, 0);
    steps(w, 2);
}

/* A vote of an earlier term than the disk's may leave once more, but none for another candidate
 * (5.2). */
Test(vote_once, second_vote_leaves_late) {
    judge(CHECK_VOTE_ONCE, 3, tell_second_vote_leaves, FORGED);
}

TestSuite(promise_durable, .init = open_world, .fini = close_world);

static void tell_early_vote(struct world *w, uint32_t variant) {
    becomes_follower(w, 2, 1);
    steps(w, 2);
    if (variant != FORGED_2) syncs(w, 2);
    saves_vote(w, 2, 1, 1);
    promises_vote(w, 2, variant == FORGED_3 ? 3 : 1, 1, variant == FORGED ? 0 : 2);
    if (variant == FORGED_2) puppet(w, 2)->next.packets[0].after = 1;
    steps(w, 2);
    if (variant == FORGED) return;
    if (variant == FORGED_2) syncs_but(w, 2, 1);
    else syncs(w, 2);
}

/* A vote leaves before it is durable, or for another candidate than saved (5.2). */
Test(promise_durable, vote_leaves) { judge(CHECK_PROMISE_DURABLE, 3, tell_early_vote, FORGED_3); }

static void tell_overtaken_vote(struct world *w, uint32_t variant) {
    votes(w, 2, 1, 1);
    syncs(w, 2);
    saves_vote(w, 2, variant == FORGED_2 ? 1 : 2, variant == FORGED_2 ? 1 : 3);
    steps(w, 2);
    syncs(w, 2);
    promises_vote(w, 2, 1, variant == LEGAL ? 1 : 2, 0);
    steps(w, 2);
}

/* A vote of an earlier term than the disk's is durable: the node never votes there again (5.2). */
Test(promise_durable, overtaken) { judge(CHECK_PROMISE_DURABLE, 3, tell_overtaken_vote, FORGED_2); }

static void tell_early_append(struct world *w, uint32_t variant) {
    share(w, 1);
    if (variant == FORGED_3) {
        replicates(w, node_bit(2), 2, 1);
        replicates(w, node_bit(2), 3, 1);
    }
    saves_entry(w, 2, 2, 1);
    uint64_t term = variant == FORGED_2 ? 2 : 1, index = variant == FORGED_3 ? 3 : 2;
    promises_append(w, 2, index, term, variant == FORGED ? 0 : puppet(w, 2)->written);
    steps(w, 2);
    if (variant != FORGED) syncs(w, 2);
}

/* A confirmation leaves before the entry is durable; or for an index that is durable with another
 * term, or not any more (5.3). */
Test(promise_durable, append_leaves) {
    judge(CHECK_PROMISE_DURABLE, 3, tell_early_append, FORGED_3);
}

static void tell_append_in_a_later_term(struct world *w, uint32_t variant) {
    share(w, 1);
    becomes_follower(w, 2, 2);
    promises_append(w, 2, 1, 1, variant == LEGAL ? puppet(w, 2)->written : 0);
    steps(w, 2);
    if (variant == LEGAL) syncs(w, 2);
}

/* The entry is durable, but not the term in which it is confirmed: the node could take back its
 * word to that leader (5.3). */
Test(promise_durable, append_in_a_later_term) {
    judge(CHECK_PROMISE_DURABLE, 3, tell_append_in_a_later_term, FORGED);
}

static void tell_append_below_the_snapshot(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    compacts(w, 2);
    syncs(w, 2);
    promises_append(w, 2, variant == LEGAL ? 1 : 3, 1, 0);
    steps(w, 2);
}

/* What a durable snapshot covers may be confirmed (7). */
Test(promise_durable, append_below_the_snapshot) {
    judge(CHECK_PROMISE_DURABLE, 3, tell_append_below_the_snapshot, FORGED);
}

static void tell_append_of_another_term(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 2);
    compacts(w, 2);
    syncs(w, 2);
    promises_append(w, 2, 2, variant == LEGAL ? 1 : 7, 0);
    steps(w, 2);
}

/* ... with the term of the entry that was committed there (7). */
Test(promise_durable, append_of_another_term_below_the_snapshot) {
    judge(CHECK_PROMISE_DURABLE, 3, tell_append_of_another_term, FORGED);
}
