/* check_prevote.c - pre-vote (D 9.6).
 *
 * "A candidate only increments its term if it first learns from a majority of the cluster that they
 * would be willing to grant the candidate their votes." A grant counts if it was created for the
 * asker's present term by a voter that would vote then: neither its term nor its log is better than
 * the asker's. Packets are late and come twice, so a grant for an earlier request of the same term
 * counts, too; each request was sent with a log no better than the asker's best one in that term.
 *
 * A grant also binds the voter, but only as long as nothing changes: packets and restarts may
 * bring it another leader, term or log. */
#include "shadow.h"

/* ---- the asker ---- */

/* A term below the highest one follows a crash that lost the term: its grants are not known. */
static void note_asker(struct checks *k, const struct cluster *c, node_id id) {
    struct prevote_shadow *p = &k->nodes[id].prevote;
    struct log_key key = check_log_key(k, &k->nodes[id].memory);
    uint64_t term = cluster_view(c, id)->term;
    if (term < p->term) return;
    if (term > p->term || is_below(p->best, key)) p->best = key;
    if (term > p->term) p->granted = p->received = 0;
    p->term = term;
}

static void note_campaign(struct checks *k, const struct cluster *c, node_id id) {
    struct prevote_shadow *p = &k->nodes[id].prevote;
    p->campaign = cluster_view(c, id)->term;
    p->entry = check_log_key(k, &k->nodes[id].memory);
    p->is_weaker = p->term >= p->campaign || is_below(p->entry, p->best);
}

static void note_received(struct checks *k, const struct change *change, node_id id) {
    const struct promise *promise = change->received;
    struct prevote_shadow *p = &k->nodes[id].prevote;
    if (promise->candidate == id && promise->term == p->term)
        p->received |= node_bit(change->source);
}

/* A TimeoutNow (D 3.10), which needs no pre-votes, comes from the leader of the node's term: one of
 * an older term is stale (5.1). */
static bool may_be_transfer(const struct checks *k, const struct change *change) {
    uint64_t term = change->before->term;
    const struct leader_record *r = &k->leaders[term % CHECK_TERMS_MAX];
    return change->source != 0 && change->received == NULL && r->leader == change->source &&
           r->term == term;
}

static bool has_option(const struct cluster *c, node_id id) {
    return (c->impl->supports & NODE_HAS_PRE_VOTE) && (c->config.pre_vote >> id % 8 & 1);
}

static bool needs_prevotes(const struct checks *k, const struct cluster *c,
                           const struct change *change, node_id id) {
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    if (after->role < NODE_CANDIDATE || after->term != before->term + 1) return false;
    if (before->role != NODE_PRECANDIDATE && !has_option(c, id)) return false;
    return k->nodes[id].prevote.term <= before->term && !may_be_transfer(k, change);
}

static void check_campaign(struct checks *k, const struct cluster *c, const struct change *change,
                           node_id id) {
    const struct prevote_shadow *p = &k->nodes[id].prevote;
    const struct node_members *members = shadow_members(k, id, &k->nodes[id].memory);
    node_set set = p->term == change->before->term ? p->granted & p->received : 0;
    set |= node_bit(id);
    if (node_is_quorum(members, set)) return;
    bool is_joint = node_is_majority(members->voters, set); /* That half is not it. */
    node_set voters = is_joint ? members->outgoing : members->voters;
    check_fail(k, c, CHECK_PREVOTE,
               "n%u campaigns in term %llu, but only %d of %d %s would vote for its log then", id,
               (ull)cluster_view(c, id)->term, __builtin_popcountll(voters & set),
               __builtin_popcountll(voters), is_joint ? "outgoing voters" : "voters");
}

/* ---- the voter ---- */

/* The candidate's log is good enough: as it is, or since the pre-vote was for none better. */
static bool is_due(const struct checks *k, node_id id, const struct promise *request) {
    const struct prevote_shadow *p = &k->nodes[request->candidate].prevote;
    if (p->campaign != request->term) return false; /* It has gone on. */
    return !p->is_weaker || !is_below(p->entry, check_log_key(k, &k->nodes[id].memory));
}

/* The first packet after a granted pre-vote is the asker's request for the vote. */
static void check_vote(struct checks *k, const struct cluster *c, const struct change *change,
                       node_id id) {
    const struct prevote_shadow *p = &k->nodes[id].prevote;
    const struct promise *request = change->received;
    const struct node_view *after = cluster_view(c, id);
    if (!p->is_bound || change->source != p->asker || request->candidate != p->asker) return;
    if (request->term != p->asked + 1 || !is_due(k, id, request)) return;
    if (after->term == request->term && after->vote == p->asker) return;
    check_fail(k, c, CHECK_PREVOTE,
               "n%u refuses n%u its vote in term %llu, having just granted the pre-vote for it", id,
               p->asker, (ull)request->term);
}

void check_prevote_grant(struct checks *k, const struct cluster *c, const struct fact *fact) {
    const struct promise *promise = &fact->u.promise;
    struct prevote_shadow *voter = &k->nodes[fact->node].prevote;
    struct prevote_shadow *asker = &k->nodes[promise->candidate].prevote;
    voter->is_bound = cluster_view(c, fact->node)->term <= promise->term;
    voter->asker = promise->candidate;
    voter->asked = promise->term;
    struct log_key key = check_log_key(k, &k->nodes[fact->node].memory);
    if (voter->is_bound && promise->term == asker->term && !is_below(asker->best, key))
        asker->granted |= node_bit(fact->node);
}

void check_prevote_step(struct checks *k, const struct cluster *c, const struct change *change,
                        node_id id, bool is_quiet) {
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    if (k->undecided != NULL) return;
    if (change->received != NULL) {
        if (change->received->type == PROMISE_PREVOTE) note_received(k, change, id);
        if (change->received->type == PROMISE_VOTE) check_vote(k, c, change, id);
    }
    if (change->source != 0 || !is_quiet) k->nodes[id].prevote.is_bound = false;
    if (needs_prevotes(k, c, change, id)) check_campaign(k, c, change, id);
    if (after->role == NODE_PRECANDIDATE) note_asker(k, c, id);
    if (after->role == NODE_CANDIDATE && after->term > before->term) note_campaign(k, c, id);
}

/* The memory of the incarnation before is gone. */
void check_prevote_start(struct checks *k, node_id id) {
    k->nodes[id].prevote.received = 0;
    k->nodes[id].prevote.is_bound = false;
}
