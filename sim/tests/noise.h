/* noise.h - the core behind a wrapper that leaves noise wherever node.h leaves a value undefined,
 * and asserts each REQUIRES of node.h. */
#ifndef NOISE_H
#define NOISE_H

#include "node.h"

extern const struct node_impl node_noisy;

/* The noise from here on: another seed, other bytes. */
void noise_seed(uint64_t seed);

#endif
