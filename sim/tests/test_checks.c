/* test_checks.c - every check of check.h fires on a forged wrong state, and is silent on the
 * nearest legal one.
 *
 * A test tells a story in two or more variants, which differ in as little as possible. LEGAL is
 * watched by all checks, and none may speak. In each of the others the check under test runs alone
 * and must fire at the very last event; then all run, and none may speak earlier. */
#include <criterion/criterion.h>
#include <string.h>

#include "hash.h"
#include "puppet.h"
#include "shadow.h"

enum { LEGAL, FORGED, FORGED_2, FORGED_3, FORGED_4, FORGED_5, FORGED_6 };
typedef void story(struct world *w, uint32_t variant);

/* All stories of a test happen in one world, one after the other: what a run leaves in the checks,
 * the next must not feel. */
static struct world world;
static void open_world(void) { world_open(&world); }
static void close_world(void) { world_close(&world); }

static node_set three(node_id a, node_id b, node_id c) { return nodes(a, b) | node_bit(c); }

static const char *speaks(const struct world *w) {
    const struct violation *violation = checks_violation(w->checks);
    if (violation != NULL) return violation->text;
    const char *undecided = checks_undecided(w->checks);
    return undecided != NULL ? undecided : "nothing";
}

/* ---- how a story is judged ---- */

static void expect_violation(const struct world *w, enum check_id check, uint32_t variant) {
    const struct violation *violation = checks_violation(w->checks);
    cr_assert_not_null(violation, "%s, variant %u: no violation; the checks say: %s",
                       check_table[check].name, variant, speaks(w));
    cr_assert_leq(violation->check, check, "%s, variant %u: %s instead: %s",
                  check_table[check].name, variant, check_table[violation->check].name,
                  violation->text);
    cr_assert_eq(w->ignored, 0, "%s, variant %u: fired %u events early: %s",
                 check_table[check].name, variant, w->ignored, violation->text);
}

static void expect_none(struct world *w, uint32_t variant) {
    if (!w->is_over) checks_compare(w->checks, w->cluster);
    cr_assert_null(checks_violation(w->checks), "variant %u: %s", variant, speaks(w));
    cr_assert_null(checks_undecided(w->checks), "variant %u: %s", variant, speaks(w));
}

static void silent_with(uint32_t enabled, uint32_t node_count, story *tell, uint32_t variant) {
    world_reset(&world, node_count, enabled);
    tell(&world, variant);
    expect_none(&world, variant);
}

static void silent(uint32_t node_count, story *tell, uint32_t variant) {
    silent_with(CHECK_ALL, node_count, tell, variant);
}

static void fires_with(uint32_t enabled, enum check_id check, uint32_t node_count, story *tell,
                       uint32_t variant) {
    world_reset(&world, node_count, enabled);
    tell(&world, variant);
    expect_violation(&world, check, variant);
}

static void fires_alone(enum check_id check, uint32_t node_count, story *tell, uint32_t variant) {
    fires_with(1u << check, check, node_count, tell, variant);
}

/* The forged variants up to `last` fire, the legal one does not. */
static void judge(enum check_id check, uint32_t node_count, story *tell, uint32_t last) {
    silent(node_count, tell, LEGAL);
    for (uint32_t variant = FORGED; variant <= last; variant++) {
        fires_alone(check, node_count, tell, variant);
        fires_with(CHECK_ALL, check, node_count, tell, variant);
    }
}

/* ---- how stories begin ---- */

/* n1 leads term 1, and its log is 1/1 ... last/1, which n2 has, too. */
static void share(struct world *w, uint64_t last) {
    elects(w, 1, 1, nodes(1, 2));
    for (uint64_t i = 1; i <= last; i++) replicates(w, nodes(1, 2), i, 1);
}

/* ... and n1 has committed it. */
static void agree(struct world *w, uint64_t last) {
    share(w, last);
    learns(w, 1, 2, last);
    commits(w, 1, last);
}

/* Without a word to the state machine. */
static void shows_commit(struct world *w, node_id id, uint64_t commit) {
    puppet(w, id)->view.commit = commit;
    steps(w, id);
}

static void becomes_follower(struct world *w, node_id id, uint64_t term) {
    puppet(w, id)->view.role = NODE_FOLLOWER;
    saves_vote(w, id, term, 0);
}

static void write_batch(struct world *w, node_id id, uint64_t from, uint64_t term) {
    for (uint64_t i = 0; i < NODE_WRITE_MAX; i++) saves_entry(w, id, from + i, term);
    steps(w, id);
    syncs(w, id);
}

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

/* ---- leader-append-only ---- */

TestSuite(leader_append_only, .init = open_world, .fini = close_world);

static void tell_leader_rewrites(struct world *w, uint32_t variant) {
    share(w, 2);
    const struct node_entry other = {.term = 1, .command = 9};
    if (variant == FORGED) {
        saves_command(w, 1, 2, other);
    } else if (variant == FORGED_2) {
        saves_command(w, 1, 1, other);
        saves_entry(w, 1, 2, 1);
    } else {
        saves_entry(w, 1, 1, 1);
        saves_entry(w, 1, 2, 1);
        saves_entry(w, 1, 3, 1);
    }
    steps(w, 1);
}

