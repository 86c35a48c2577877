/* nodes.h - the implementations that the command line knows by name. */
#ifndef NODES_H
#define NODES_H

#include <stddef.h>

#include "node.h"

/* A planted bug: the core with one patch of fuzz/mutants/. The table is made by the build. */
struct mutant {
    const char *id, *title;
    const char *checks; /* Which may fire first, separated by blanks. */
    const struct node_impl *impl;
    const char *build; /* build_id with a hash of the patch behind. */
};
extern const struct mutant mutant_table[];
extern const size_t mutant_count;

/* "raft", "naive" or "mutant:ID"; NULL: none of these. */
const struct node_impl *node_find(const char *name);

/* The id of the build for runs of that node: two builds with the same one give the same digests. */
const char *node_build_id(const struct node_impl *impl);

#endif
