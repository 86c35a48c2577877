/* nodes.c - finds implementations by name. */
#include "nodes.h"

#include <string.h>

#include "build_id.h"

const struct node_impl *node_find(const char *name) {
    if (strcmp(name, node_raft.name) == 0) return &node_raft;
    if (strcmp(name, node_naive.name) == 0) return &node_naive;
    for (size_t i = 0; i < mutant_count; i++)
        if (strcmp(name, mutant_table[i].impl->name) == 0) return mutant_table[i].impl;
    return NULL;
}

const char *node_build_id(const struct node_impl *impl) {
    for (size_t i = 0; i < mutant_count; i++)
        if (mutant_table[i].impl == impl) return mutant_table[i].build;
    return build_id;
}
