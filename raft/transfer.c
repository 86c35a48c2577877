/* transfer.c - leadership transfer (D 3.10).
 *
 *     proposals refused --> target catches up --> TimeoutNow --> it campaigns, others vote for it
 *                       \-- an election timeout goes by: the leader leads on */
#include "members.h"
#include "quorum.h"
#include "state.h"

void raft_transfer_begin(struct raft *r, raft_id target, struct raft_effects *out) {
    bool is_voter = target != 0 && target <= RAFT_NODES_MAX && (r->members.voters >> target & 1);
    out->leader = r->leader;
    if (r->role != RAFT_LEADER) out->refusal = RAFT_NOT_LEADER;
    else if (!is_voter || target == r->config.self) out->refusal = RAFT_NOT_VALID;
    else if (r->transfer != 0) out->refusal = RAFT_BUSY;
    if (out->refusal != RAFT_ACCEPTED) return;
    r->transfer = target;
    r->transfer_ticks = 0;
    r->is_transfer_sent = false;
    r->due |= raft_set_of(target);
}

/* "If leadership transfer does not complete after about an election timeout, the prior leader
 * aborts the transfer and resumes accepting client requests" (D 3.10). */
void raft_transfer_tick(struct raft *r) {
    if (r->transfer == 0) return;
    r->is_transfer_sent = false;
    if (++r->transfer_ticks >= r->config.patience) r->transfer = 0;
}

/* `match`, not `next`: what is under way may never arrive. From now on the target may be elected at
 * any time in this term, as late as the message may be: leases, which rely on the loyalty of the
 * others, are over for this term. */
void raft_transfer_lead(struct raft *r, struct raft_effects *out) {
    if (r->transfer == 0 || r->is_transfer_sent) return;
    if (r->peers[r->transfer].match != r->last) return;
    r->is_transfer_sent = true;
    r->is_lease_lost = true;
    raft_send(r, RAFT_TIMEOUT_NOW, r->transfer, 0, out);
}

void raft_receive_timeout_now(struct raft *r, const struct raft_message *m,
                              struct raft_effects *out) {
    if (m->term != r->term || r->role == RAFT_LEADER || r->role == RAFT_CANDIDATE) return;
    if (raft_election_may_start(r)) raft_election_start(r, true, out);
}
