/* command_bench.c - raftsim bench: what a checked step costs, measured against a plain heap. */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_heap.h"
#include "commands.h"
#include "worker.h"

enum { STEPS_LONG = 20000, STEPS_SHORT = 500 };

struct measure {
    uint32_t nodes, pending_mean_x100, rounds;
    double queue_ns, step_ns, step_per_queue; /* Best of all rounds. */
    double reset_steps, runs_per_second;
    double commits_per_1000, instructions; /* A step; 0: there is no counter. */
    size_t bytes;
};

static double smaller(double a, double b) { return a < b ? a : b; }

/* ---- the yardstick ---- */

/* Nanoseconds of one pop and push at that many pending events. */
static double measure_heap(uint32_t pending) {
    enum { ROUNDS = 200000, SPREAD = 10000 };
    static struct heap heap;
    uint64_t sum = 0; /* What is popped must count for something. */
    uint64_t random = 1, sequence = 0;
    heap.count = 0;
    for (uint32_t i = 0; i < pending; i++)
        heap_push(&heap, (struct heap_item){random_next(&random) % SPREAD, sequence++, i});
    double start = clock_seconds();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct heap_item top = heap_pop(&heap);
        sum += top.payload;
        top.due += random_next(&random) % SPREAD;
        top.sequence = sequence++;
        heap_push(&heap, top);
    }
    static volatile uint64_t sink;
    sink = sum + sink;
    return (clock_seconds() - start) * 1e9 / (double)ROUNDS;
}

/* ---- the engine ---- */

static void draw(uint32_t nodes, uint32_t steps, uint64_t seed, struct cluster_config *config,
                 struct choices *choices) {
    struct profile_request request = {.profile = PROFILE_SWARM,
                                      .nodes_min = nodes,
                                      .nodes_max = nodes,
                                      .steps = steps,
                                      .log_max = node_raft.log_max};
    struct choice_odds odds;
    profile_draw(&request, seed, config, &odds);
    choices_random(choices, seed, &odds, NULL);
}

static void run_seed(struct simulator *s, uint32_t nodes, uint32_t steps, uint64_t seed,
                     struct run_result *result) {
    struct cluster_config config;
    struct choices choices;
    draw(nodes, steps, seed, &config, &choices);
    run_execute(s, &config, &choices, result);
}

/* Nanoseconds a step, over the same seeds in each round. */
static double measure_steps(struct simulator *s, struct measure *m, uint64_t seeds) {
    struct run_result result;
    uint64_t steps = 0, commits = 0;
    double start = clock_seconds();
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(s, m->nodes, STEPS_LONG, seed, &result);
        steps += result.steps;
        commits += result.counts[SOMETIMES_COMMIT];
    }
    m->commits_per_1000 = (double)commits * 1000 / (double)steps;
    return (clock_seconds() - start) * 1e9 / (double)steps;
}

static void measure_pending(struct simulator *s, struct measure *m, uint64_t seeds) {
    struct cluster_config config;
    struct choices choices;
    uint64_t sum = 0, events = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        draw(m->nodes, STEPS_LONG, seed, &config, &choices);
        cluster_reset(s->cluster, &config, &choices);
        for (; s->cluster->steps < STEPS_LONG; events++) {
            sum += s->cluster->queue.count;
            cluster_step(s->cluster);
        }
    }
    m->pending_mean_x100 = (uint32_t)(sum * 100 / events);
}

/* What a reset costs after a short run, in steps. */
static void measure_short(struct simulator *s, struct measure *m, uint64_t seeds) {
    struct run_result result;
    double reset = 0, start = clock_seconds();
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(s, m->nodes, STEPS_SHORT, seed, &result);
        struct cluster_config config;
        struct choices choices;
        draw(m->nodes, STEPS_SHORT, seed, &config, &choices);
        double before = clock_seconds();
        checks_reset(s->checks, CHECK_ALL, &config);
        checks_observe(s->checks, s->cluster, cluster_reset(s->cluster, &config, &choices));
        reset += clock_seconds() - before;
    }
    m->runs_per_second = (double)seeds / (clock_seconds() - start - reset);
    m->reset_steps = reset * 1e9 / (double)seeds / m->step_ns;
}

