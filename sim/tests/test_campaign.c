/* test_campaign.c - campaigns: any number of workers gives one result, and a node that dies, hangs
 * or throws dice is a finding with its seed. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "campaign.h"

/* ---- nodes that go wrong at command 20, by wrapping ours ---- */

enum { WRONG_COMMAND = 20 };

static void step_abort(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND) abort();
    node_raft.step(node, event, out);
}

static void step_hang(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND)
        for (;;) raise(0);
    node_raft.step(node, event, out);
}

/* A variable outside the node: what it does depends on what ran before. */
static void step_dice(void *node, const struct node_event *event, struct node_effects *out) {
    static unsigned calls;
    struct node_event other = *event;
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND)
        other.u.propose.command += 1000 * ++calls;
    node_raft.step(node, &other, out);
}

static struct node_impl wrap(const char *name, void (*step)(void *, const struct node_event *,
                                                            struct node_effects *)) {
    struct node_impl impl = node_raft;
    impl.name = name;
    impl.step = step;
    return impl;
}

/* ---- a watcher that remembers ---- */

enum { SEEN_MAX = 64 };
struct seen {
    uint32_t count;
    struct finding findings[SEEN_MAX];
};

static void see_finding(void *context, const struct campaign *c, const struct finding *finding) {
    (void)c;
    struct seen *seen = context;
    cr_assert_lt(seen->count, SEEN_MAX);
    seen->findings[seen->count++] = *finding;
}

static void see_progress(void *context, const struct campaign *c, const struct tally *tally,
                         double seconds) {
    (void)context, (void)c, (void)tally, (void)seconds;
}

static struct campaign plain(const struct node_impl *impl) {
    return (struct campaign){
        .impl = impl,
        .request = {PROFILE_SWARM, 3, 5, 300, impl->log_max},
        .enabled = CHECK_ALL,
        .first = 1,
        .last = 200,
        .shard = 1,
        .shards = 1,
        .workers = 1,
        .hang_seconds = 30,
    };
}

static struct campaign_result run(const struct campaign *c, struct seen *seen) {
    *seen = (struct seen){0};
    struct campaign_watcher watcher = {see_finding, see_progress, seen};
    struct campaign_result result;
    campaign_run(c, &watcher, &result);
    cr_assert(!result.is_failed);
    return result;
}

static void expect_same(const struct campaign_result *a, const struct campaign_result *b) {
    cr_expect_eq(memcmp(&a->tally, &b->tally, sizeof a->tally), 0);
    cr_expect_eq(a->seed_last, b->seed_last);
    cr_expect_eq(a->findings, b->findings);
}

/* Goal: the result does not depend on the number of workers. */
Test(campaign, any_number_of_workers_gives_the_same_result) {
    struct campaign c = plain(&node_raft);
    static struct seen seen;
    struct campaign_result one = run(&c, &seen);
    cr_expect_eq(one.tally.runs, 200);
    cr_expect_eq(one.findings, 0);
    for (c.workers = 2; c.workers <= 9; c.workers += 7) {
        struct campaign_result many = run(&c, &seen);
        expect_same(&one, &many);
    }
}

/* Goal: the shards of a campaign add up to the whole. */
Test(campaign, shards_add_up) {
    struct campaign c = plain(&node_raft);
    static struct seen seen;
    struct campaign_result whole = run(&c, &seen);
    struct tally sum = {0};
    c.shards = 3;
    for (c.shard = 1; c.shard <= 3; c.shard++) {
        struct campaign_result part = run(&c, &seen);
        sum.runs += part.tally.runs;
        sum.steps += part.tally.steps;
        sum.digest += part.tally.digest;
    }
    cr_expect_eq(sum.runs, whole.tally.runs);
    cr_expect_eq(sum.steps, whole.tally.steps);
    cr_expect_eq(sum.digest, whole.tally.digest);
}