/* A leader changes an entry of its own (5.3); to write the same again is legal. */
Test(leader_append_only, changes) {
    judge(CHECK_LEADER_APPEND_ONLY, 3, tell_leader_rewrites, FORGED_2);
}

static void tell_leader_truncates(struct world *w, uint32_t variant) {
    share(w, 2);
    if (variant == LEGAL) becomes_follower(w, 1, 2);
    if (variant == FORGED_2) puppet(w, 1)->view.last = 1; /* Not even declared. */
    else truncates(w, 1, 1);
    steps(w, 1);
}

/* A leader drops an entry of its own (5.3); once it follows, it may. */
Test(leader_append_only, drops) {
    judge(CHECK_LEADER_APPEND_ONLY, 3, tell_leader_truncates, FORGED_2);
}

static void tell_leader_compacts(struct world *w, uint32_t variant) {
    (void)variant;
    agree(w, 2);
    saves_entry(w, 1, 3, 1);
    compacts(w, 1);
    syncs(w, 1);
    compacts(w, 1); /* The same snapshot again. */
}

/* Below its snapshot a leader may drop its log (7). */
Test(leader_append_only, above_the_snapshot) { silent(3, tell_leader_compacts, LEGAL); }

/* ---- log-matching ---- */

TestSuite(log_matching, .init = open_world, .fini = close_world);

static void tell_same_index(struct world *w, uint32_t variant) {
    share(w, 1);
    follows(w, 3, 1);
    uint64_t term = variant == LEGAL ? 0 : 1;
    saves_command(w, 3, 1, (struct node_entry){.term = term, .command = 9});
    steps(w, 3);
}

/* Two logs have different commands for one index and term (5.3). */
Test(log_matching, same_entry) { judge(CHECK_LOG_MATCHING, 3, tell_same_index, FORGED); }

static void tell_another_past(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 3));
    replicates(w, nodes(1, 3), 1, 1);
    elects(w, 2, 2, nodes(2, 3));
    replicates(w, nodes(2, 2), 1, 2);
    replicates(w, nodes(2, 2), 2, 2);
    if (variant == LEGAL) saves_entry(w, 3, 1, 2);
    appends(w, 3, 2, 2);
}

/* Two logs have the same entry, but not the same entries before it (5.3). */
Test(log_matching, same_past) { judge(CHECK_LOG_MATCHING, 3, tell_another_past, FORGED); }

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

/* ---- state-machine-safety ---- */

TestSuite(state_machine_safety, .init = open_world, .fini = close_world);

static void tell_early_commit(struct world *w, uint32_t variant) {
    if (variant == LEGAL) agree(w, 1);
    else share(w, 1);
    shows_commit(w, 2, 1);
}

/* A follower commits what no leader has committed (5.4.3). */
Test(state_machine_safety, beyond_the_chain) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_early_commit, FORGED);
}

static void tell_commit_at_election(struct world *w, uint32_t variant) {
    share(w, 1);
    votes(w, 2, 2, 2);
    syncs(w, 2);
    votes(w, 1, 2, 2);
    syncs(w, 1);
    if (variant == FORGED) puppet(w, 2)->view.commit = 1;
    leads(w, 2, 2);
    if (variant == FORGED) return;
    replicates(w, nodes(1, 2), 2, 2);
    learns(w, 2, 1, 2);
    commits(w, 2, 2);
}

/* Only who led before the step can commit in it (5.4.2). */
Test(state_machine_safety, commit_at_election) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_commit_at_election, FORGED);
}

static void tell_other_commit(struct world *w, uint32_t variant) {
    elects(w, 3, 1, nodes(2, 3));
    replicates(w, node_bit(3), 1, 1);
    elects(w, 1, 2, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 2);
    learns(w, 1, 2, 1);
    commits(w, 1, 1);
    follows(w, 3, 2);
    if (variant == LEGAL) appends(w, 3, 1, 2);
    if (variant == FORGED_2) truncates(w, 3, 0);
    shows_commit(w, 3, 1);
}

/* A follower commits an index where it has another entry than the chain, or none (5.4.3). */
Test(state_machine_safety, other_entry) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_other_commit, FORGED_2);
}

static void tell_second_chain(struct world *w, uint32_t variant) {
    agree(w, 1);
    uint64_t term = variant == LEGAL ? 1 : 2;
    becomes_follower(w, 3, 2);
    replicates(w, node_bit(3), 1, term);
    elects(w, 3, 2, nodes(2, 3));
    if (variant != LEGAL) replicates(w, node_bit(2), 1, 2);
    replicates(w, nodes(2, 3), 2, 2);
    learns(w, 3, 2, 2);
    shows_commit(w, 3, variant == FORGED_2 ? 3 : 2);
}

/* A leader commits what goes on from something else than the chain, or what it does not even have
 * (5.4.3). */
Test(state_machine_safety, second_chain) {
    silent(3, tell_second_chain, LEGAL);
    fires_alone(CHECK_STATE_MACHINE_SAFETY, 3, tell_second_chain, FORGED);
    fires_alone(CHECK_STATE_MACHINE_SAFETY, 3, tell_second_chain, FORGED_2);
}

