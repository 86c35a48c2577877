/* process.h - one node in the world: its lives, its steps, and what the world does for it. Part of
 * the cluster: only the files of the cluster use it. */
#ifndef PROCESS_H
#define PROCESS_H

#include <assert.h>

#include "cluster.h"

/* A life begins, from what the disk holds. */
void process_start(struct cluster *c, node_id id) __attribute__((cold));
/* The life ends. Pending writes are lost, but for the oldest ones that are chosen to be kept. The
 * node restarts after a time, unless it is gone. */
void process_crash(struct cluster *c, node_id id) __attribute__((cold));
/* The node goes for good: it crashes if it is alive, and does not restart. */
void process_stop(struct cluster *c, node_id id) __attribute__((cold));
/* The disk of a node that is down loses all that it held. */
void process_wipe(struct cluster *c, node_id id) __attribute__((cold));
/* The disk of a live node completes no sync until that time. */
void process_hang(struct cluster *c, node_id id, uint64_t until_us) __attribute__((cold));
/* The node takes a step, at the time that its own clock shows, which is set in the event; its
 * effects are carried out as far as it lives. REQUIRES: it is alive. */
void process_step(struct cluster *c, node_id id, struct node_event *event);
/* A sync ends: writes become durable, packets that waited for them leave, the node is told. */
void process_synced(struct cluster *c, node_id id);

/* A new fact of the change under way; the caller fills what its type says. */
static inline struct fact *change_add(struct cluster *c, enum fact_type type, node_id id) {
    assert(c->change.fact_count < CHANGE_FACTS_MAX);
    struct fact *fact = &c->change.facts[c->change.fact_count++];
    fact->type = type;
    fact->node = id;
    return fact;
}

/* A request reaches the process: in the calm phase, nobody asks beyond whom it reaches. */
static inline bool process_listens(const struct cluster *c, node_id id) {
    const struct process *p = &c->processes[id];
    return (c->reach >> id & 1) && p->is_alive && p->resume_us <= c->clock_us;
}

/* An event of that node after a delay. */
void process_schedule(struct cluster *c, node_id id, enum event_type type, uint64_t delay_us);
/* The same for an event that may be pending already: it is moved. */
void process_reschedule(struct cluster *c, node_id id, enum event_type type, uint64_t delay_us);

#endif
