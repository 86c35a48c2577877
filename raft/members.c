/* members.c - changes of the configuration (6, D 4).
 *
 *     C_old --(one voter differs)--------------> C_new
 *     C_old --> C_old,new --(committed)--------> C_new        by the leader, without being asked
 *
 * "A server always uses the latest configuration in its log, regardless of whether the entry is
 * committed" (6): it is in force when it is appended, and no more when it is cut off again. */
#include "members.h"

#include <assert.h>

#include "progress.h"
#include "quorum.h"
#include "state.h"

bool raft_members_are_valid(const struct raft_members *m) {
    if (m->voters == 0 || (raft_members_all(m) & 1)) return false;
    return (m->voters & m->learners) == 0;
}

bool raft_members_next(const struct raft_members *now, raft_set voters, raft_set learners,
                       bool is_joint, struct raft_members *next) {
    assert(now->outgoing == 0);
    if (voters == now->voters && learners == now->learners) return false;
    bool is_small = __builtin_popcountll(voters ^ now->voters) <= 1;
    *next = (struct raft_members){.voters = voters, .learners = learners};
    if (is_joint || !is_small) next->outgoing = now->voters;
    return raft_members_are_valid(next);
}

struct raft_members raft_members_leave(const struct raft_members *joint) {
    assert(joint->outgoing != 0);
    return (struct raft_members){.voters = joint->voters, .learners = joint->learners};
}

raft_index raft_members_at(const struct raft *r, raft_index index, struct raft_members *out) {
    for (raft_index i = index; i > r->snapshot.index; i--) {
        const struct raft_entry *entry = raft_entry_at(r, i);
        if (entry->type != RAFT_MEMBERS) continue;
        *out = entry->members;
        return i;
    }
    *out = r->snapshot.members;
    return r->snapshot.index;
}

/* A leader begins to send to new peers. */
void raft_members_adopt(struct raft *r, const struct raft_members *members, raft_index index) {
    raft_set added = raft_members_all(members) & ~raft_members_all(&r->members);
    r->members = *members;
    r->members_index = index;
    if (r->role != RAFT_LEADER) return;
    for (raft_set rest = added; rest != 0; rest &= rest - 1)
        raft_progress_reset(&r->peers[__builtin_ctzll(rest)], r->last + 1);
    r->due |= added;
    r->is_news = true; /* With fewer voters, a quorum may be there already. */
}

void raft_members_restore(struct raft *r, raft_index last) {
    assert(r->role != RAFT_LEADER);
    r->members_index = raft_members_at(r, last, &r->members);
}

/* "One at a time", and "a leader must not append a new configuration entry until it has committed
 * an entry from its current term" (D 4.1, and Ongaro's correction of 2015): else two leaders may
 * each replace the other's uncommitted change, with quorums that do not meet. */
static enum raft_refusal change_refusal(const struct raft *r) {
    if (r->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (r->transfer != 0) return RAFT_TRANSFERRING; /* Its target cannot leave meanwhile. */
    if (!raft_log_is_ready(r)) return RAFT_NOT_READY;
    if (r->members_index > r->commit || r->members.outgoing != 0) return RAFT_BUSY;
    return raft_log_is_tail_full(r) ? RAFT_LOG_FULL : RAFT_ACCEPTED;
}

void raft_members_change(struct raft *r, const struct raft_event *event, struct raft_effects *out) {
    out->leader = r->leader;
    out->refusal = change_refusal(r);
    if (out->refusal != RAFT_ACCEPTED) return;
    struct raft_entry entry = {.term = r->term, .type = RAFT_MEMBERS};
    if (raft_members_next(&r->members, event->u.change.voters, event->u.change.learners,
                          event->u.change.is_joint, &entry.members))
        raft_log_put(r, &entry, r->last + 1, out);
    else out->refusal = RAFT_NOT_VALID;
}

/* Also by a leader that did not begin it: "once C_old,new has been committed, ... it is now safe
 * for the leader to create a log entry describing C_new" (6). */
bool raft_members_is_leave_due(const struct raft *r) {
    return r->members.outgoing != 0 && r->members_index <= r->commit && raft_log_is_ready(r) &&
           !raft_log_full(r);
}

/* "The leader steps down (returns to follower state) once it has committed the C_new log entry"
 * (6): until then it leads, and does not count itself. Who was elected without a vote leads until
 * others can. */
bool raft_members_is_removed(const struct raft *r) {
    return r->members_index <= r->commit && raft_log_is_ready(r) &&
           !raft_members_has_voter(&r->members, r->config.self);
}
