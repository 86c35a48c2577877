/* test_check_goal.c - the checks of what must hold once all is calm (story.h). The test sets the
 * goal of the calm phase by hand: the stories are told from there on. */
#include <criterion/criterion.h>
#include <string.h>

#include "story.h"

TestSuite(goal, .init = open_world, .fini = close_world);

/* The stage of the goal in the story that is told, and the node that the story is about. */
static enum goal_stage stage;
static node_id hero;

/* n1 leads term 1, the others follow it, and the calm phase has come to that stage: n1 shall stay,
 * or hand over to n2. */
static void reach(struct world *w, bool is_asked) {
    elects(w, 1, 1, three(1, 2, 3));
    follows(w, 4, 1);
    follows(w, 5, 1);
    w->cluster->goal =
        (struct goal){.stage = stage, .is_asked = is_asked, .leader = 1, .target = 2, .term = 1};
}

/* ---- stability ---- */

static void disturb(struct world *w, uint32_t variant) {
    struct puppet *p = puppet(w, hero);
    if (variant == FORGED) p->view.role = NODE_PRECANDIDATE;
    if (variant == FORGED_2) saves_vote(w, hero, 2, hero);
    if (variant == FORGED_2) p->view.role = NODE_CANDIDATE;
    if (variant == FORGED_3) becomes_follower(w, hero, 2);
    if (variant == FORGED_4) p->view.role = NODE_LEADER;
    if (variant == FORGED_4) saves_vote(w, hero, 2, hero);
    if (variant == FORGED_5 && hero == 1) becomes_follower(w, hero, 1);
    if (variant == FORGED_5 && hero != 1) p->view.role = NODE_CANDIDATE;
    steps(w, hero);
}

static void tell_disturbance(struct world *w, uint32_t variant) {
    reach(w, false);
    for (node_id id = 1; id <= 5; id++) steps(w, id);
    disturb(w, variant);
}

/* Goal: while the leader shall stay, the core is quiet. Method: each node of the core, the leader
 * too, asks for pre-votes or votes, goes to another term, leads one, or changes its role in the
 * same term; while the leader is watched and until it is asked to hand over. */
Test(goal, core_is_quiet) {
    const enum goal_stage stages[] = {GOAL_STAY, GOAL_HANDOVER};
    for (uint32_t i = 0; i < 2; i++)
        for (hero = 1; hero <= 5; hero++) {
            stage = stages[i];
            judge(CHECK_STABILITY, 5, tell_disturbance, FORGED_5);
        }
}

/* Goal: before the core has settled, and when all is reached, anyone may campaign. Method: as
 * before, in the other stages. */
Test(goal, other_stages_are_not_quiet) {
    const enum goal_stage stages[] = {GOAL_SETTLE, GOAL_REACHED};
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t variant = FORGED; variant <= FORGED_5; variant++) {
            stage = stages[i];
            hero = 2;
            silent_with(1u << CHECK_STABILITY, 5, tell_disturbance, variant);
        }
}

static void tell_outsider(struct world *w, uint32_t variant) {
    reach(w, stage == GOAL_HANDOVER);
    w->cluster->core &= ~node_bit(5);
    disturb(w, variant);
}

/* Goal: a node outside the core may do as it likes. Method: as before, for n5, which is not in the
 * core; n4, which is in it, fires. */
Test(goal, outsiders_do_as_they_like) {
    const uint32_t checks = 1u << CHECK_STABILITY | 1u << CHECK_TRANSFER;
    const enum goal_stage stages[] = {GOAL_STAY, GOAL_HANDOVER};
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t variant = FORGED; variant <= FORGED_5; variant++) {
            stage = stages[i];
            hero = 5;
            silent_with(checks, 5, tell_outsider, variant);
            hero = 4;
            bool may = stage == GOAL_HANDOVER && variant == FORGED_3; /* A vote for the target. */
            if (may) silent_with(checks, 5, tell_outsider, variant);
            else fires_with(checks, CHECK_STABILITY, 5, tell_outsider, variant);
        }
}

/* ---- transfer ---- */

static void tell_deposed_transfer(struct world *w, uint32_t variant) {
    reach(w, false);
    puppet(w, 1)->view.transfer = 2;
    steps(w, 1);
    if (variant != LEGAL) puppet(w, hero)->view.transfer = 2;
    if (variant == FORGED_2) puppet(w, hero)->view.role = NODE_PRECANDIDATE;
    if (variant == FORGED_3) puppet(w, hero)->view.role = NODE_CANDIDATE;
    if (variant == FORGED_3) saves_vote(w, hero, 2, hero);
    steps(w, hero);
}

