/* test_checks.c - the checks of all: progress, their table, where they give up, and stories that
 * are legal, however strange (story.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "shadow.h"
#include "story.h"

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

/* ... and what the leader is in the midst of is told. */
Test(progress, stalled_in_a_change) {
    world_reset(&world, 3, 1u << CHECK_PROGRESS);
    begin_change(&world, joint(three(1, 2, 3), three(1, 2, 3)));
    checks_stalled(world.checks, world.cluster);
    cr_assert_not_null(strstr(speaks(&world), "joint"), "%s", speaks(&world));
    world_reset(&world, 3, 1u << CHECK_PROGRESS);
    agree(&world, 1);
    puppet(&world, 1)->view.transfer = 2;
    steps(&world, 1);
    checks_stalled(world.checks, world.cluster);
    cr_assert_not_null(strstr(speaks(&world), "handing over to n2"), "%s", speaks(&world));
}

/* Full logs are an excuse only while they are uncommitted (7): what is committed can be compacted.
 */
Test(progress, full_of_committed) {
    for (uint32_t variant = LEGAL; variant <= FORGED; variant++) {
        world_reset(&world, 3, CHECK_ALL);
        elects(&world, 1, 1, nodes(1, 2));
        for (uint64_t i = 1; i < NODE_LOG_MAX; i += NODE_WRITE_MAX)
            for (node_id id = 1; id <= 2; id++) write_batch(&world, id, i, 1);
        learns(&world, 1, 2, NODE_LOG_MAX);
        for (node_id id = 1; id <= 2 && variant == FORGED; id++) commits(&world, id, NODE_LOG_MAX);
        world.cluster->core = nodes(1, 2);
        checks_stalled(world.checks, world.cluster);
        if (variant == FORGED) expect_violation(&world, CHECK_PROGRESS, variant);
        else cr_assert_null(checks_violation(world.checks), "%s", speaks(&world));
        cr_assert_eq(checks_undecided(world.checks) != NULL, variant == LEGAL);
    }
}

/* ---- the table ---- */

TestSuite(table, .init = open_world, .fini = close_world);

/* One step that breaks much at once. */
static void tell_havoc(struct world *w, uint32_t variant) {
    (void)variant;
    agree(w, 2);
    commits(w, 2, 2);
    struct puppet *p = puppet(w, 2);
    saves_command(w, 2, 1, (struct node_entry){.term = 1, .command = 9});
    p->view.role = NODE_LEADER;
    p->view.commit = 1;
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

static void expect_undecided(uint32_t node_count, story *tell, uint32_t variant,
                             const char *reason) {
    world_reset(&world, node_count, CHECK_ALL);
    tell(&world, variant);
    cr_assert_null(checks_violation(world.checks), "%s", speaks(&world));
    cr_assert_not_null(checks_undecided(world.checks));
    cr_assert_str_eq(checks_undecided(world.checks), reason);
}

/* n1 and n2 fill their logs and compact them, again and again; n3 does so in the first variant
 * only, and stays empty in the second. */
enum { COMPACTS, STAYS_EMPTY, GROWS_OLD };
static void tell_long_history(struct world *w, uint32_t variant) {
    node_id count = variant == COMPACTS ? 3 : 2;
    elects(w, 1, 1, nodes(1, 2));
    if (variant == GROWS_OLD) replicates(w, node_bit(3), 1, 1);
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
 * undecided. Where all compact, it slides; an empty one has nothing to compact. */
Test(undecided, history_of_indexes) {
    silent(3, tell_long_history, COMPACTS);
    silent(3, tell_long_history, STAYS_EMPTY);
    expect_undecided(3, tell_long_history, GROWS_OLD, "the history of entries is full");
}

/* n3 has been empty for so long; now it gets the snapshot, or what is no more known. */
static void tell_late_joiner(struct world *w, uint32_t variant) {
    tell_long_history(w, STAYS_EMPTY);
    crashes(w, 3, 0);
    restarts(w, 3);
    becomes_follower(w, 3, 1);
    if (variant == LEGAL) {
        promises_append(w, 3, 0, 0, 1);
        installs(w, 3, 1);
        syncs(w, 3);
        replicates(w, three(1, 2, 3), puppet(w, 1)->view.last + 1, 1);
        learns(w, 1, 3, puppet(w, 1)->view.last);
    } else if (variant == FORGED) {
        promises_append(w, 3, 1, 1, 1);
        steps(w, 3);
        syncs(w, 3);
    } else {
        appends(w, 3, 1, 1);
    }
}

static void tell_late_match(struct world *w, uint32_t variant) {
    (void)variant;
    tell_long_history(w, STAYS_EMPTY);
    learns(w, 1, 3, 1);
}

/* What is older than the history cannot be judged; a confirmation of it by who has nothing can. */
Test(undecided, late_joiner) {
    silent(3, tell_late_joiner, LEGAL);
    fires_alone(CHECK_PROMISE_DURABLE, 3, tell_late_joiner, FORGED);
    expect_undecided(3, tell_late_joiner, FORGED_2, "the history of entries is full");
    fires_alone(CHECK_MATCH_TRUTH, 3, tell_late_match, FORGED);
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
    expect_undecided(3, tell_many_branches, FORGED, "the history of entries is full");
}

static void tell_many_terms(struct world *w, uint32_t variant) {
    uint64_t term = 1 + CHECK_TERMS_MAX;
    elects(w, 1, 1, nodes(1, 2));
    follows(w, 1, term);
    if (variant == LEGAL) follows(w, 3, term);
    elects(w, 2, term, nodes(1, 2));
    if (variant == LEGAL) elects(w, 1, term + 1, nodes(1, 2));
}

/* A leader of so much later a term that an old one would be forgotten, in which n3 could still
 * stand. */
Test(undecided, leaders) {
    silent(3, tell_many_terms, LEGAL);
    world.spares = 1; /* It knows nobody to ask for a vote. */
    silent(3, tell_many_terms, LEGAL);
    world.spares = 0;
    expect_undecided(3, tell_many_terms, FORGED, "the table of leaders is full");
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
    cr_assert_eq(w->cluster->processes[2].view.last_term, terms[kept]);
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
    receives_snapshot(w, 3, 1);
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
