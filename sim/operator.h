/* operator.h - who changes the configuration and moves the leader. Part of the cluster. */
#ifndef OPERATOR_H
#define OPERATOR_H

#include "cluster.h"

/* An occasion of the fault phase: a transfer or a change is chosen, or nothing. */
void operator_occasion(struct cluster *c);

#endif
