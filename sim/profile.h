/* profile.h - what kind of weather a seed gives: the configuration of its run and the odds of its
 * faults. Drawn with integers only, so that a seed is the same everywhere. */
#ifndef PROFILE_H
#define PROFILE_H

#include "choice.h"
#include "config.h"

enum profile {
    PROFILE_CALM,
    PROFILE_LOSSY,
    PROFILE_SPLIT,
    PROFILE_CRASHY,
    PROFILE_SWARM,
    PROFILE_COUNT
};

struct profile_info {
    const char *name, *help;
};
extern const struct profile_info profile_table[PROFILE_COUNT];

bool profile_find(const char *name, enum profile *out);

struct profile_request {
    enum profile profile;
    uint32_t nodes_min, nodes_max; /* 1..63 */
    uint32_t steps;
    uint32_t log_max; /* Of the node implementation; at least 8. */
};

/* REQUIRES: nodes_min <= nodes_max. The result is valid (config.h). */
void profile_draw(const struct profile_request *request, uint64_t seed,
                  struct cluster_config *config, struct choice_odds *odds);

#endif
