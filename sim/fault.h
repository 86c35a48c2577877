/* fault.h - crashes, pauses and partitions of the fault phase. Part of the cluster. */
#ifndef FAULT_H
#define FAULT_H

#include "cluster.h"

/* An occasion: each kind of fault is chosen or not. */
void fault_occasion(struct cluster *c) __attribute__((cold));

#endif
