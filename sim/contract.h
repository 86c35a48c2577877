/* contract.h - what node.h demands of the answers of a node, checked before the world relies on any
 * of them. A breach ends the run as a finding of the check `contract`. Part of the cluster: only
 * its files use it. */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "cluster.h"

/* The effects and the view of the step that the node has just taken on that event, which follow the
 * view `before`. False: a rule is broken, and `out` says which. */
bool contract_step(const struct cluster *c, node_id id, const struct node_event *event,
                   struct contract_breach *out);
/* The effects and the view of a start. */
bool contract_start(const struct cluster *c, node_id id, struct contract_breach *out);
/* What the node says that a packet promises. */
bool contract_promise(const struct cluster *c, const struct promise *p,
                      struct contract_breach *out);

#endif
