/* artefact.h - a run as a file: build, configuration, list of choices, and what came of it.
 *
 *     raftsim-run 1                         text, compressed with gzip; plain text is read as well
 *     build 1f0c9a7be2d4-log256
 *     node mutant:C01
 *     check all
 *     origin seed 42 swarm
 *     nodes 5                               each field of the configuration (config.h)
 *     ...
 *     outcome violation commit-quorum
 *     text n1 leads term 3 ...
 *     at-step 1873
 *     digest 0123456789abcdef
 *     choices 4711
 *     latency 258 9001 4321                 label, subject, bound, value
 *     ...
 *     end
 *
 * An input of the fuzzer is an artefact too: one line, then bytes, which answer the choices.
 *
 *     raftsim-bytes 1 raft
 *     ... */
#ifndef ARTEFACT_H
#define ARTEFACT_H

#include "choice.h"
#include "config.h"
#include "run.h"

enum { ARTEFACT_VERSION = 1 };

struct artefact {
    char build[64];
    char node[64];    /* Name of the implementation. */
    char origin[64];  /* Where the choices came from: "seed 42 swarm". */
    uint32_t enabled; /* Checks. */
    struct cluster_config config;
    char outcome[64]; /* "held", "violation NAME", "stalled progress", "aborted SIGABRT", ... */
    char text[256];   /* One sentence. */
    uint64_t at_step, digest;
    bool is_bytes; /* Instead of choices: bytes. Then build, outcome and digest are not known. */
    struct choice_list choices; /* Owned after artefact_load. */
    uint8_t *bytes;             /* Owned after artefact_load. */
    size_t size;
};

struct artefact_error {
    char text[320]; /* "FILE:LINE:COLUMN: what is wrong; what was expected" */
};

/* What stood at the path is replaced when all of the new file is durable, and not before. */
bool artefact_save(const char *path, const struct artefact *a, struct artefact_error *error);
/* The path "DIRECTORY/STEM.run", or with "-2", "-3", ... behind the stem: the first at which
 * nothing stands, or an artefact of the same node, seed, checks and configuration, which a new one
 * may replace. */
bool artefact_path(const char *directory, const char *stem, const struct artefact *a, char *path,
                   size_t size, struct artefact_error *error);
/* Loses nothing, half-loads nothing: on an error, nothing is to be freed. */
bool artefact_load(const char *path, struct artefact *a, struct artefact_error *error);
void artefact_free(struct artefact *a);

/* The configuration that an input of the fuzzer means: each of its first bytes chooses a field, and
 * the run is as long as there are bytes. `log_max` is that of the node. Returns how many bytes at
 * the front it took. */
size_t artefact_bytes_config(const uint8_t *bytes, size_t size, uint32_t log_max,
                             struct cluster_config *config);
/* The length of the line "raftsim-bytes 1 NODE\n" at the front, and the name; 0: there is none. */
size_t artefact_bytes_head(const uint8_t *bytes, size_t size, char *node, size_t node_size);

#endif
