/* watchdog.c - the time that a process had for itself, from its clock and its state. */
#include "watchdog.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A longer gap between two looks means that the watching process was not running, either. */
static const double gap_seconds_max = 0.5;

static double seconds_of(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) return 0;
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double clock_seconds(void) { return seconds_of(CLOCK_MONOTONIC); }

static double cpu_seconds(pid_t pid) {
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? seconds_of(clock) : 0;
}

/* The state as ps shows it: R runs or could, S sleeps, T is stopped. Without /proc: S. */
static char state_of(pid_t pid) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 'S';
    size_t count = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[count] = 0;
    const char *name_end = strrchr(line, ')'); /* The name of the program may hold anything. */
    if (name_end == NULL || name_end[1] != ' ') return 'S';
    return name_end[2];
}

void watchdog_start(struct watchdog *w, pid_t pid, uint64_t beat) {
    *w = (struct watchdog){.beat = beat, .looked_at = clock_seconds(), .cpu = cpu_seconds(pid)};
}

bool watchdog_look(struct watchdog *w, pid_t pid, uint64_t beat, uint32_t limit) {
    if (beat != w->beat) {
        watchdog_start(w, pid, beat);
        return false;
    }
    double now = clock_seconds(), cpu = cpu_seconds(pid);
    double gap = now - w->looked_at, used = cpu - w->cpu;
    if (gap > gap_seconds_max) gap = gap_seconds_max;
    w->own_seconds += state_of(pid) == 'S' && gap > used ? gap : used;
    w->looked_at = now;
    w->cpu = cpu;
    return w->own_seconds > limit;
}