/* Instructions of this process, from the processor's own counter; -1: there is none. */
static int open_counter(void) {
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof attr,
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .disabled = 1,
                                   .exclude_kernel = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static void measure_instructions(struct simulator *s, struct measure *m) {
    int fd = open_counter();
    if (fd < 0) return;
    struct run_result result;
    uint64_t count = 0;
    ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
    run_seed(s, m->nodes, STEPS_LONG, 1, &result);
    ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
    if (read(fd, &count, sizeof count) == sizeof count)
        m->instructions = (double)count / (double)result.steps;
    close(fd);
}

/* Engine and yardstick take turns, and of each the best round counts: a busy machine only adds. */
static void measure(struct simulator *s, struct measure *m, uint32_t nodes, bool quick) {
    uint64_t seeds = quick ? 4 : 24;
    *m = (struct measure){.nodes = nodes, .rounds = quick ? 3 : 20};
    measure_pending(s, m, seeds);
    m->queue_ns = m->step_ns = 1e9;
    for (uint32_t i = 0; i < m->rounds; i++) {
        m->queue_ns = smaller(m->queue_ns, measure_heap((m->pending_mean_x100 + 50) / 100));
        m->step_ns = smaller(m->step_ns, measure_steps(s, m, seeds));
    }
    m->step_per_queue = m->step_ns / m->queue_ns;
    measure_short(s, m, quick ? 200 : 2000);
    measure_instructions(s, m);
    m->bytes = sizeof(struct cluster) + s->cluster->stride * (NODE_MAX + 1);
}

static void show_text(const struct measure *m) {
    printf("%5u %10.2f %10.1f %10.1f %8.2f %10.1f %8.1f %10.0f", m->nodes,
           m->pending_mean_x100 / 100.0, m->queue_ns, m->step_ns, m->step_per_queue,
           m->commits_per_1000, m->reset_steps, m->runs_per_second);
    if (m->instructions > 0) printf(" %12.0f\n", m->instructions);
    else printf(" %12s\n", "no counter");
}

static void show_json(const struct measure *m) {
    printf("{\"nodes\":%u,\"pending_mean\":%.2f,\"queue_ns\":%.2f,\"step_ns\":%.2f,"
           "\"step_per_queue\":%.3f,\"commits_per_1000_steps\":%.2f,\"reset_steps\":%.2f,"
           "\"runs_per_second\":%.0f,\"bytes_per_cluster\":%zu",
           m->nodes, m->pending_mean_x100 / 100.0, m->queue_ns, m->step_ns, m->step_per_queue,
           m->commits_per_1000, m->reset_steps, m->runs_per_second, m->bytes);
    if (m->instructions > 0) printf(",\"instructions_per_step\":%.0f}\n", m->instructions);
    else printf(",\"instructions_per_step\":null}\n");
}

/* Nanoseconds to copy a node, as an exhaustive search does. */
static double measure_copy(void) {
    enum { ROUNDS = 20000, NODES = 16 };
    size_t size = node_raft.size;
    unsigned char *nodes = calloc(NODES, size);
    if (nodes == NULL) return 0;
    double start = clock_seconds();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memcpy(nodes + size * (i % NODES), nodes + size * ((i + 1) % NODES), size);
        __asm__ volatile("" : : "r"(nodes) : "memory"); /* Each copy counts. */
    }
    double ns = (clock_seconds() - start) * 1e9 / (double)ROUNDS;
    free(nodes);
    return ns;
}

static void show_memory(const struct measure *m, enum output_format format) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double copy_ns = measure_copy();
    if (format == OUTPUT_TEXT)
        printf(
            "\nbytes per node: %zu, copied in %.0f ns; per cluster: %zu, checks: %zu; resident at "
            "most: %.1f MiB\n",
            node_raft.size, copy_ns, m->bytes, checks_size(), (double)usage.ru_maxrss / 1024);
    else
        printf("{\"bytes_per_node\":%zu,\"copy_ns\":%.1f,\"bytes_per_cluster\":%zu,"
               "\"bytes_checks\":%zu,\"resident_kib\":%ld}\n",
               node_raft.size, copy_ns, m->bytes, checks_size(), usage.ru_maxrss);
}

enum exit_code command_bench(const struct options *o) {
    static const uint32_t sizes[] = {5, 3, 7, 15, 31};
    struct measure m = {0};
    struct simulator s;
    if (!simulator_new(&s, &node_raft, CHECK_ALL)) {
        fprintf(stderr, "raftsim: no memory\n");
        return EXIT_INTERNAL;
    }
    if (o->format == OUTPUT_TEXT)
        printf("%5s %10s %10s %10s %8s %10s %8s %10s %12s\n", "nodes", "pending", "queue ns",
               "step ns", "ratio", "commits/k", "reset", "runs/s", "instructions");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        measure(&s, &m, sizes[i], o->quick);
        if (o->format == OUTPUT_TEXT) show_text(&m);
        else show_json(&m);
        fflush(stdout);
    }
    simulator_free(&s);
    show_memory(&m, o->format);
    return EXIT_HELD;
}
