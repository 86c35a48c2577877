/* test_check_log.c - the checks of logs, and what nodes declare of them (story.h). */
#include <criterion/criterion.h>

#include "story.h"

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
    if (variant == FORGED || variant == FORGED_3) appends(w, 2, 3, 1);
    if (variant == FORGED) p->view.last--;
    if (variant == FORGED_2) p->view.last++;
    if (variant == FORGED_3) p->view.snapshot.index++;
    if (variant == FORGED_4) {
        agree_more(w);
        receives_snapshot(w, 2, 1); /* It takes the snapshot of n1, and drops its log. */
        p->next.save_snapshot = true;
        p->view.snapshot = puppet(w, 1)->view.snapshot;
        p->view.last = p->view.commit = p->view.snapshot.index;
        saves(w, 2);
    }
    steps(w, 2);
}

/* The log ends or starts elsewhere than declared, also where a snapshot was installed (5.3). */
Test(shadow, ends) { judge(CHECK_SHADOW, 3, tell_declaration, FORGED_4); }

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

static void tell_edit_of_the_snapshot(struct world *w, uint32_t variant) {
    agree(w, 1);
    compacts(w, 1);
    syncs(w, 1);
    if (variant == FORGED) puppet(w, 1)->view.snapshot.state++;
    if (variant == FORGED_2) puppet(w, 1)->view.snapshot.term++;
    steps(w, 1);
    checks_compare(w->checks, w->cluster);
}

/* The snapshot in memory changes undeclared, in its state or its term (7). */
Test(shadow, snapshot) { judge(CHECK_SHADOW, 3, tell_edit_of_the_snapshot, FORGED_2); }
