/* worker.c - the child's side of a campaign: runs seeds, notes what happened in shared memory. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void *campaign_shared(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void campaign_draw(const struct campaign *campaign, uint64_t seed, struct choice_list *record,
                   struct cluster_config *config, struct choices *choices) {
    struct choice_odds odds;
    profile_draw(&campaign->request, seed, config, &odds);
    for (uint32_t i = 0; i < campaign->override_count; i++)
        config_set(config, campaign->overrides[i].field, campaign->overrides[i].value);
    choices_random(choices, seed, &odds, record);
}

/* ---- one run ---- */

/* What the node prints, on either stream, goes to stderr at once, or nowhere. */
static void drop_output(bool is_dropped) {
    static int kept = -1;
    if (kept < 0) kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int target = is_dropped ? open("/dev/null", O_WRONLY | O_CLOEXEC) : kept;
    if (target < 0) return; /* There is no stderr, or no /dev/null. */
    fflush(stdout);
    dup2(target, STDOUT_FILENO);
    dup2(target, STDERR_FILENO);
    if (target != kept) close(target);
}

static bool is_finding(const struct run_result *result, enum finding_kind *kind) {
    switch (result->outcome) {
    case RUN_HELD: return false;
    case RUN_VIOLATED: *kind = FINDING_VIOLATED; return true;
    case RUN_STALLED: *kind = FINDING_STALLED; return true;
    case RUN_UNDECIDED: *kind = FINDING_UNDECIDED; return true;
    case RUN_DIVERGED: *kind = FINDING_NONDETERMINISTIC; return true;
    }
    assert(false);
    return false;
}

static void run_seed(const struct campaign *campaign, struct simulator *s, uint64_t seed,
                     struct finding *out) {
    struct choices choices;
    struct cluster_config config;
    campaign_draw(campaign, seed, NULL, &config, &choices);
    run_execute(s, &config, &choices, &out->result);
    out->seed = seed;
    out->nodes = config.nodes;
}

static void add_run(struct tally *tally, const struct run_result *result, bool has_failed) {
    tally->runs++;
    tally->steps += result->steps;
    tally->events += result->events;
    tally->digest += result->digest;
    for (int i = 0; i < SOMETIMES_COUNT; i++) tally->counts[i] += result->counts[i];
    if (!has_failed) return;
    tally->failures++;
    tally->steps_to_failure += result->steps;
}

/* The second run must go through the same digests as the first. */
static bool differs_when_repeated(const struct campaign *campaign, struct simulator *s,
                                  struct finding *finding) {
    struct finding again = {0};
    s->watch->is_repeat = true;
    drop_output(true);
    run_seed(campaign, s, finding->seed, &again);
    drop_output(false);
    s->watch->is_repeat = false;
    if (again.result.digest == finding->result.digest && !s->watch->has_difference) return false;
    finding->kind = FINDING_NONDETERMINISTIC;
    uint64_t step = s->watch->has_difference ? s->watch->step : again.result.steps;
    snprintf(finding->result.reason, sizeof finding->result.reason,
             "two runs differ from step %llu on", (unsigned long long)step);
    return true;
}

static void run_chunk(const struct campaign *campaign, struct simulator *s,
                      struct worker_slot *slot) {
    struct chunk *chunk = &slot->chunk;
    for (uint64_t seed = chunk->first;; seed += campaign->shards) {
        slot->seed = seed;
        atomic_fetch_add(&slot->witness.beat, 1);
        struct finding *finding = &chunk->findings[chunk->finding_count];
        *finding = (struct finding){0};
        run_seed(campaign, s, seed, finding);
        bool is_found = is_finding(&finding->result, &finding->kind);
        add_run(&chunk->tally, &finding->result, is_found);
        if (campaign->check_determinism && differs_when_repeated(campaign, s, finding)) {
            chunk->tally.failures += !is_found;
            is_found = true;
        }
        chunk->finding_count += is_found;
        if (seed == chunk->last || (is_found && !campaign->keep_going)) break;
    }
    chunk->is_done = true;
}

/* ---- processes ---- */

/* The child dies with its parent, leaves Ctrl-C and SIGTERM to it, and writes no core files. */
static void become_child(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setvbuf(stdout, NULL, _IONBF, 0);
}

/* Builds the simulator of a child, which notes in shared memory how far it gets. */
static void begin_simulator(struct simulator *s, const struct node_impl *impl, uint32_t enabled,
                            struct witness *witness) {
    if (!simulator_new(s, impl, enabled)) {
        witness->has_no_memory = true;
        _exit(1);
    }
    s->beat = &witness->beat;
    s->place = &witness->place;
    assertion_keep(witness->assertion);
}

static _Noreturn void serve(const struct campaign *campaign, struct worker_slot *slot,
                            int command_fd, int done_fd) {
    become_child();
    drop_output(false);
    struct simulator s;
    begin_simulator(&s, campaign->impl, campaign->enabled, &slot->witness);
    static struct run_watch watch;
    s.watch = campaign->check_determinism ? &watch : NULL;
    char byte;
    while (read(command_fd, &byte, 1) == 1) {
        run_chunk(campaign, &s, slot);
        if (write(done_fd, &byte, 1) != 1) break;
    }
    simulator_free(&s);
    _exit(0);
}

static void close_pair(const int pair[2]) {
    close(pair[0]);
    close(pair[1]);
}

