/* worker.h - a process that runs seeds for a campaign, and may die doing it. Part of the campaign.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "campaign.h"
#include "watchdog.h"

enum { CHUNK_SEEDS_MAX = 64 };

/* Some consecutive seeds of the campaign, and what came of them. */
struct chunk {
    uint64_t number;      /* Of the chunk, from 0. */
    uint64_t begin;       /* The first seed. */
    uint64_t first, last; /* Seeds that are still to be run, both included. */
    uint32_t kills;       /* So often its worker was killed from outside. */
    bool is_done;
    struct tally tally;
    uint32_t finding_count;
    struct finding findings[CHUNK_SEEDS_MAX];
};

/* What a process that runs nodes leaves in shared memory, for when it is gone. */
struct witness {
    _Atomic uint64_t beat; /* Grows while it runs. */
    bool has_no_memory;    /* It could not even begin. */
    struct cluster_place place;
    char assertion[ASSERTION_TEXT_MAX];
};

/* Shared with the parent. */
struct worker_slot {
    struct witness witness;
    uint64_t seed; /* The one under way. */
    struct chunk chunk;
};

struct worker {
    pid_t pid;      /* 0: none. */
    int command_fd; /* A byte: run the chunk in the slot. */
    int done_fd;    /* A byte: the chunk is done. End of file: the process is gone. */
    bool is_busy;
    struct worker_slot *slot;
    struct watchdog watchdog;
};

/* False when there is no process or no memory. */
bool worker_start(struct worker *w, const struct campaign *campaign);
void worker_stop(struct worker *w); /* Kills it, whatever it does. */
/* Has it run the seeds of the slot's chunk, from chunk.first on. */
void worker_command(struct worker *w);
/* The process is gone: how it ended. */
int worker_reap(struct worker *w);
/* Notes what is known of the end of a process: its status, and what it left. */
void witness_report(const struct witness *witness, int status, struct finding *out);

#endif
