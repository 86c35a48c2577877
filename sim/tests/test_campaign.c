/* test_campaign.c - campaigns: any number of workers gives one result, and a node that dies, hangs
 * or throws dice is a finding with its seed. */
#include <assert.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static void step_exit(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND) exit(5);
    node_raft.step(node, event, out);
}

static void step_assert(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE) assert(event->u.propose.command < WRONG_COMMAND);
    node_raft.step(node, event, out);
}

static void step_sleep(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND)
        for (;;) sleep(1000);
    node_raft.step(node, event, out);
}

/* What happens once to one of the worker processes. */
static struct accident {
    atomic_int left; /* So often still. */
    int signal_number;
} *accident;

static void plan_accident(int signal_number, int times) {
    accident = campaign_shared(sizeof *accident);
    cr_assert_not_null(accident);
    accident->signal_number = signal_number;
    atomic_store(&accident->left, times);
}

/* A signal that hits the process, not the node; a stopped process goes on after 3 s. */
static void step_accident(void *node, const struct node_event *event, struct node_effects *out) {
    bool is_here = event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND;
    if (is_here && atomic_fetch_sub(&accident->left, 1) > 0) {
        pid_t worker = getpid();
        if (accident->signal_number == SIGSTOP && fork() == 0) {
            sleep(3);
            kill(worker, SIGCONT);
            _exit(0);
        }
        raise(accident->signal_number);
    }
    node_raft.step(node, event, out);
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
    uint64_t killed_seed; /* Of the last worker that was killed from outside. */
    int killed_by;
};

static void see_finding(void *context, const struct campaign *c, const struct finding *finding) {
    (void)c;
    struct seen *seen = context;
    cr_assert_lt(seen->count, SEEN_MAX);
    seen->findings[seen->count++] = *finding;
}

