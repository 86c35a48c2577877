/* story.c - the judge, and how stories begin. */
#include "story.h"

#include <criterion/criterion.h>

struct world world;
void open_world(void) { world_open(&world); }
void open_world_with_spares(void) {
    open_world();
    world.spares = 2;
}
void close_world(void) { world_close(&world); }

const char *speaks(const struct world *w) {
    const struct violation *violation = checks_violation(w->checks);
    if (violation != NULL) return violation->text;
    const char *undecided = checks_undecided(w->checks);
    return undecided != NULL ? undecided : "nothing";
}

/* ---- how a story is judged ---- */

void expect_violation(const struct world *w, enum check_id check, uint32_t variant) {
    const struct violation *violation = checks_violation(w->checks);
    cr_assert_not_null(violation, "%s, variant %u: no violation; the checks say: %s",
                       check_table[check].name, variant, speaks(w));
    cr_assert_leq(violation->check, check, "%s, variant %u: %s instead: %s",
                  check_table[check].name, variant, check_table[violation->check].name,
                  violation->text);
    cr_assert_eq(w->ignored, 0, "%s, variant %u: fired %u events early: %s",
                 check_table[check].name, variant, w->ignored, violation->text);
}

void expect_none(struct world *w, uint32_t variant) {
    if (!w->is_over) checks_compare(w->checks, w->cluster);
    cr_assert_null(checks_violation(w->checks), "variant %u: %s", variant, speaks(w));
    cr_assert_null(checks_undecided(w->checks), "variant %u: %s", variant, speaks(w));
}

void silent_with(uint32_t enabled, uint32_t node_count, story *tell, uint32_t variant) {
    world_reset(&world, node_count, enabled);
    tell(&world, variant);
    expect_none(&world, variant);
}

void silent(uint32_t node_count, story *tell, uint32_t variant) {
    silent_with(CHECK_ALL, node_count, tell, variant);
}

void fires_with(uint32_t enabled, enum check_id check, uint32_t node_count, story *tell,
                uint32_t variant) {
    world_reset(&world, node_count, enabled);
    tell(&world, variant);
    expect_violation(&world, check, variant);
}

void fires_alone(enum check_id check, uint32_t node_count, story *tell, uint32_t variant) {
    fires_with(1u << check, check, node_count, tell, variant);
}

void judge(enum check_id check, uint32_t node_count, story *tell, uint32_t last) {
    silent(node_count, tell, LEGAL);
    for (uint32_t variant = FORGED; variant <= last; variant++) {
        fires_alone(check, node_count, tell, variant);
        fires_with(CHECK_ALL, check, node_count, tell, variant);
    }
}

/* ---- how stories begin ---- */

void share(struct world *w, uint64_t last) {
    elects(w, 1, 1, nodes(1, 2));
    for (uint64_t i = 1; i <= last; i++) replicates(w, nodes(1, 2), i, 1);
}

void agree(struct world *w, uint64_t last) {
    share(w, last);
    learns(w, 1, 2, last);
    commits(w, 1, last);
}

void begin_change(struct world *w, struct node_members members) {
    agree(w, 2);
    reconfigures(w, 1, 3, 1, members);
    syncs(w, 1);
}

void catch_up(struct world *w, node_set targets) {
    const struct puppet *leader = puppet(w, 1);
    for (node_id id = 2; id <= 5; id++) {
        if (!(targets & node_bit(id))) continue;
        if (puppet(w, id)->view.term < leader->view.term) follows(w, id, leader->view.term);
        for (uint64_t i = puppet(w, id)->view.last + 1; i <= leader->view.last; i++)
            copies(w, id, 1, i);
    }
}

void shows_commit(struct world *w, node_id id, uint64_t commit) {
    puppet(w, id)->view.commit = commit;
    steps(w, id);
}

void becomes_follower(struct world *w, node_id id, uint64_t term) {
    puppet(w, id)->view.role = NODE_FOLLOWER;
    saves_vote(w, id, term, 0);
}

void write_batch(struct world *w, node_id id, uint64_t from, uint64_t term) {
    for (uint64_t i = 0; i < NODE_WRITE_MAX; i++) saves_entry(w, id, from + i, term);
    steps(w, id);
    syncs(w, id);
}