static void tell_rewrite_of_committed(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    becomes_follower(w, 2, 2);
    if (variant == LEGAL) saves_entry(w, 2, 1, 1);
    saves_entry(w, 2, variant == LEGAL ? 2 : 1, variant == LEGAL ? 1 : 2);
    steps(w, 2);
}

/* A follower replaces an entry that it has committed (5.4.3); by itself, it may. */
Test(state_machine_safety, rewrite) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_rewrite_of_committed, FORGED);
}

static void tell_apply(struct world *w, uint32_t variant) {
    agree(w, 3);
    commits(w, 2, 1);
    crashes(w, 2, 0);
    restarts(w, 2);
    struct puppet *p = puppet(w, 2);
    p->view.commit = 2;
    steps(w, 2);
    p->next.apply_from = 1;
    p->next.apply_to = 2;
    if (variant == FORGED) p->next.apply_from = 2;
    if (variant == FORGED_2) p->log[1].command++;
    if (variant == FORGED_3) p->log[1].term++;
    if (variant == FORGED_4) {
        steps(w, 2);
        p->next.apply_from = p->next.apply_to = 2;
    }
    steps(w, 2);
    if (variant == LEGAL) commits(w, 2, 3);
}

/* A life applies from its snapshot on, without gap or repetition, what is in the chain (5.4.3). */
Test(state_machine_safety, apply) { judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_apply, FORGED_4); }

static void tell_apply_uncommitted(struct world *w, uint32_t variant) {
    if (variant == LEGAL) agree(w, 1);
    else share(w, 1);
    struct puppet *p = puppet(w, 2);
    p->next.apply_from = p->next.apply_to = 1;
    steps(w, 2);
}

/* A state machine applies what nobody has committed (5.4.3). */
Test(state_machine_safety, apply_uncommitted) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_apply_uncommitted, FORGED);
}

static void takes_snapshot(struct world *w, node_id id, struct node_snapshot snapshot) {
    struct puppet *p = puppet(w, id);
    saves(w, id);
    p->next.save_snapshot = true;
    p->view.snapshot = snapshot;
    steps(w, id);
}

static void tell_snapshot(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    struct node_snapshot snapshot = {1, 1, w->cluster->processes[2].state};
    if (variant == FORGED) snapshot.state++;
    if (variant == FORGED_2) snapshot.term++;
    if (variant == FORGED_3) snapshot.index++;
    if (variant == FORGED_4) {
        commits(w, 2, 2);
        compacts(w, 2);
    }
    takes_snapshot(w, 2, snapshot);
}

/* A node compacts to a snapshot of something else than the chain, or goes back to an older one (7).
 */
Test(state_machine_safety, snapshot) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_snapshot, FORGED_4);
}

static void tell_snapshot_uncommitted(struct world *w, uint32_t variant) {
    if (variant == LEGAL) agree(w, 1);
    else share(w, 1);
    if (variant == LEGAL) commits(w, 2, 1);
    uint64_t state = hash_apply(0, 1, puppet(w, 2)->log[1].command);
    takes_snapshot(w, 2, (struct node_snapshot){1, 1, state});
}

/* A snapshot holds what will be committed, but is not yet (7). */
Test(state_machine_safety, snapshot_uncommitted) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_snapshot_uncommitted, FORGED);
}

static void tell_snapshot_of_others(struct world *w, uint32_t variant) {
    elects(w, 3, 1, nodes(2, 3));
    if (variant != FORGED) replicates(w, node_bit(3), 1, variant == FORGED_3 ? 2 : 1);
    elects(w, 1, 2, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 2);
    learns(w, 1, 2, 1);
    commits(w, 1, 1);
    compacts(w, 1);
    becomes_follower(w, 3, 2);
    if (variant == FORGED_3) truncates(w, 3, 0); /* It had the entry, once. */
    if (variant == FORGED_3) steps(w, 3);
    if (variant == LEGAL) installs(w, 3, 1);
    else takes_snapshot(w, 3, puppet(w, 1)->view.snapshot);
}

/* A snapshot may cover what the log does not have only when it is installed (7). */
Test(state_machine_safety, snapshot_of_others) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_snapshot_of_others, FORGED_3);
}

static void tell_kept_suffix(struct world *w, uint32_t variant) {
    elects(w, 3, 1, nodes(2, 3));
    replicates(w, node_bit(3), 1, variant == FORGED ? 1 : 2);
    replicates(w, node_bit(3), 2, variant == FORGED ? 1 : 2);
    elects(w, 1, 2, nodes(1, 2));
    for (uint64_t i = 1; i <= 2; i++) replicates(w, nodes(1, 2), i, 2);
    learns(w, 1, 2, 2);
    commits(w, 1, 1);
    compacts(w, 1);
    becomes_follower(w, 3, 2);
    struct puppet *p = puppet(w, 3);
    p->view.commit = 1;
    p->next.apply_snapshot = true;
    takes_snapshot(w, 3, puppet(w, 1)->view.snapshot);
    if (variant != LEGAL) return;
    syncs(w, 3);
    commits(w, 1, 2);
    commits(w, 3, 2);
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log
 * entries following it" (figure 13): only then. */
Test(state_machine_safety, kept_suffix) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_kept_suffix, FORGED);
}

