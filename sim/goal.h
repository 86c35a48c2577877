/* goal.h - what the calm phase must reach. Part of the cluster: it follows the stages of struct
 * goal; the checks judge whether they come in time.
 *
 *     settle --> stay (chosen) --> hand over (chosen) --> settle again --> reached */
#ifndef GOAL_H
#define GOAL_H

#include "cluster.h"

/* Begins the calm phase's goals; some are chosen. REQUIRES: choices are still taken. */
void goal_begin(struct cluster *c);
/* An occasion of the operator: once the core has settled, shuts down what was removed; later asks
 * the leader to hand over, when the target has all entries. */
void goal_occasion(struct cluster *c);

#endif
