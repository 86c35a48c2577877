/* fault.h - crashes, pauses, partitions and hung disks of the fault phase. Part of the cluster. */
#ifndef FAULT_H
#define FAULT_H

#include "cluster.h"

/* An occasion: each kind of fault is chosen or not. */
void fault_occasion(struct cluster *c) __attribute__((cold));

/* These happen to a chosen node, now; a node that is down does not crash or pause. */
void fault_crash(struct cluster *c, node_id id);
void fault_pause(struct cluster *c, node_id id);
void fault_isolate(struct cluster *c, node_id id);

#endif
