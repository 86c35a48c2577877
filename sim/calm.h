/* calm.h - the phase after the faults: who must converge, who leaves. Part of the cluster. */
#ifndef CALM_H
#define CALM_H

#include "cluster.h"

/* After a step in which a leader has committed more: as an operator does, shuts down what is no
 * longer in any configuration that matters. A removed node that knows no better would campaign for
 * ever. */
void calm_retire(struct cluster *c);
/* The core has settled: shuts down what is not in the configuration of its leader. */
void calm_retire_others(struct cluster *c);
/* Somebody must propose: the leader's last entry is of an earlier term, so that nothing can be
 * committed before there is another (5.4.2); or it is the node whose disk hangs, which only a write
 * can tell it. */
bool calm_needs_proposal(const struct cluster *c);

#endif