bool worker_start(struct worker *w, const struct campaign *campaign) {
    int command[2], done[2];
    w->pid = 0;
    w->is_busy = false;
    memset(&w->slot->witness, 0, sizeof w->slot->witness);
    if (pipe(command) != 0) return false;
    if (pipe(done) != 0) {
        close_pair(command);
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        close_pair(command);
        close_pair(done);
        return false;
    }
    w->pid = pid;
    if (w->pid == 0) {
        close(command[1]);
        close(done[0]);
        serve(campaign, w->slot, command[0], done[1]);
    }
    close(command[0]);
    close(done[1]);
    w->command_fd = command[1];
    w->done_fd = done[0];
    return true;
}

void worker_command(struct worker *w) {
    assert(!w->is_busy);
    w->is_busy = true;
    w->slot->chunk.is_done = false;
    w->slot->seed = w->slot->chunk.first;
    watchdog_start(&w->watchdog, w->pid, atomic_load(&w->slot->witness.beat));
    ssize_t written = write(w->command_fd, "", 1);
    (void)written; /* If it is gone already, the end of done_fd tells. */
}

int worker_reap(struct worker *w) {
    int status = 0;
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR) continue;
    close(w->command_fd);
    close(w->done_fd);
    w->pid = 0;
    w->is_busy = false;
    return status;
}

void worker_stop(struct worker *w) {
    if (w->pid == 0) return;
    kill(w->pid, SIGKILL);
    worker_reap(w);
}

/* ---- one guarded run ---- */

struct guarded_result {
    struct run_result result;
    struct description description;
    struct witness witness;
    bool is_done;
};

static _Noreturn void run_guarded(const struct guarded_run *run, struct guarded_result *shared) {
    become_child();
    drop_output(run->is_quiet);
    struct simulator s;
    begin_simulator(&s, run->impl, run->enabled, &shared->witness);
    s.description = &shared->description;
    struct choices choices = run->choices;
    run_execute(&s, &run->config, &choices, &shared->result);
    shared->is_done = true;
    simulator_free(&s);
    _exit(0);
}

/* Waits for the child; kills it when it does not move. True if it hung. */
static bool wait_for(pid_t pid, const struct guarded_run *run, struct guarded_result *shared,
                     int *status) {
    struct watchdog watchdog;
    watchdog_start(&watchdog, pid, 0);
    for (useconds_t pause_us = 100;; pause_us = pause_us < 20000 ? pause_us * 2 : pause_us) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) return false;
        uint64_t beat = atomic_load(&shared->witness.beat);
        bool is_hung = watchdog_look(&watchdog, pid, beat, run->hang_seconds);
        if (is_hung || campaign_interrupted) {
            kill(pid, SIGKILL);
            waitpid(pid, status, 0);
            return true;
        }
        usleep(pause_us);
    }
}

void witness_report(const struct witness *witness, int status, struct finding *out) {
    out->place = witness->place;
    out->result.steps = witness->place.step;
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    out->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    memcpy(out->assertion, witness->assertion, sizeof out->assertion);
    out->assertion[sizeof out->assertion - 1] = 0;
}

bool finding_is_outside(int signal_number) {
    switch (signal_number) {
    case 0:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP: return false;
    default: return true;
    }
}

/* Runs it once. False when there is no process or no memory, or at Ctrl-C. */
static bool guard_once(const struct guarded_run *run, struct guarded_result *shared,
                       struct finding *out, bool *has_finding) {
    memset(shared, 0, sizeof *shared);
    if (run->choices.record != NULL) run->choices.record->count = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) run_guarded(run, shared);
    if (pid < 0) return false;
    int status = 0;
    bool is_hung = wait_for(pid, run, shared, &status);
    *out = (struct finding){.nodes = run->config.nodes, .result = shared->result};
    if (run->description != NULL) *run->description = shared->description;
    *has_finding = true;
    if (shared->is_done) {
        *has_finding = is_finding(&out->result, &out->kind);
    } else {
        out->kind = is_hung ? FINDING_HUNG : FINDING_ABORTED;
        witness_report(&shared->witness, is_hung ? 0 : status, out);
    }
    return !shared->witness.has_no_memory && !campaign_interrupted;
}

bool campaign_guarded(const struct guarded_run *run, struct finding *out, bool *has_finding) {
    struct guarded_result *shared = campaign_shared(sizeof *shared);
    if (shared == NULL) return false;
    bool is_good = false;
    for (uint32_t kills = 0; kills <= CAMPAIGN_KILLS_MAX; kills++) {
        is_good = guard_once(run, shared, out, has_finding);
        out->kills = kills;
        bool is_killed = *has_finding && out->kind == FINDING_ABORTED;
        if (!is_good || !is_killed || !finding_is_outside(out->signal)) break;
    }
    munmap(shared, sizeof *shared);
    return is_good;
}

bool campaign_unguarded(const struct guarded_run *run, struct finding *out, bool *has_finding) {
    struct simulator s;
    if (!simulator_new(&s, run->impl, run->enabled)) return false;
    s.description = run->description;
    struct choices choices = run->choices;
    *out = (struct finding){.nodes = run->config.nodes};
    run_execute(&s, &run->config, &choices, &out->result);
    *has_finding = is_finding(&out->result, &out->kind);
    simulator_free(&s);
    return true;
}