/* Goal: a node that does not lead hands over to nobody (D 3.10), in whatever stage. Method: a
 * transfer that the leader shows, and one that any other role shows. */
Test(goal, only_leaders_hand_over) {
    for (hero = 2; hero <= 3; hero++)
        for (int i = GOAL_SETTLE; i <= GOAL_REACHED; i++) {
            stage = (enum goal_stage)i;
            judge(CHECK_TRANSFER, 5, tell_deposed_transfer, FORGED_3);
        }
}

/* The target wins an election in the next term, and all others follow it. */
static void tell_handover(struct world *w, uint32_t variant) {
    stage = GOAL_HANDOVER;
    reach(w, true);
    steps(w, 1);
    w->cluster->goal.is_refused = variant == FORGED_6;
    node_id id = variant == FORGED ? 3 : variant == FORGED_3 ? 1 : 2;
    uint64_t term = variant == FORGED_2 ? 3 : 2;
    if (variant == FORGED_4) becomes_follower(w, 3, 3);
    if (variant == FORGED_5) puppet(w, 2)->view.role = NODE_PRECANDIDATE;
    if (variant == FORGED_4) steps(w, 3);
    else if (variant == FORGED_5) steps(w, 2);
    else if (variant == FORGED_6) steps(w, 1);
    else votes(w, id, id, term);
    if (variant != LEGAL) return;
    syncs(w, 2);
    votes(w, 3, 2, 2);
    votes(w, 4, 2, 2);
    syncs(w, 3);
    syncs(w, 4);
    leads(w, 2, 2);
    steps(w, 1); /* It has not heard of it yet. */
    follows(w, 1, 2);
    follows(w, 5, 2);
}

/* Goal: a handover that nothing hinders leads to the target, and to exactly the next term (D 3.10).
 * Method: the whole handover is silent; another node campaigns, the target in a later term, the old
 * leader, a follower is in a later term, the target asks for pre-votes, the leader refuses. */
Test(goal, handover) { judge(CHECK_TRANSFER, 5, tell_handover, FORGED_6); }

static void tell_old_leader(struct world *w, uint32_t variant) {
    stage = GOAL_HANDOVER;
    reach(w, true);
    steps(w, 1);
    node_id id = variant == FORGED_3 ? 3 : 1;
    if (variant == FORGED) saves_vote(w, 1, 2, 1); /* It leads the next term itself. */
    if (variant == FORGED_2) puppet(w, 1)->view.role = NODE_PRECANDIDATE;
    if (variant == FORGED_3) puppet(w, 3)->view.role = NODE_LEADER;
    steps(w, id);
}

/* Goal: the old leader leads its own term until it hears of the next one, and nobody else does.
 * Method: it leads on; it leads the next term, it asks for pre-votes, another node leads its term.
 */
Test(goal, old_leader_leads_its_own_term) { judge(CHECK_TRANSFER, 5, tell_old_leader, FORGED_3); }

/* ---- too late ---- */

static const struct violation *stall(enum goal_stage at, bool is_asked) {
    world_reset(&world, 5, CHECK_ALL);
    stage = at;
    reach(&world, is_asked);
    cr_assert_null(checks_violation(world.checks));
    checks_stalled(world.checks, world.cluster);
    const struct violation *violation = checks_violation(world.checks);
    cr_assert_not_null(violation);
    return violation;
}

/* Goal: a late handover is told as what it is. Method: late when the leader was asked, when it
 * could not be asked, and late to settle, before the handover and after it. */
Test(goal, late_handover) {
    const struct violation *asked = stall(GOAL_HANDOVER, true);
    cr_assert(asked->check == CHECK_TRANSFER && strstr(asked->text, "asked to hand over to n2"));
    const struct violation *unasked = stall(GOAL_HANDOVER, false);
    cr_assert(unasked->check == CHECK_PROGRESS && strstr(unasked->text, "has not learned that n2"));
    for (int is_asked = 0; is_asked < 2; is_asked++) {
        const struct violation *late = stall(GOAL_SETTLE, is_asked != 0);
        cr_assert(late->check == CHECK_PROGRESS && strstr(late->text, "has not converged"));
    }
}
