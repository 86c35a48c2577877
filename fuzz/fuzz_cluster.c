/* fuzz_cluster.c - libFuzzer over whole cluster runs: the bytes are the choices.
 *
 * An input is an artefact as it stands (sim/artefact.h): a line that names the node, then bytes. So
 * a crash file replays with `raftsim replay FILE`. RAFTSIM_NODE chooses the node, as for `raftsim
 * run --node`. Without libFuzzer, run_files.c runs the same function over files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artefact.h"
#include "fuzz.h"
#include "nodes.h"

/* A set bit for each abstract state that a run went through: coverage that libFuzzer cannot see. */
enum { STATES_MAX = 1 << 14 };
__attribute__((used,
               section("__libfuzzer_extra_counters"))) static volatile uint8_t states[STATES_MAX];

static struct simulator simulator;
static char head[64];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *name = getenv("RAFTSIM_NODE") != NULL ? getenv("RAFTSIM_NODE") : "raft";
    const struct node_impl *impl = node_find(name);
    if (impl == NULL || !simulator_new(&simulator, impl, CHECK_ALL)) {
        fprintf(stderr, "fuzz_cluster: no node '%s', or no memory\n", name);
        exit(2);
    }
    snprintf(head, sizeof head, "raftsim-bytes %d %s\n", ARTEFACT_VERSION, name);
    return 0;
}

/* Mutates what follows the line; an input without one gets it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed) {
    (void)seed;
    size_t length = strlen(head);
    if (size_max <= length) return 0;
    if (size < length || memcmp(data, head, length) != 0) {
        memcpy(data, head, length);
        size = length;
    }
    return length + LLVMFuzzerMutate(data + length, size - length, size_max - length);
}

static void note_states(const struct cluster *c) {
    for (node_id id = 1; id <= cluster_count(c); id++) {
        const struct node_view *v = cluster_view(c, id);
        uint64_t state = v->role + 4 * (v->term % 8) + 32 * (v->last % 8) + 256 * (v->commit % 8);
        states[(state * 2 + c->processes[id].is_alive) * 5 % STATES_MAX + id % 5] = 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t length = strlen(head);
    if (size < length || memcmp(data, head, length) != 0) return 0;
    struct cluster_config config;
    uint32_t log_max = simulator.cluster->impl->log_max;
    length += artefact_bytes_config(data + length, size - length, log_max, &config);
    struct choices choices;
    choices_bytes(&choices, data + length, size - length);
    static struct run_result result;
    run_execute(&simulator, &config, &choices, &result);
    note_states(simulator.cluster);
    if (result.outcome != RUN_VIOLATED && result.outcome != RUN_STALLED) return 0;
    fprintf(stderr, "%s: %s\n", check_table[result.violation.check].name, result.violation.text);
    abort();
}
