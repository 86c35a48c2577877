/* calm.h - what the calm phase adds to the events. Part of the cluster. */
#ifndef CALM_H
#define CALM_H

#include "cluster.h"

/* After a step in which a leader has committed more: as an operator does, shuts down what is no
 * longer in any configuration that matters. A removed node that knows no better would campaign for
 * ever. */
void calm_retire(struct cluster *c);

#endif