static void tell_restore(struct world *w, uint32_t variant) {
    agree(w, 1);
    compacts(w, 1);
    replicates(w, nodes(1, 2), 2, 1);
    learns(w, 1, 2, 2);
    commits(w, 1, 2);
    if (variant == FORGED) commits(w, 2, 2);
    installs(w, variant == FORGED ? 2 : 3, 1);
}

/* An installed snapshot takes the state machine back (7). */
Test(state_machine_safety, restore) { judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_restore, FORGED); }

static void tell_commit_at_start(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    compacts(w, 2);
    syncs(w, 2);
    commits(w, 2, 2);
    crashes(w, 2, 0);
    puppet(w, 2)->start_commit = variant == LEGAL ? 1 : 2;
    restarts(w, 2);
}

/* "commitIndex: initialized to 0" (figure 2): each life starts at its snapshot. */
Test(state_machine_safety, start) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_commit_at_start, FORGED);
}

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
Test(vote_once, vote_leaves) { judge(CHECK_VOTE_ONCE, 3, tell_early_vote, FORGED_3); }

static void tell_overtaken_vote(struct world *w, uint32_t variant) {
    votes(w, 2, 1, 1);
    syncs(w, 2);
    saves_vote(w, 2, variant == FORGED_2 ? 1 : 2, variant == FORGED_2 ? 1 : 3);
    steps(w, 2);
    syncs(w, 2);
    promises_vote(w, 2, 1, variant == LEGAL ? 1 : 2, 0);
    steps(w, 2);
}

/* A vote of an earlier term than the disk's is kept: it never votes there again (5.2). */
Test(vote_once, overtaken) { judge(CHECK_VOTE_ONCE, 3, tell_overtaken_vote, FORGED_2); }

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
Test(vote_once, append_leaves) { judge(CHECK_VOTE_ONCE, 3, tell_early_append, FORGED_3); }

static void tell_append_in_a_later_term(struct world *w, uint32_t variant) {
    share(w, 1);
    becomes_follower(w, 2, 2);
    promises_append(w, 2, 1, 1, variant == LEGAL ? puppet(w, 2)->written : 0);
    steps(w, 2);
    if (variant == LEGAL) syncs(w, 2);
}

/* The entry is durable, but not the term in which it is confirmed: the node could take back its
 * word to that leader (5.3). */
Test(vote_once, append_in_a_later_term) {
    judge(CHECK_VOTE_ONCE, 3, tell_append_in_a_later_term, FORGED);
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
Test(vote_once, append_below_the_snapshot) {
    judge(CHECK_VOTE_ONCE, 3, tell_append_below_the_snapshot, FORGED);
}

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
    if (variant == FORGED_4) {
        puppet(w, 1)->peers[2].next = 2;
        hears(w, 1, 2);
    }
}

/* Term, commit and match fall; next is not above match (5.1, 5.3). */
Test(monotonic, in_a_life) { judge(CHECK_MONOTONIC, 3, tell_falls, FORGED_4); }

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
    restarts(w, 2);
}

/* The disk has changed during the crash, in any of its fields. */
Test(recovery, changed_disk) {
    silent(3, tell_changed_disk, LEGAL);
    for (uint32_t variant = 1; variant <= 8; variant++)
        fires_alone(CHECK_RECOVERY, 3, tell_changed_disk, variant);
}

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

/* The disk of a living node changes: found by the comparison. */
Test(recovery, living_disk) {
    world_reset(&world, 3, CHECK_ALL);
    agree(&world, 1);
    expect_none(&world, LEGAL);
    world.cluster->disks[2].entries[0].command++;
    checks_compare(world.checks, world.cluster);
    expect_violation(&world, CHECK_RECOVERY, FORGED);
}

/* ---- acknowledged ---- */

TestSuite(acknowledged, .init = open_world, .fini = close_world);

static void tell_answer(struct world *w, uint32_t variant) {
    share(w, 1);
    learns(w, 1, 2, 1);
    struct puppet *p = puppet(w, 1);
    if (variant != FORGED) p->view.commit = 1;
    p->next.apply_from = p->next.answer_from = p->next.apply_to = 1;
    if (variant == FORGED_2) p->log[1].command++;
    steps(w, 1);
}

/* A client is told before its command is committed, or that another one is (8). */
Test(acknowledged, early) { judge(CHECK_ACKNOWLEDGED, 3, tell_answer, FORGED_2); }

/* ---- shadow ---- */

TestSuite(shadow, .init = open_world, .fini = close_world);

/* 3/1 and 4/1, of which n1 commits and compacts the first. */
static void agree_more(struct world *w) {
    replicates(w, nodes(1, 2), 3, 1);
    replicates(w, nodes(1, 2), 4, 1);
    learns(w, 1, 2, 4);
    commits(w, 1, 3);
    compacts(w, 1);
}

