/* client.h - the client of the cluster. Part of the cluster. */
#ifndef CLIENT_H
#define CLIENT_H

#include "cluster.h"

/* It proposes its next command to the leader as far as it knows, or to a chosen node. There is no
 * retry: without sessions it could be applied twice. */
void client_propose(struct cluster *c);
uint64_t client_delay_us(struct cluster *c); /* Until its next command. */

#endif
