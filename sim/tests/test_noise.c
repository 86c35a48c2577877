/* test_noise.c - the world and the checks read of a node only what node.h defines, and call it only
 * as node.h allows. */
#include <criterion/criterion.h>
#include <string.h>

#include "noise.h"
#include "profile.h"
#include "run.h"

enum { SEEDS = 12, STEPS = 700 };

static void execute(struct simulator *s, enum profile profile, uint64_t seed,
                    struct run_result *out) {
    struct profile_request request = {
        .profile = profile, .nodes_min = 2, .nodes_max = 7, .steps = STEPS};
    request.log_max = node_raft.log_max;
    struct cluster_config config;
    struct choice_odds odds;
    struct choices c;
    profile_draw(&request, seed, &config, &odds);
    choices_random(&c, seed, &odds, NULL);
    run_execute(s, &config, &c, out);
}

static void expect_same(const struct run_result *a, const struct run_result *b,
                        enum profile profile, uint64_t seed) {
    cr_assert(b->outcome == a->outcome, "profile %u, seed %u: %s %s", profile, (unsigned)seed,
              b->violation.text, b->reason);
    cr_assert(a->digest == b->digest && a->steps == b->steps && a->events == b->events,
              "profile %u, seed %u", profile, (unsigned)seed);
    cr_assert(memcmp(a->counts, b->counts, sizeof a->counts) == 0, "profile %u, seed %u", profile,
              (unsigned)seed);
}

/* Goal: no undefined byte decides anything, and nothing is asked that REQUIRES forbids. Method:
 * seeds of all profiles with the core itself, and twice behind a wrapper that fills all that is
 * undefined with noise, another one each time; digests, verdicts and counters are the same. */
Test(noise, undefined_bytes_decide_nothing) {
    struct simulator plain, noisy;
    cr_assert(simulator_new(&plain, &node_raft, CHECK_ALL));
    cr_assert(simulator_new(&noisy, &node_noisy, CHECK_ALL));
    for (enum profile profile = 0; profile < PROFILE_COUNT; profile++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct run_result a, b, c;
            execute(&plain, profile, seed, &a);
            noise_seed(seed);
            execute(&noisy, profile, seed, &b);
            noise_seed(seed + SEEDS);
            execute(&noisy, profile, seed, &c);
            expect_same(&a, &b, profile, seed);
            expect_same(&a, &c, profile, seed);
        }
    simulator_free(&plain);
    simulator_free(&noisy);
}
