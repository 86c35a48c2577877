/* survey.h - the configurations that still matter to a cluster: the last one that any node knows to
 * be committed, and all that follow it in any log, in memory or on disk. An earlier one counts no
 * more: a log that ends with it wins no election. */
#ifndef SURVEY_H
#define SURVEY_H

#include "cluster.h"

struct survey {
    node_set set;       /* The nodes that were asked about. */
    bool is_quorum;     /* They hold a quorum of each of these configurations ... */
    bool is_any_quorum; /* ... or of one of them at least, or of one that a joint one leads to. */
    node_set named;     /* All nodes of all of them. */
};

struct survey survey_cluster(const struct cluster *c, node_set set);

#endif
