/* members.h - changes of the configuration (6, D 4). The first part is pure. */
#ifndef RAFT_MEMBERS_H
#define RAFT_MEMBERS_H

#include "raft.h"

/* Somebody votes, and nobody has two parts. */
bool raft_members_are_valid(const struct raft_members *m);
/* The configuration to append on the way from `now` to these voters and learners: at once where one
 * voter differs at most (D 4.1), else a joint one (D 4.3). False: it is not valid, or there is
 * nothing to change. REQUIRES: `now` is not joint. */
bool raft_members_next(const struct raft_members *now, raft_set voters, raft_set learners,
                       bool is_joint, struct raft_members *next);
/* What follows a joint configuration. */
struct raft_members raft_members_leave(const struct raft_members *joint);

/* ---- The configuration of a node: a function of its log. ---- */

/* The last one up to `index`, and where it is. */
raft_index raft_members_at(const struct raft *r, raft_index index, struct raft_members *out);
/* A log with that configuration at its end, at `index`, is what the node has now. */
void raft_members_adopt(struct raft *r, const struct raft_members *members, raft_index index);
/* The log was cut after `last`: what was in force there is so again. */
void raft_members_restore(struct raft *r, raft_index last);

void raft_members_change(struct raft *r, const struct raft_event *event, struct raft_effects *out);
/* Leader: a committed joint configuration is to be left. */
bool raft_members_is_leave_due(const struct raft *r);
/* Leader: the configuration without it is committed, and so is an entry of its term. */
bool raft_members_is_removed(const struct raft *r);

#endif