static void tell_declaration(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 2);
    compacts(w, 2);
    struct puppet *p = puppet(w, 2);
    if (variant == LEGAL) {
        saves_entry(w, 2, 3, 1);
        appends(w, 2, 4, 1);
        syncs(w, 2);
    }
    if (variant == FORGED) p->view.last--;
    if (variant == FORGED_2) p->view.last++;
    if (variant == FORGED_3) p->view.snapshot.index--;
    if (variant == FORGED_4) saves_entry(w, 2, 4, 1); /* 3 is missing. */
    if (variant == FORGED_5) saves_entry(w, 2, 2, 1); /* Under the snapshot. */
    if (variant == FORGED_6) {
        agree_more(w);
        p->next.apply_snapshot = true; /* It takes the snapshot of n1, and drops its log. */
        p->next.save_snapshot = true;
        p->view.snapshot = puppet(w, 1)->view.snapshot;
        p->view.last = p->view.commit = p->view.snapshot.index;
        saves(w, 2);
    }
    steps(w, 2);
}

/* The log ends or starts elsewhere than declared, also where a snapshot was installed; or a write
 * leaves a hole (5.3). */
Test(shadow, ends) { judge(CHECK_SHADOW, 3, tell_declaration, FORGED_6); }

/* Behind the back of the world: nothing is declared. */
static void edit(struct world *w, uint32_t variant) {
    struct puppet *p = puppet(w, 2);
    if (variant == FORGED) p->log[3].command++;
    if (variant == FORGED_2) p->log[1].term++;
}

/* An entry changes undeclared: found by the comparison at the end of a run (5.3). */
Test(shadow, compared_at_the_end) {
    for (uint32_t variant = FORGED; variant <= FORGED_2; variant++) {
        world_reset(&world, 3, CHECK_ALL);
        share(&world, 3);
        checks_compare(world.checks, world.cluster);
        edit(&world, variant);
        steps(&world, 2);
        cr_assert_not(world.is_over, "%s", speaks(&world));
        checks_compare(world.checks, world.cluster);
        expect_violation(&world, CHECK_SHADOW, variant);
    }
}

static void tell_edit(struct world *w, uint32_t variant) {
    share(w, 3);
    edit(w, variant);
    for (uint32_t i = 0; i < 1024 && !w->is_over; i++) steps(w, 3);
}

/* ... and within 1,024 steps (5.3). */
Test(shadow, compared_every_1024_steps) { judge(CHECK_SHADOW, 3, tell_edit, FORGED_2); }

/* ---- progress ---- */

TestSuite(progress, .init = open_world, .fini = close_world);

static void stall(uint32_t enabled, node_set core) {
    world_reset(&world, 3, enabled);
    elects(&world, 1, 1, nodes(1, 2));
    world.cluster->core = core;
    checks_stalled(world.checks, world.cluster);
}

static void expect_text(const char *start) {
    cr_assert_eq(strncmp(speaks(&world), start, strlen(start)), 0, "%s", speaks(&world));
}

/* The calm phase has not reached its goal, with a leader in the core or without; it is nobody
 * else's business (5.2). */
Test(progress, stalled) {
    stall(CHECK_ALL & ~(1u << CHECK_PROGRESS), nodes(1, 2));
    expect_none(&world, LEGAL);
    stall(1u << CHECK_PROGRESS, nodes(1, 2));
    expect_violation(&world, CHECK_PROGRESS, FORGED);
    expect_text("n1 leads term 1");
    stall(1u << CHECK_PROGRESS, nodes(2, 3));
    expect_violation(&world, CHECK_PROGRESS, FORGED_2);
    expect_text("no leader");
}

/* ---- the table ---- */

TestSuite(table, .init = open_world, .fini = close_world);

/* One step that breaks much at once. */
static void tell_havoc(struct world *w, uint32_t variant) {
    (void)variant;
    agree(w, 2);
    commits(w, 2, 1);
    struct puppet *p = puppet(w, 2);
    saves_command(w, 2, 1, (struct node_entry){.term = 1, .command = 9});
    p->view.role = NODE_LEADER;
    p->view.commit = 0;
    p->view.last = 2;
    p->next.apply_from = p->next.answer_from = p->next.apply_to = 1;
    promises_vote(w, 2, 3, 1, 0);
    steps(w, 2);
}

static const struct violation *judge_havoc(uint32_t enabled) {
    world_reset(&world, 3, enabled);
    tell_havoc(&world, FORGED);
    return checks_violation(world.checks);
}

/* Of several violations in one step the first of the table is reported, and with that check off,
 * the next; and each check alone speaks for itself. */
Test(table, ties) {
    uint32_t found = 0, enabled = CHECK_ALL;
    for (const struct violation *v; (v = judge_havoc(enabled)) != NULL;) {
        cr_assert_eq(found >> v->check, 0, "%s came late", v->text);
        cr_assert_eq(v->step, world.cluster->steps);
        found |= 1u << v->check;
        enabled &= ~(1u << v->check);
    }
    cr_assert_geq(__builtin_popcount(found), 6, "only %x", found);
    for (uint32_t check = 0; check < CHECK_COUNT; check++) {
        const struct violation *v = judge_havoc(1u << check);
        cr_assert_eq(v != NULL, found >> check & 1, "%s alone", check_table[check].name);
        if (v != NULL) cr_assert_eq(v->check, check);
    }
}

