/* describe.h - the state of a cluster in words: one line for each node, and what a calm phase still
 * waits for. Nothing here decides anything. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "cluster.h"

/* Both are lines, each with its end. What does not fit is cut off, and the last line says so. */
struct description {
    char state[16384];    /* One for each node. */
    char waits_for[4096]; /* One for each thing that keeps the calm phase from its goal. */
};

/* All of it, as it is now. */
void describe_cluster(const struct cluster *c, struct description *out);

/* Whether it is in the core, what it does, and what it holds: in memory, or if it is down, on its
 * disk. One line without its end. */
void describe_node(const struct cluster *c, node_id id, char *text, size_t size);
/* A line for each thing that keeps the calm phase from its goal, each with its end. At least one
 * until the goal is reached. */
void describe_goal(const struct cluster *c, char *text, size_t size);

#endif