/* Goal: more shards than seeds leaves some with nothing to do, not with wrong seeds. */
Test(campaign, an_empty_shard_runs_nothing) {
    struct campaign c = plain(&node_raft);
    static struct seen seen;
    c.last = 2;
    c.shards = 5;
    c.shard = 4;
    cr_expect_eq(run(&c, &seen).tally.runs, 0);
}

/* Goal: a node that aborts is a finding of its seed, the first one, for any number of workers. */
Test(campaign, a_node_that_aborts_is_a_finding) {
    struct node_impl impl = wrap("abort", step_abort);
    struct campaign c = plain(&impl);
    static struct seen one, many;
    struct campaign_result a = run(&c, &one);
    cr_assert_eq(one.count, 1);
    cr_expect_eq(one.findings[0].kind, FINDING_ABORTED);
    cr_expect_eq(one.findings[0].signal, SIGABRT);
    c.workers = 4;
    struct campaign_result b = run(&c, &many);
    cr_expect_eq(one.findings[0].seed, many.findings[0].seed);
    expect_same(&a, &b);
}

/* Goal: with keep_going, the seeds after one that dies are run. */
Test(campaign, keeps_going_after_a_death) {
    struct node_impl impl = wrap("abort", step_abort);
    struct campaign c = plain(&impl);
    static struct seen seen;
    c.keep_going = true;
    c.workers = 2;
    c.last = 40;
    struct campaign_result result = run(&c, &seen);
    cr_expect_eq(result.tally.runs, 40);
    cr_expect_gt(result.findings, 1);
    cr_expect_eq(result.findings, seen.count);
    for (uint32_t i = 1; i < seen.count; i++)
        cr_expect_lt(seen.findings[i - 1].seed, seen.findings[i].seed);
}

/* Goal: a node that does not come back is killed, and is a finding. */
Test(campaign, a_node_that_hangs_is_a_finding) {
    struct node_impl impl = wrap("hang", step_hang);
    struct campaign c = plain(&impl);
    static struct seen seen;
    c.hang_seconds = 1;
    run(&c, &seen);
    cr_assert_eq(seen.count, 1);
    cr_expect_eq(seen.findings[0].kind, FINDING_HUNG);
}

/* Goal: a run that comes out differently the second time is found, with the step. */
Test(campaign, check_determinism_finds_dice) {
    struct node_impl impl = wrap("dice", step_dice);
    struct campaign c = plain(&impl);
    static struct seen seen;
    c.check_determinism = true;
    run(&c, &seen);
    cr_assert_eq(seen.count, 1);
    cr_expect_eq(seen.findings[0].kind, FINDING_NONDETERMINISTIC);
    cr_expect(strstr(seen.findings[0].result.reason, "from step") != NULL);
    struct campaign good = plain(&node_raft);
    good.check_determinism = true;
    cr_expect_eq(run(&good, &seen).findings, 0);
}

/* Goal: a guarded run that dies leaves the choices it had taken in shared memory. */
Test(campaign, the_record_of_a_guarded_run_survives_it) {
    struct node_impl impl = wrap("abort", step_abort);
    struct campaign c = plain(&impl);
    enum { CHOICES_MAX = 1 << 20 };
    struct choice_list *record =
        campaign_shared(sizeof *record + CHOICES_MAX * sizeof(struct choice));
    cr_assert_not_null(record);
    record->items = (struct choice *)(record + 1);
    record->capacity = CHOICES_MAX;
    static struct seen seen;
    run(&c, &seen);
    struct guarded_run guarded = {.impl = &impl, .enabled = CHECK_ALL, .hang_seconds = 30};
    campaign_draw(&c, seen.findings[0].seed, record, &guarded.config, &guarded.choices);
    struct finding finding;
    bool has_finding;
    cr_assert(campaign_guarded(&guarded, &finding, &has_finding));
    cr_expect(has_finding);
    cr_expect_eq(finding.kind, FINDING_ABORTED);
    cr_assert_gt(record->count, 20);
    choices_replay(&guarded.choices, record->items, record->count);
    cr_assert(campaign_guarded(&guarded, &finding, &has_finding));
    cr_expect_eq(finding.kind, FINDING_ABORTED);
}
