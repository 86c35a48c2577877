/* count.c - counts what should happen sometimes, as node.h shows it. */
#include "count.h"

static void count(struct cluster *c, enum sometimes event) { c->counts[event]++; }

/* ---- configurations ---- */

void count_members(struct cluster *c, node_id id, const struct node_members *before,
                   const struct node_members *m) {
    if (m->learners != 0) count(c, SOMETIMES_LEARNER);
    if (cluster_view(c, id)->role != NODE_LEADER) return;
    count(c, SOMETIMES_CHANGE);
    if (m->outgoing != 0) count(c, SOMETIMES_CHANGE_JOINT);
    else if (before->outgoing != 0) count(c, SOMETIMES_JOINT_LEFT);
    if (!((m->voters | m->outgoing) >> id & 1)) count(c, SOMETIMES_LEADER_REMOVED);
}

/* ---- steps ---- */

static bool other_leads(const struct cluster *c, node_id id) {
    for (node_id i = 1; i <= cluster_count(c); i++) {
        const struct process *p = &c->processes[i];
        if (i != id && p->is_alive && cluster_view(c, i)->role == NODE_LEADER) return true;
    }
    return false;
}

/* It has no vote in the configuration that it acts on. */
static bool is_outsider(struct cluster *c, node_id id) {
    struct node_members m;
    c->impl->members(cluster_node(c, id), &m);
    return !((m.voters | m.outgoing) >> id & 1);
}

static void count_role(struct cluster *c, node_id id, enum node_role role) {
    switch (role) {
    case NODE_FOLLOWER: return;
    case NODE_PRECANDIDATE: count(c, SOMETIMES_PREVOTE); break;
    case NODE_CANDIDATE: break;
    case NODE_LEADER:
        count(c, SOMETIMES_ELECTION);
        if (other_leads(c, id)) count(c, SOMETIMES_TWO_LEADERS);
        return;
    }
    if (is_outsider(c, id)) count(c, SOMETIMES_OUTSIDER_CANDIDATE);
}

/* The packet of this step came from the leader of the term, which was handing over to this node,
 * and promises nothing: it is the leader's wish, not the answer to a pre-vote. */
static bool is_handed_over(const struct cluster *c, node_id id, uint64_t term) {
    node_id source = c->change.source;
    if (source == 0 || c->change.received != NULL || !c->processes[source].is_alive) return false;
    const struct node_view *leader = cluster_view(c, source);
    return leader->role == NODE_LEADER && leader->term == term && leader->transfer == id;
}

/* A transfer is done when its target wins the very election that the leader's wish began. */
static void count_transfer(struct cluster *c, node_id id, const struct node_view *before) {
    const struct node_view *after = cluster_view(c, id);
    struct process *p = &c->processes[id];
    if (after->term == before->term + 1 && is_handed_over(c, id, before->term))
        p->handed_term = after->term;
    bool is_elected = before->role != NODE_LEADER && after->role == NODE_LEADER;
    if (is_elected && after->term == p->handed_term) count(c, SOMETIMES_TRANSFER_DONE);
    if (before->transfer != after->transfer && after->role == NODE_LEADER)
        count(c, after->transfer != 0 ? SOMETIMES_TRANSFER : SOMETIMES_TRANSFER_GIVEN_UP);
}

static void count_roles(struct cluster *c, node_id id, const struct node_view *before) {
    const struct node_view *after = cluster_view(c, id);
    bool is_new_term = before->term != after->term, is_new_role = before->role != after->role;
    if (is_new_term || is_new_role || before->transfer != after->transfer)
        count_transfer(c, id, before);
    if (!is_new_term && !is_new_role) return;
    bool stands = after->role == NODE_PRECANDIDATE || after->role == NODE_CANDIDATE;
    if (before->role == NODE_CANDIDATE && stands && (is_new_term || is_new_role))
        count(c, SOMETIMES_SPLIT_VOTE);
    if (before->role == NODE_LEADER && is_new_term) count(c, SOMETIMES_DEPOSED);
    if (!is_new_role) return;
    if (before->role == NODE_LEADER && !is_new_term && !is_outsider(c, id))
        count(c, SOMETIMES_QUORUM_LOST);
    count_role(c, id, after->role);
}

static void count_log(struct cluster *c, node_id id, const struct node_view *before) {
    const struct node_effects *e = &c->effects;
    const struct node_view *after = cluster_view(c, id);
    if (e->save_from != 0 && e->save_from <= before->last) count(c, SOMETIMES_TRUNCATED);
    if (e->save_snapshot && !e->apply_snapshot) count(c, SOMETIMES_SNAPSHOT_TAKEN);
    if (after->role != NODE_LEADER || after->commit == before->commit) return;
    count(c, SOMETIMES_COMMIT);
    if (e->apply_to != 0 && e->answer_from != e->apply_from) count(c, SOMETIMES_OLD_TERM);
}

void count_step(struct cluster *c, node_id id, const struct node_view *before) {
    count_roles(c, id, before);
    count_log(c, id, before);
}