/* Every check has a name of its own, by which it is found, and says what it holds. */
Test(table, names) {
    for (uint32_t check = 0; check < CHECK_COUNT; check++) {
        enum check_id id = CHECK_COUNT;
        cr_assert(check_find(check_table[check].name, &id));
        cr_assert_eq(id, check);
        cr_assert_gt(strlen(check_table[check].section), 0);
        cr_assert_gt(strlen(check_table[check].holds), 0);
    }
    enum check_id id;
    cr_assert_not(check_find("no-such-check", &id));
    cr_assert_not(check_find("", &id));
}

/* ---- undecided ---- */

TestSuite(undecided, .init = open_world, .fini = close_world);

static void expect_undecided(uint32_t node_count, story *tell, const char *reason) {
    world_reset(&world, node_count, CHECK_ALL);
    tell(&world, FORGED);
    cr_assert_null(checks_violation(world.checks), "%s", speaks(&world));
    cr_assert_not_null(checks_undecided(world.checks));
    cr_assert_str_eq(checks_undecided(world.checks), reason);
}

/* n1 and n2 fill their logs and compact them, again and again; n3 does so in LEGAL only. */
static void tell_long_history(struct world *w, uint32_t variant) {
    node_id count = variant == LEGAL ? 3 : 2;
    elects(w, 1, 1, nodes(1, 2));
    for (uint64_t i = 1; i <= HISTORY_RECORDS_MAX + NODE_WRITE_MAX; i += NODE_WRITE_MAX) {
        uint64_t last = i + NODE_WRITE_MAX - 1;
        for (node_id id = 1; id <= count && !w->is_over; id++) write_batch(w, id, i, 1);
        if (w->is_over) return;
        learns(w, 1, 2, last);
        for (node_id id = 1; id <= count; id++) {
            commits(w, id, last);
            compacts(w, id);
            syncs(w, id);
        }
    }
}

/* A disk that never compacts keeps the whole history alive: in the end it is full, and the run
 * undecided. Where all compact, it slides. */
Test(undecided, history_of_indexes) {
    silent(3, tell_long_history, LEGAL);
    expect_undecided(3, tell_long_history, "the history of entries is full");
}

static void tell_many_branches(struct world *w, uint32_t variant) {
    uint64_t last = variant == LEGAL ? HISTORY_RECORDS_MAX / NODE_LOG_MAX - 1 : UINT64_MAX;
    for (uint64_t term = 1; term <= last && !w->is_over; term++) {
        becomes_follower(w, 3, term);
        for (uint64_t i = 1; i < NODE_LOG_MAX && !w->is_over; i += NODE_WRITE_MAX)
            write_batch(w, 3, i, term);
    }
}

/* A log that is rewritten in term after term: too many entries. */
Test(undecided, history_of_records) {
    silent(3, tell_many_branches, LEGAL);
    expect_undecided(3, tell_many_branches, "the history of entries is full");
}

static void tell_many_terms(struct world *w, uint32_t variant) {
    uint64_t term = 1 + CHECK_TERMS_MAX;
    elects(w, 1, 1, nodes(1, 2));
    follows(w, 1, term);
    if (variant == LEGAL) follows(w, 3, term);
    elects(w, 2, term, nodes(1, 2));
    if (variant == LEGAL) elects(w, 1, term + 1, nodes(1, 2));
}

/* A leader of so much later a term that an old one would be forgotten, whom the disk of n3 could
 * still vote for. */
Test(undecided, leaders) {
    silent(3, tell_many_terms, LEGAL);
    expect_undecided(3, tell_many_terms, "the table of leaders is full");
}

/* A log of the core is full of entries that no leader could commit: no stall to blame anyone for.
 * Outside the core it is no excuse. */
Test(undecided, full_log) {
    for (node_id id = 1; id <= 3; id += 2) {
        world_reset(&world, 3, CHECK_ALL);
        for (uint64_t i = 1; i < NODE_LOG_MAX; i += NODE_WRITE_MAX) write_batch(&world, id, i, 1);
        world.cluster->core = nodes(1, 2);
        checks_stalled(world.checks, world.cluster);
        cr_assert_eq(checks_undecided(world.checks) != NULL, id == 1);
        cr_assert_eq(checks_violation(world.checks) != NULL, id == 3);
    }
}

/* ---- legal, however strange: all checks, and none may speak ---- */

TestSuite(legal, .init = open_world, .fini = close_world);

static void tell_stale_leader(struct world *w, uint32_t variant) {
    (void)variant;
    elects(w, 1, 1, three(1, 2, 3));
    replicates(w, nodes(1, 2), 1, 1);
    elects(w, 3, 2, three(3, 4, 5));
    appends(w, 3, 1, 2); /* Its disk is slow. */
    elects(w, 1, 3, three(1, 2, 4));
    appends(w, 4, 1, 1);
    replicates(w, three(1, 2, 4), 2, 3);
    learns(w, 1, 2, 2);
    learns(w, 1, 4, 2);
    commits(w, 1, 2);
    commits(w, 4, 2);
    syncs(w, 3);
    replicates(w, node_bit(3), 2, 2);
    crashes(w, 3, 0);
    restarts(w, 3);
}

