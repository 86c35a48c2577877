/* moment.h - faults at the moments that hurt. Part of the cluster.
 *
 * Most faults hit a node that waits for nothing. Many bugs need one within a few events of a rare
 * moment, such as the one in which a new leader takes office and the old one does not know it yet.
 */
#ifndef MOMENT_H
#define MOMENT_H

#include "cluster.h"

/* After a step of the fault phase that came from an event of that type: if it was such a moment, a
 * fault may be chosen for it. */
void moment_attend(struct cluster *c, enum event_type type);

#endif
