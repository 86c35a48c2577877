/* check_election.c - election-safety (5.2) and leader-completeness (5.4). */
#include <assert.h>

#include "shadow.h"

static struct leader_record *leader_at(struct checks *k, uint64_t term) {
    return &k->leaders[term % CHECK_TERMS_MAX];
}

static bool knows_members(const struct checks *k, node_id id) {
    const struct node_shadow *n = &k->nodes[id];
    return shadow_members(k, id, &n->disk)->voters != 0 ||
           (n->is_alive && shadow_members(k, id, &n->memory)->voters != 0);
}

/* Terms below it can have no new leader, and no leader of theirs can commit. Who knows no members
 * leads nobody, and will learn them from a leader, whose term it takes over. */
static uint64_t oldest_term(const struct checks *k) {
    uint64_t term = UINT64_MAX;
    for (node_id id = 1; id <= k->node_count; id++)
        if (k->nodes[id].term < term && knows_members(k, id)) term = k->nodes[id].term;
    return term;
}

/* The highest index that was committed in a term below `term`; what comes before was, too. Where an
 * entry was committed twice, the lowest term counts. */
static uint64_t committed_before(struct checks *k, uint64_t term) {
    uint64_t index = k->chain_last;
    while (index > k->history.base && chain_at(k, index)->term >= term) index--;
    return index;
}

static void note_leader(struct checks *k, const struct cluster *c, node_id id) {
    const struct node_view *view = cluster_view(c, id);
    struct leader_record *r = leader_at(k, view->term);
    if (r->leader != 0 && r->term == view->term) {
        if (r->leader != id)
            check_fail(k, c, CHECK_ELECTION_SAFETY, "n%u and n%u both lead term %llu", r->leader,
                       id, (ull)view->term);
        return;
    }
    if (r->leader != 0 && r->term >= oldest_term(k)) {
        k->undecided = "the table of leaders is full";
        return;
    }
    const struct log_shadow *log = &k->nodes[id].memory;
    *r = (struct leader_record){view->term, log->last, shadow_at(log, log->last), id};
    if (k->term_max < view->term) k->term_max = view->term;
}

/* "If a log entry is committed in a given term, then that entry will be present in the logs of the
 * leaders for all higher-numbered terms" (5.4): the new leader's log. */
static void check_completeness(struct checks *k, const struct cluster *c, node_id id) {
    uint64_t term = cluster_view(c, id)->term;
    uint64_t index = committed_before(k, term);
    if (check_holds_chain(k, &k->nodes[id].memory, index)) return;
    check_fail(k, c, CHECK_LEADER_COMPLETENESS,
               "n%u leads term %llu without entry %llu, which was committed in term %llu", id,
               (ull)term, (ull)index, (ull)chain_at(k, index)->term);
}

/* ... and the logs that the leaders of later terms had, when a late commit is decided. */
void check_election_commit(struct checks *k, const struct cluster *c, node_id id, uint64_t index,
                           uint64_t term) {
    history_id committed = shadow_at(&k->nodes[id].memory, index);
    for (uint64_t t = term + 1; t <= k->term_max; t++) {
        const struct leader_record *r = leader_at(k, t);
        if (r->leader == 0 || r->term != t) continue;
        if (r->last >= index && history_ancestor(&k->history, r->record, index) == committed)
            continue;
        check_fail(
            k, c, CHECK_LEADER_COMPLETENESS,
            "n%u committed entry %llu in term %llu, but n%u was elected in term %llu without it",
            id, (ull)index, (ull)term, r->leader, (ull)t);
    }
}

/* The leader's peers are the members that it acts on: a leader that acts on another configuration
 * than its log says need not know anything of the members of its log. */
static bool is_peer(const struct checks *k, const struct cluster *c, node_id id, node_id peer) {
    struct node_members acting;
    if (!(node_members_all(shadow_members(k, id, &k->nodes[id].memory)) >> peer & 1)) return false;
    c->impl->members(cluster_node_const(c, id), &acting);
    return node_members_all(&acting) >> peer & 1;
}

/* What a leader knows of the peer whose packet it got. */
static void check_progress(struct checks *k, const struct cluster *c, node_id id, node_id peer) {
    struct node_progress p = c->impl->progress(cluster_node_const(c, id), peer);
    uint64_t *match = &k->nodes[id].match[peer];
    if (p.next <= p.match && (c->impl->supports & NODE_HAS_NEXT))
        check_fail(k, c, CHECK_NEXT_ABOVE_MATCH, "n%u has next %llu for n%u, not above match %llu",
                   id, (ull)p.next, peer, (ull)p.match);
    if (p.match < *match)
        check_fail(k, c, CHECK_MONOTONIC, "n%u lowered match of n%u from %llu to %llu", id, peer,
                   (ull)*match, (ull)p.match);
    if (p.match > *match) check_match(k, c, id, peer, p.match);
    *match = p.match;
}

void check_election_step(struct checks *k, const struct cluster *c, const struct node_view *before,
                         node_id id) {
    const struct node_view *after = cluster_view(c, id);
    if (after->term < before->term)
        check_fail(k, c, CHECK_MONOTONIC, "n%u went back from term %llu to %llu", id,
                   (ull)before->term, (ull)after->term);
    if (after->role != NODE_LEADER || k->undecided != NULL) return;
    if (before->role != NODE_LEADER || before->term != after->term) {
        note_leader(k, c, id);
        check_completeness(k, c, id);
        for (node_id peer = 1; peer <= k->node_count; peer++) k->nodes[id].match[peer] = 0;
    }
    node_id peer = c->change.source;
    if (peer != 0 && is_peer(k, c, id, peer)) check_progress(k, c, id, peer);
}
