/* test_check_commit.c - the checks of what is committed, applied and answered (story.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "hash.h"
#include "story.h"

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
    commits(w, 2, 1);
}

/* A state machine applies what nobody has committed (5.4.3). */
Test(state_machine_safety, apply_uncommitted) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_apply_uncommitted, FORGED);
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
    cr_assert_not_null(strstr(speaks(&world), "not what was committed there"), "%s",
                       speaks(&world));
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

static void tell_snapshot_unapplied(struct world *w, uint32_t variant) {
    agree(w, 1);
    replicates(w, nodes(1, 2), 2, 1);
    learns(w, 1, 2, 2);
    if (variant == LEGAL) commits(w, 1, 2);
    else shows_commit(w, 1, 2);
    uint64_t state = hash_apply(w->cluster->processes[2].state, 1, puppet(w, 2)->log[1].command);
    state = hash_apply(state, 1, puppet(w, 2)->log[2].command);
    takes_snapshot(w, 2, (struct node_snapshot){2, 1, state});
}

/* A snapshot holds what is committed, but was never applied: nobody can have taken it (7). */
Test(state_machine_safety, snapshot_unapplied) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_snapshot_unapplied, FORGED);
}

static void tell_image(struct world *w, uint32_t variant) {
    begin_change(w, (struct node_members){.voters = three(1, 2, 3), .learners = 32});
    catch_up(w, nodes(2, 3));
    commits(w, 1, 3);
    if (variant == FORGED) {
        struct puppet *p = puppet(w, 1);
        p->next.save_snapshot = true; /* With the image of its start. */
        p->view.snapshot = (struct node_snapshot){3, 1, w->cluster->processes[1].state};
        saves(w, 1);
        steps(w, 1);
        return;
    }
    compacts(w, 1);
    if (variant == LEGAL) syncs(w, 1);
    struct puppet *p = puppet(w, 2);
    receives_snapshot(w, 2, 1);
    if (variant == FORGED_2) p->image.members.learners = 0;
    p->view.commit = 3;
    takes_snapshot(w, 2, puppet(w, 1)->view.snapshot);
}

/* A snapshot that is taken or installed says the configuration of the committed prefix (7). */
Test(state_machine_safety, image) { judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_image, FORGED_2); }

static void tell_missing_bytes(struct world *w, uint32_t variant) {
    agree(w, 1);
    compacts(w, 1);
    puppet(w, 1)->image.size = 8;
    becomes_follower(w, 3, 1);
    struct puppet *p = puppet(w, 3);
    receives_snapshot(w, 3, 1);
    if (variant == LEGAL) { /* In two parts. */
        p->next.chunk.length = 3;
        p->next.apply_snapshot = false;
        steps(w, 3);
        receives_snapshot(w, 3, 1);
        p->next.chunk.offset = 3;
        p->next.chunk.length = 5;
    }
    if (variant == FORGED) p->next.chunk.length = 7;
    if (variant == FORGED_2) p->next.chunk.state++;
    if (variant == FORGED_3) p->next.save_chunk = false;
    truncates(w, 3, 1);
    p->view.commit = 1;
    takes_snapshot(w, 3, puppet(w, 1)->view.snapshot);
}

/* A snapshot is installed before all of its bytes have come (7). */
Test(state_machine_safety, missing_bytes) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_missing_bytes, FORGED_3);
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
    if (variant != LEGAL) puppet(w, 3)->view.last = 1;
    if (variant != LEGAL) takes_snapshot(w, 3, puppet(w, 1)->view.snapshot);
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
    receives_snapshot(w, 3, 1);
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
    cr_assert_not_null(strstr(speaks(&world), "as committed, but the log that it kept"), "%s",
                       speaks(&world));
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

static void tell_restore_of_what_is_applied(struct world *w, uint32_t variant) {
    (void)variant;
    agree(w, 1);
    commits(w, 2, 1);
    compacts(w, 1);
    installs(w, 2, 1);
}

/* ... but for a snapshot of exactly what it has applied (7). */
Test(state_machine_safety, restore_of_what_is_applied) {
    silent(3, tell_restore_of_what_is_applied, LEGAL);
}

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

/* ---- acknowledged ---- */

TestSuite(acknowledged, .init = open_world, .fini = close_world);

/* n1 leads; what n2 commits on its own account nobody has committed. */
static void tell_answer(struct world *w, uint32_t variant) {
    node_id id = variant == FORGED ? 2 : 1;
    share(w, 1);
    learns(w, 1, 2, 1);
    struct puppet *p = puppet(w, id);
    p->view.commit = 1;
    p->next.apply_from = p->next.answer_from = p->next.apply_to = 1;
    if (variant == FORGED_2) p->log[1].command++;
    steps(w, id);
}

/* A client is told before its command is committed, or that another one is (8). */
Test(acknowledged, early) { judge(CHECK_ACKNOWLEDGED, 3, tell_answer, FORGED_2); }

static void tell_expired_answer(struct world *w, uint32_t variant) {
    share(w, 1);
    struct puppet *p = puppet(w, 2);
    p->view.commit = p->next.apply_from = p->next.answer_from = p->next.apply_to = 1;
    p->verdicts[1] = variant == LEGAL ? NODE_EXPIRED : NODE_DUPLICATE;
    steps(w, 2);
}

/* Who is told that his session has expired is told nothing about his command; that it was done
 * before is an acknowledgement (D 6.3). The apply itself is wrong, but not for this check. */
Test(acknowledged, expired) {
    silent_with(1u << CHECK_ACKNOWLEDGED, 3, tell_expired_answer, LEGAL);
    fires_alone(CHECK_ACKNOWLEDGED, 3, tell_expired_answer, FORGED);
}
