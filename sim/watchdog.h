/* watchdog.h - tells a process that does not move from one that may not run.
 *
 * A process hangs when it had time of its own without a sign of life. Its own is the time in which
 * it used the processor, or slept by its own doing. The time in which it was stopped (SIGSTOP,
 * Ctrl-Z, a debugger), in which others had the processor, or in which the watching process itself
 * did not run (a suspended machine) is not. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct watchdog {
    uint64_t beat;      /* The last sign of life; each is another number. */
    double looked_at;   /* Seconds: the time of the last look, */
    double cpu;         /* and how long the process had used the processor then. */
    double own_seconds; /* The process's own time since the last sign of life. */
};

void watchdog_start(struct watchdog *w, pid_t pid, uint64_t beat);

/* True when the process had more than `limit` seconds of its own since the last sign of life. To be
 * called a few times a second. */
bool watchdog_look(struct watchdog *w, pid_t pid, uint64_t beat, uint32_t limit);

/* Seconds, from some point on. Decides only what is shown and when to give up. */
double clock_seconds(void);

#endif
