/* dice.h - random numbers, and random events for a node: what its peers and its world may say, and
 * what nobody should. */
#ifndef RAFT_TESTS_DICE_H
#define RAFT_TESTS_DICE_H

#include "raft.h"

uint64_t roll(uint64_t *dice, uint64_t bound); /* Below it. */
struct raft_config roll_config(uint64_t *dice);
struct raft_members roll_members(uint64_t *dice); /* Valid ones, of nodes 1 to 6. */
/* Any message and any request. Only the writes reported must have been asked for. */
struct raft_event roll_event(uint64_t *dice, const struct raft *r, struct raft_message *m);

#endif