/* An entry of term 1 is committed in term 3, while a leader of term 2 without it goes on (5.4.2).
 */
Test(legal, stale_leader_between) { silent(5, tell_stale_leader, LEGAL); }

static void tell_two_commits(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 1);
    if (variant == 0) learns(w, 1, 2, 1);
    if (variant == 0) commits(w, 1, 1);
    elects(w, 2, 2, nodes(2, 3));
    appends(w, 3, 1, 1);
    replicates(w, nodes(2, 3), 2, 2);
    learns(w, 2, 3, 2);
    commits(w, 2, 2);
    if (variant == 1) learns(w, 1, 2, 1);
    if (variant == 1) commits(w, 1, 1);
    elects(w, 3, 3, nodes(2, 3));
    replicates(w, nodes(2, 3), 3, 3);
    learns(w, 3, 2, 3);
    commits(w, 3, 3);
}

/* Leaders of two terms commit the same entry, the earlier one first or last (5.4). */
Test(legal, committed_twice) {
    for (uint32_t variant = 0; variant < 2; variant++) silent(3, tell_two_commits, variant);
}

static void tell_vanished_vote(struct world *w, uint32_t variant) {
    (void)variant;
    votes(w, 2, 1, 1);
    crashes(w, 2, 0);
    restarts(w, 2);
    cr_assert_eq(puppet(w, 2)->view.vote, 0);
    elects(w, 3, 1, nodes(2, 3));
}

/* A vote that was only in memory vanishes in a crash; the node votes for another in the same term:
 * its first promise has never left (5.2). */
Test(legal, vanished_vote) { silent(3, tell_vanished_vote, LEGAL); }

/* n2 gets 1/2, then 1/4 over it, then 1/2 again: three writes. */
static void write_aba(struct world *w) {
    elects(w, 1, 2, three(1, 3, 4));
    replicates(w, node_bit(1), 1, 2);
    becomes_follower(w, 2, 2);
    appends(w, 2, 1, 2);
    elects(w, 5, 4, three(3, 4, 5));
    replicates(w, node_bit(5), 1, 4);
    becomes_follower(w, 2, 4);
    appends(w, 2, 1, 4);
    elects(w, 1, 5, three(1, 3, 4));
    replicates(w, node_bit(1), 2, 5);
    becomes_follower(w, 2, 5);
    appends(w, 2, 1, 2);
}

static void tell_aba(struct world *w, uint32_t variant) {
    (void)variant;
    write_aba(w);
    syncs_but(w, 2, 2);
    syncs_but(w, 2, 1);
    syncs(w, 2);
    learns(w, 1, 2, 1);
    replicates(w, node_bit(3), 1, 2);
    replicates(w, nodes(2, 3), 2, 5);
    learns(w, 1, 2, 2);
    learns(w, 1, 3, 2);
    commits(w, 1, 2);
}

static void tell_aba_crash(struct world *w, uint32_t kept) {
    write_aba(w);
    crashes(w, 2, kept);
    restarts(w, 2);
    const uint64_t terms[] = {0, 2, 4, 2};
    cr_assert_eq(w->cluster->processes[2].views[0].last_term, terms[kept]);
    if (kept < 3) becomes_follower(w, 2, 5);
    appends(w, 2, 1, 2);
    syncs(w, 2);
    learns(w, 1, 2, 1);
}

/* An entry is written, overwritten and written again: the three writes become durable one by one,
 * or in part by a crash (log.c tells why that matters). */
Test(legal, append_aba) {
    silent(5, tell_aba, LEGAL);
    for (uint32_t kept = 0; kept <= 3; kept++) silent(5, tell_aba_crash, kept);
}

static void tell_crash_with_commit(struct world *w, uint32_t effect) {
    share(w, 1);
    learns(w, 1, 2, 1);
    crashes_before(w, 1, effect);
    struct puppet *p = puppet(w, 1);
    saves_entry(w, 1, 2, 1);
    promises_append(w, 1, 1, 1, 0); /* Stands for the packet that tells n2. */
    p->next.answer_from = 1;
    commits(w, 1, 1);
    cr_assert_not(w->cluster->processes[1].is_alive);
    if (effect > 2) commits(w, 2, 1);
    restarts(w, 1);
    cr_assert_eq(puppet(w, 1)->view.last, 1);
    elects(w, 1, 2, nodes(1, 2));
    replicates(w, nodes(1, 2), 2, 2);
    learns(w, 1, 2, 2);
    commits(w, 1, 2);
}

/* A leader crashes in the very step in which it advances commit, before any of its effects or after
 * all of them; a follower may have learned of the commit by a packet that had left. */
Test(legal, crash_in_the_step_of_the_commit) {
    for (uint32_t effect = 1; effect <= 5; effect++) silent(3, tell_crash_with_commit, effect);
}

