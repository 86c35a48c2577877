/* quorum.h - majorities: the arithmetic of elections and commitment. Pure functions. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include "raft.h"

static inline raft_set raft_set_of(raft_id id) { return (raft_set)1 << id; }
static inline raft_set raft_members_all(const struct raft_members *m) {
    return m->voters | m->outgoing | m->learners;
}
/* Its vote counts. */
static inline bool raft_members_has_voter(const struct raft_members *m, raft_id id) {
    return (m->voters | m->outgoing) >> id & 1;
}

/* "Joint consensus: agreement requires separate majorities from both the old and the new
 * configuration" (6). No voters, no quorum. Who is in the set without a vote does not count. */
bool raft_quorum(const struct raft_members *m, raft_set set);
/* The highest index that a quorum has reached. `match` is by id, of voters. 0: there is none. */
raft_index raft_quorum_index(const struct raft_members *m, const raft_index *match);

#endif
