/* test_check_contract.c - a breach of node.h is a finding that names the rule (story.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "story.h"

TestSuite(contract, .init = open_world, .fini = close_world);

/* More reads end than the batch holds, or as many. */
static void tell_reads(struct world *w, uint32_t variant) {
    agree(w, 1);
    puppet(w, 1)->next.read_count = NODE_READS_MAX + (variant == FORGED);
    steps(w, 1);
}

/* The finding is the first of the table, whatever else the step does. */
Test(contract, step) {
    judge(CHECK_CONTRACT, 3, tell_reads, FORGED);
    cr_assert_eq(checks_violation(world.checks)->check, CHECK_CONTRACT);
    cr_assert_str_eq(speaks(&world),
                     "n1 answers read_count 33; node.h says: at most NODE_READS_MAX");
    cr_assert_eq(checks_violation(world.checks)->step, world.cluster->steps);
}

static void tell_start(struct world *w, uint32_t variant) {
    agree(w, 2);
    crashes(w, 2, 0);
    puppet(w, 2)->start_term = variant == FORGED ? 3 : 2;
    restarts(w, 2);
}

/* A node starts in a term that is none yet. */
Test(contract, start) { judge(CHECK_CONTRACT, 3, tell_start, FORGED); }

/* n3 promises its vote to n4, which does not exist, to nobody, or something else altogether. */
static void tell_promise(struct world *w, uint32_t variant) {
    struct promise promise = {.type = PROMISE_VOTE, .candidate = 2, .term = 1};
    if (variant == FORGED) promise.candidate = 4;
    if (variant == FORGED_2) promise.candidate = 0;
    if (variant == FORGED_3) promise.type = (enum promise_type)77;
    saves_vote(w, 3, 1, 2);
    promises(w, 3, promise, variant == LEGAL ? 1 : 0);
    steps(w, 3);
}

Test(contract, promise) { judge(CHECK_CONTRACT, 3, tell_promise, FORGED_3); }

/* Without the check nothing is accepted silently, either: the run ends undecided. */
Test(contract, undecided_without_the_check) {
    world_reset(&world, 3, CHECK_ALL & ~(1u << CHECK_CONTRACT));
    tell_reads(&world, FORGED);
    cr_assert_null(checks_violation(world.checks));
    cr_assert_not_null(checks_undecided(world.checks));
    cr_assert_not_null(strstr(speaks(&world), "node.h"));
}
