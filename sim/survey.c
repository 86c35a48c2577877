/* survey.c - reads the logs of all nodes for the configurations that still matter. */
#include "survey.h"

/* ---- the log of a node: in memory, or what it will start from ---- */

static uint64_t base_of(const struct cluster *c, node_id id) {
    bool is_alive = c->processes[id].is_alive;
    return is_alive ? cluster_view(c, id)->snapshot.index : c->disks[id].snapshot.index;
}

static uint64_t last_of(const struct cluster *c, node_id id) {
    return c->processes[id].is_alive ? cluster_view(c, id)->last : disk_last(&c->disks[id]);
}

static uint64_t commit_of(const struct cluster *c, node_id id) {
    return c->processes[id].is_alive ? cluster_view(c, id)->commit : base_of(c, id);
}

static struct node_entry entry_of(const struct cluster *c, node_id id, uint64_t index) {
    if (c->processes[id].is_alive) return c->impl->entry(cluster_node_const(c, id), index);
    return c->disks[id].entries[index - base_of(c, id) - 1];
}

/* As of the snapshot. A node that joined has none, and then the log from its beginning. */
static struct node_members base_members(const struct cluster *c, node_id id) {
    struct node_image image = c->disks[id].image;
    if (c->processes[id].is_alive) c->impl->image(cluster_node_const(c, id), &image);
    if (image.members.voters == 0) image.members.voters = cluster_voters(c);
    return image.members;
}

static struct node_members members_at(const struct cluster *c, node_id id, uint64_t index) {
    for (; index > base_of(c, id); index--) {
        struct node_entry entry = entry_of(c, id, index);
        if (entry.type == NODE_MEMBERS) return entry.members;
    }
    return base_members(c, id);
}

/* ---- the survey ---- */

static void survey_members(struct survey *s, const struct node_members *m) {
    bool is_quorum = node_is_quorum(m, s->set);
    s->named |= node_members_all(m);
    s->is_quorum = s->is_quorum && is_quorum;
    struct node_members next = *m; /* The leader may leave a joint configuration at any time. */
    next.outgoing = 0;
    s->is_any_quorum = s->is_any_quorum || is_quorum || node_is_quorum(&next, s->set);
}

struct survey survey_cluster(const struct cluster *c, node_set set) {
    struct survey s = {.set = set, .is_quorum = true};
    node_id ahead = 1;
    for (node_id id = 2; id <= cluster_count(c); id++)
        if (commit_of(c, id) > commit_of(c, ahead)) ahead = id;
    uint64_t commit = commit_of(c, ahead);
    struct node_members committed = members_at(c, ahead, commit);
    survey_members(&s, &committed);
    for (node_id id = 1; id <= cluster_count(c); id++)
        for (uint64_t i = commit + 1; i <= last_of(c, id); i++) {
            struct node_entry entry = entry_of(c, id, i);
            if (entry.type == NODE_MEMBERS) survey_members(&s, &entry.members);
        }
    return s;
}
