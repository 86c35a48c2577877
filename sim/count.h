/* count.h - which of the things that should happen sometimes a step of a node was. Part of the
 * cluster. */
#ifndef COUNT_H
#define COUNT_H

#include "cluster.h"

/* REQUIRES: the node has taken the step, and its effects are not carried out yet. */
void count_step(struct cluster *c, node_id id, const struct node_view *before);
/* It has appended the configuration `m` behind that one. */
void count_members(struct cluster *c, node_id id, const struct node_members *before,
                   const struct node_members *m);

#endif
