/* again.h - what a person needs to find a run again: the command, and the name of its artefact. */
#ifndef AGAIN_H
#define AGAIN_H

#include "campaign.h"
#include "text.h"

/* The command that runs this seed again: as `program` was typed, quoted for a shell, with every
 * option that has a part in the result. */
void again_command(const struct campaign *campaign, const char *program, uint64_t seed,
                   struct text *out);

/* "C01-seed-3-commit-quorum": the node, the profile where it is not the usual one, the seed, and
 * the check or what else came of it. */
void again_stem(const struct campaign *campaign, const struct finding *finding, struct text *out);

#endif