static void see_killed(void *context, uint64_t seed, int signal_number) {
    struct seen *seen = context;
    seen->killed_seed = seed;
    seen->killed_by = signal_number;
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
    struct campaign_watcher watcher = {see_finding, see_killed, see_progress, seen};
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

/* Goal: what is known of a death is told: the assertion, the step, the node and the event. */
Test(campaign, a_death_is_told_with_its_place) {
    struct node_impl impl = wrap("assert", step_assert);
    struct campaign c = plain(&impl);
    static struct seen seen;
    run(&c, &seen);
    cr_assert_eq(seen.count, 1);
    const struct finding *f = &seen.findings[0];
    cr_expect_eq(f->kind, FINDING_ABORTED);
    cr_expect_eq(f->signal, SIGABRT);
    cr_expect_gt(f->place.step, 0);
    cr_expect_eq(f->result.steps, f->place.step);
    cr_expect(f->place.node >= 1 && f->place.node <= 8);
    cr_expect_eq(f->place.event, NODE_PROPOSE);
    cr_expect_eq(f->place.source, 0);
    cr_expect(strstr(f->assertion, "command < WRONG_COMMAND") != NULL, "'%s'", f->assertion);
}

/* Goal: a node that ends the process loses its seed, whatever its exit status says; the campaign
 * goes on. */
Test(campaign, a_node_that_exits_loses_its_seed) {
    struct node_impl impl = wrap("exit", step_exit);
    struct campaign c = plain(&impl);
    static struct seen seen;
    c.keep_going = true;
    c.last = 40;
    struct campaign_result result = run(&c, &seen);
    cr_expect_eq(result.tally.runs, 40);
    cr_assert_gt(seen.count, 1);
    cr_expect_eq(seen.findings[0].kind, FINDING_ABORTED);
    cr_expect_eq(seen.findings[0].signal, 0);
    cr_expect_eq(seen.findings[0].exit_status, 5);
}

/* Goal: a worker that is killed from outside changes nothing but the count of such workers. */
Test(campaign, a_worker_that_is_killed_is_replaced) {
    struct node_impl impl = wrap("accident", step_accident);
    struct campaign c = plain(&impl);
    static const int signals[] = {SIGKILL, SIGKILL, SIGHUP};
    static struct seen seen;
    plan_accident(0, 0);
    struct campaign_result good = run(&c, &seen);
    for (int i = 0; i < 3; i++) {
        plan_accident(signals[i], 1 + i % 2);
        struct campaign_result result = run(&c, &seen);
        cr_expect_eq(result.kills, 1u + i % 2);
        cr_expect_eq(seen.killed_by, signals[i]);
        cr_expect_gt(seen.killed_seed, 0);
        cr_expect_eq(seen.count, 0);
        expect_same(&good, &result);
    }
}

/* Goal: a run that kills its worker each time is a finding. */
Test(campaign, a_node_that_kills_itself_is_a_finding) {
    struct node_impl impl = wrap("accident", step_accident);
    struct campaign c = plain(&impl);
    static struct seen seen;
    plan_accident(SIGKILL, 1000);
    struct campaign_result result = run(&c, &seen);
    cr_expect_eq(result.kills, CAMPAIGN_KILLS_MAX);
    cr_assert_eq(seen.count, 1);
    cr_expect_eq(seen.findings[0].kind, FINDING_ABORTED);
    cr_expect_eq(seen.findings[0].signal, SIGKILL);
    cr_expect_eq(seen.findings[0].place.event, NODE_PROPOSE);
}

static void step_print(void *node, const struct node_event *event, struct node_effects *out) {
    if (event->type == NODE_PROPOSE && event->u.propose.command == WRONG_COMMAND) {
        printf("printed\n");
        fprintf(stderr, "complained\n");
        abort();
    }
    node_raft.step(node, event, out);
}

/* Goal: what a node prints goes to stderr, at once, and once: not again from the run that is
 * recorded. */
Test(campaign, what_a_node_prints_goes_to_stderr_once) {
    struct node_impl impl = wrap("print", step_print);
    struct campaign c = plain(&impl);
    static struct seen seen;
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    int kept = dup(STDERR_FILENO);
    fflush(NULL);
    dup2(fileno(file), STDERR_FILENO);
    run(&c, &seen);
    struct guarded_run guarded = {
        .impl = &impl, .enabled = CHECK_ALL, .hang_seconds = 30, .is_quiet = true};
    campaign_draw(&c, seen.findings[0].seed, NULL, &guarded.config, &guarded.choices);
    struct finding finding;
    bool has_finding, is_done = campaign_guarded(&guarded, &finding, &has_finding);
    dup2(kept, STDERR_FILENO);
    cr_assert(is_done && has_finding);
    char text[256] = {0};
    rewind(file);
    fread(text, 1, sizeof text - 1, file);
    fclose(file);
    cr_expect_str_eq(text, "printed\ncomplained\n");
}

/* Goal: a guarded run that is killed from outside is run again, from its first choice on. */
Test(campaign, a_guarded_run_that_is_killed_is_run_again) {
    struct node_impl impl = wrap("accident", step_accident);
    struct campaign c = plain(&impl);
    struct guarded_run guarded = {.impl = &impl, .enabled = CHECK_ALL, .hang_seconds = 30};
    struct finding finding, good;
    bool has_finding;
    campaign_draw(&c, 1, NULL, &guarded.config, &guarded.choices);
    plan_accident(0, 0);
    cr_assert(campaign_guarded(&guarded, &good, &has_finding));
    cr_expect(!has_finding);
    plan_accident(SIGKILL, 1);
    cr_assert(campaign_guarded(&guarded, &finding, &has_finding));
    cr_expect(!has_finding);
    cr_expect_eq(finding.kills, 1);
    cr_expect_eq(finding.result.digest, good.result.digest);
}

/* Goal: the time for which a worker is stopped does not count as hanging. */
Test(campaign, a_worker_that_is_stopped_does_not_hang) {
    struct node_impl impl = wrap("accident", step_accident);
    struct campaign c = plain(&impl);
    static struct seen seen;
    c.hang_seconds = 1;
    c.last = 40;
    plan_accident(SIGSTOP, 1);
    struct campaign_result result = run(&c, &seen);
    cr_expect_eq(seen.count, 0);
    cr_expect_eq(result.tally.runs, 40);
    cr_expect(atomic_load(&accident->left) <= 0, "no worker was stopped");
}

/* Goal: the configuration is what the profile draws, with the overrides in its place; a seed with
 * which they are invalid ends the campaign before it. */
Test(campaign, overrides_take_the_place_of_what_is_drawn) {
    struct campaign c = plain(&node_raft);
    static struct seen seen;
    struct cluster_config drawn, set;
    struct choices choices;
    campaign_draw(&c, 7, NULL, &drawn, &choices);
    c.overrides[c.override_count++] = (struct campaign_override){config_find("client"), 12345};
    campaign_draw(&c, 7, NULL, &set, &choices);
    drawn.client_us = 12345;
    cr_expect_eq(memcmp(&drawn, &set, sizeof set), 0);
    cr_expect(!run(&c, &seen).has_misfit);
    c.overrides[c.override_count++] = (struct campaign_override){config_find("lease"), 1000};
    struct campaign_result result = run(&c, &seen);
    cr_assert(result.has_misfit);
    cr_expect_str_eq(result.misfit, "lease needs check-quorum on all nodes");
    for (uint64_t seed = 1; seed <= result.misfit_seed; seed++) {
        campaign_draw(&c, seed, NULL, &set, &choices);
        cr_expect_eq(config_problem(&set) == NULL, seed < result.misfit_seed);
    }
    cr_expect_eq(result.tally.runs, result.misfit_seed - 1);
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

/* Goal: a node that does not come back, busy or asleep, is killed, and is a finding. */
Test(campaign, a_node_that_hangs_is_a_finding) {
    struct node_impl impls[] = {wrap("hang", step_hang), wrap("sleep", step_sleep)};
    for (int i = 0; i < 2; i++) {
        struct campaign c = plain(&impls[i]);
        static struct seen seen;
        c.hang_seconds = 1;
        run(&c, &seen);
        cr_assert_eq(seen.count, 1);
        cr_expect_eq(seen.findings[0].kind, FINDING_HUNG);
        cr_expect_eq(seen.findings[0].place.event, NODE_PROPOSE);
        cr_expect_gt(seen.findings[0].result.steps, 20);
    }
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