static void tell_deposed(struct world *w, uint32_t commit) {
    share(w, 1);
    appends(w, 1, 2, 1);
    elects(w, 2, 2, nodes(2, 3));
    replicates(w, node_bit(3), 1, 1);
    replicates(w, nodes(2, 3), 2, 2);
    learns(w, 2, 3, 2);
    commits(w, 2, 2);
    becomes_follower(w, 1, 2);
    saves_entry(w, 1, 2, 2);
    commits(w, 1, commit);
}

/* A leader hears of a later one and of its commit index at once: that is not its own commit (5.1).
 */
Test(legal, deposed_by_a_commit) {
    for (uint32_t commit = 1; commit <= 2; commit++) silent(3, tell_deposed, commit);
}

static void tell_install_on_a_short_log(struct world *w, uint32_t last) {
    agree(w, 3);
    compacts(w, 1);
    becomes_follower(w, 3, 1);
    for (uint64_t i = 1; i <= last; i++) replicates(w, node_bit(3), i, 1);
    struct puppet *p = puppet(w, 3);
    p->next.apply_snapshot = true;
    p->view.last = p->view.commit = 3;
    takes_snapshot(w, 3, puppet(w, 1)->view.snapshot);
    syncs(w, 3);
    crashes(w, 3, 0);
    restarts(w, 3);
    cr_assert_eq(puppet(w, 3)->view.last, 3);
    replicates(w, three(1, 2, 3), 4, 1);
    learns(w, 1, 3, 4);
    commits(w, 1, 4);
    commits(w, 3, 4);
}

/* A snapshot is installed on a log that ends before it, so that nothing has to be truncated (7). */
Test(legal, install_on_a_short_log) {
    for (uint32_t last = 0; last <= 2; last++) silent(3, tell_install_on_a_short_log, last);
}

static void tell_install(struct world *w, uint32_t kept) {
    elects(w, 3, 1, nodes(2, 3));
    for (uint64_t i = 1; i <= 3; i++) replicates(w, node_bit(3), i, 1);
    elects(w, 1, 2, nodes(1, 2));
    replicates(w, nodes(1, 2), 1, 2);
    replicates(w, nodes(1, 2), 2, 2);
    learns(w, 1, 2, 2);
    commits(w, 1, 2);
    compacts(w, 1);
    becomes_follower(w, 3, 2);
    installs(w, 3, 1);
    crashes(w, 3, kept);
    restarts(w, 3);
    cr_assert_eq(puppet(w, 3)->view.last, kept == 0 ? 3 : 2);
    if (kept == 0) becomes_follower(w, 3, 2);
    if (kept == 0) installs(w, 3, 1);
    replicates(w, nodes(1, 3), 3, 2);
    learns(w, 1, 3, 3);
    commits(w, 1, 3);
    commits(w, 3, 3);
}

/* A snapshot replaces a longer log that conflicts with it, also across a crash (7). */
Test(legal, install_over_a_conflict) {
    for (uint32_t kept = 0; kept <= 1; kept++) silent(3, tell_install, kept);
}

static void tell_slide(struct world *w, uint32_t variant) {
    (void)variant;
    for (uint64_t term = 1; term <= 4; term++) {
        node_id leader = (node_id)(term % 3 + 1), next = (node_id)((term + 1) % 3 + 1);
        elects(w, leader, term, nodes(leader, next));
        replicates(w, three(1, 2, 3), term, term);
        appends(w, leader, term + 1, term); /* Gets lost with its term. */
        learns(w, leader, next, term);
        for (node_id id = 1; id <= 3; id++)
            commits(w, id == 1 ? leader : id == leader ? 1 : id, term);
        for (node_id id = 1; id <= 3; id++) {
            compacts(w, id);
            syncs(w, id);
        }
        cr_assert_eq(w->checks->history.base, term);
        crashes(w, leader, 0);
        restarts(w, leader);
        truncates(w, leader, term);
        steps(w, leader);
    }
    elects(w, 1, 9, nodes(1, 2));
}

/* All nodes compact, the history of the checks slides, and what is left is judged as before (7). */
Test(legal, compaction_everywhere) { silent(3, tell_slide, LEGAL); }

static void tell_slow_disk(struct world *w, uint32_t variant) {
    share(w, 1);
    for (uint64_t i = 2; i <= DISK_WRITES_MAX + 8; i++) {
        appends(w, 1, i, 1);
        appends(w, 2, i, 1);
    }
    cr_assert_eq(w->cluster->disks[2].pending, DISK_WRITES_MAX);
    cr_assert_eq(disk_last(&w->cluster->disks[2]), 8);
    learns(w, 1, 2, 8);
    commits(w, 1, 8);
    crashes(w, 2, variant);
    restarts(w, 2);
    cr_assert_eq(puppet(w, 2)->view.last, 8 + variant);
}

/* A disk with more pending writes than it has room for: the writer waits for the oldest. */
Test(legal, slow_disk) {
    for (uint32_t kept = 0; kept <= DISK_WRITES_MAX; kept += DISK_WRITES_MAX / 2)
        silent(3, tell_slow_disk, kept);
}
