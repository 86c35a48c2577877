/* describe.c - nodes and goals in words. */
#include "describe.h"

#include <assert.h>
#include <string.h>

#include "client.h"
#include "text.h"

typedef unsigned long long ull;

static void end_lines(struct text *t) {
    static const char mark[] = "...\n";
    if (t->is_cut) memcpy(t->out + t->size - sizeof mark, mark, sizeof mark);
}

/* ---- a node ---- */

/* "{n1 n2 n5..n9}" */
static void add_set(struct text *t, node_set set) {
    text_add(t, "{");
    for (node_set rest = set; rest != 0;) {
        uint32_t first = (uint32_t)__builtin_ctzll(rest), last = first;
        while (last < NODE_MAX && (rest >> (last + 1) & 1)) last++;
        if (last - first < 3) last = first; /* A short run is told one by one. */
        text_add(t, "%sn%u", rest == set ? "" : " ", first);
        if (last > first) text_add(t, "..n%u", last);
        rest &= ~(cluster_first(last) & ~cluster_first(first - 1));
    }
    text_add(t, "}");
}

static void add_role(struct text *t, const struct node_view *v) {
    switch (v->role) {
    case NODE_LEADER: text_add(t, "leads"); break;
    case NODE_CANDIDATE: text_add(t, "asks for votes in"); break;
    case NODE_PRECANDIDATE: text_add(t, "asks for pre-votes in"); break;
    case NODE_FOLLOWER:
        if (v->leader != 0) text_add(t, "follows n%u in", v->leader);
        else text_add(t, "follows nobody in");
        break;
    }
    text_add(t, " term %llu", (ull)v->term);
    if (v->transfer != 0) text_add(t, ", hands over to n%u", v->transfer);
}

static void add_vote(struct text *t, node_id vote) {
    if (vote != 0) text_add(t, ", vote for n%u", vote);
    else text_add(t, ", no vote");
}

static void add_log(struct text *t, uint64_t last, uint64_t last_term,
                    const struct node_snapshot *snapshot) {
    text_add(t, ", last entry %llu of term %llu", (ull)last, (ull)last_term);
    if (snapshot->index > 0)
        text_add(t, ", snapshot at %llu of term %llu", (ull)snapshot->index, (ull)snapshot->term);
}

static void add_members(struct text *t, const struct node_members *m) {
    if (node_members_all(m) == 0) {
        text_add(t, ", no configuration");
        return;
    }
    text_add(t, ", voters ");
    add_set(t, m->voters);
    if (m->outgoing != 0) {
        text_add(t, " and outgoing ");
        add_set(t, m->outgoing);
    }
    if (m->learners == 0) return;
    text_add(t, ", learners ");
    add_set(t, m->learners);
}

static void add_until(struct text *t, const char *what, uint64_t until_us) {
    if (until_us == UINT64_MAX) text_add(t, ", %s for ever", what);
    else text_add(t, ", %s until %llu us", what, (ull)until_us);
}

static void add_alive(struct text *t, const struct cluster *c, node_id id) {
    const struct process *p = &c->processes[id];
    const struct node_view *v = cluster_view(c, id);
    struct node_members members;
    c->impl->members(cluster_node_const(c, id), &members);
    add_role(t, v);
    if (p->resume_us > c->clock_us) add_until(t, "paused", p->resume_us);
    if (p->hung_us > c->clock_us) add_until(t, "its disk hangs", p->hung_us);
    add_vote(t, v->vote);
    text_add(t, ", commit %llu, applied %llu", (ull)v->commit, (ull)p->applied);
    add_log(t, v->last, v->last_term, &v->snapshot);
    add_members(t, &members);
}

static void add_down(struct text *t, const struct cluster *c, node_id id) {
    const struct disk *d = &c->disks[id];
    bool has_entries = d->entry_count > 0;
    uint64_t last_term = has_entries ? d->entries[d->entry_count - 1].term : d->snapshot.term;
    text_add(t, "is down%s, term %llu on its disk", c->gone >> id & 1 ? " for good" : "",
             (ull)d->term);
    add_vote(t, d->vote);
    add_log(t, disk_last(d), last_term, &d->snapshot);
}

static void add_links(struct text *t, const struct cluster *c, node_id id) {
    node_set others = cluster_ids(c) & ~node_bit(id), mute = c->network.cut[id] & others, deaf = 0;
    for (node_set rest = others; rest != 0; rest &= rest - 1) {
        node_id other = (node_id)__builtin_ctzll(rest);
        if (network_is_cut(&c->network, other, id)) deaf |= node_bit(other);
    }
    const struct {
        const char *what;
        node_set set;
    } parts[] = {{", cut off from ", mute & deaf},
                 {", does not reach ", mute & ~deaf},
                 {", does not hear ", deaf & ~mute}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].set == 0) continue;
        text_add(t, "%s", parts[i].what);
        add_set(t, parts[i].set);
    }
}

static void add_node(struct text *t, const struct cluster *c, node_id id) {
    const char *place = !c->is_calm ? "" : c->core >> id & 1 ? " (core)" : " (outside)";
    text_add(t, "n%u%s ", id, place);
    if (c->processes[id].is_alive) add_alive(t, c, id);
    else add_down(t, c, id);
    add_links(t, c, id);
}

void describe_node(const struct cluster *c, node_id id, char *text, size_t size) {
    assert(id >= 1 && id <= cluster_count(c));
    struct text t = text_begin(text, size);
    add_node(&t, c, id);
}

/* ---- a goal ---- */

/* The description is about the newest leader of the core and its configuration. */
struct scene {
    const struct cluster *c;
    node_id leader; /* 0: nobody leads; then the rest says nothing. */
    const struct node_view *view;
    struct node_members members;
};

static void wait_for_clients(const struct scene *s, struct text *t) {
    static const char *const asks[] = {[CLIENT_IDLE] = "has not asked again",
                                       [CLIENT_SESSION] = "has no answer to its wish for a session",
                                       [CLIENT_COMMAND] = "has no answer to a command",
                                       [CLIENT_READ] = "has no answer to a read"};
    for (uint32_t i = 0; i <= client_last(s->c); i++) {
        const struct client *client = &s->c->clients[i];
        if (client_is_done(s->c, i)) continue;
        text_add(t, "client %u %s", i, asks[client->wait]);
        if (client->leader != 0) text_add(t, ", it asks n%u", client->leader);
        text_add(t, "\n");
    }
}

static bool is_log_full(const struct cluster *c, node_id id) {
    const struct node_view *v = cluster_view(c, id);
    return c->processes[id].is_alive && v->last - v->snapshot.index >= c->impl->log_max;
}

static void wait_for_leader(const struct scene *s, struct text *t) {
    const struct cluster *c = s->c;
    if (s->leader != 0) return;
    node_id outside = cluster_leader(c, cluster_ids(c) & ~c->core);
    text_add(t, "nobody leads%s", c->core == cluster_ids(c) ? "" : " in the core");
    if (outside != 0)
        text_add(t, ", n%u outside leads term %llu", outside, (ull)cluster_view(c, outside)->term);
    text_add(t, "\n");
    for (node_id id = 1; id <= cluster_count(c); id++)
        if ((c->core >> id & 1) && is_log_full(c, id))
            text_add(t, "the log of n%u is full, so that it cannot lead\n", id);
}

static void wait_for_transfer(const struct scene *s, struct text *t) {
    if (s->leader != 0 && s->view->transfer != 0)
        text_add(t, "n%u hands over to n%u\n", s->leader, s->view->transfer);
}

static void wait_for_members(const struct scene *s, struct text *t) {
    if (s->leader == 0) return;
    if (s->members.outgoing != 0) {
        text_add(t, "a joint configuration is not left: voters ");
        add_set(t, s->members.voters);
        text_add(t, " and outgoing ");
        add_set(t, s->members.outgoing);
        text_add(t, "\n");
    }
    if (!(s->members.voters >> s->leader & 1))
        text_add(t, "n%u leads, but is no voter\n", s->leader);
}

static void wait_for_proposal(const struct scene *s, struct text *t) {
    if (s->leader == 0 || s->view->last_term == s->view->term) return;
    text_add(t, "the last entry is of term %llu, and nobody has proposed since in term %llu\n",
             (ull)s->view->last_term, (ull)s->view->term);
}

/* The first thing that it lacks, compared with the leader. */
static void wait_for_node(const struct scene *s, node_id id, struct text *t) {
    const struct process *p = &s->c->processes[id];
    const struct node_view *v = cluster_view(s->c, id), *leader = s->view;
    ull last = (ull)leader->last;
    if (!p->is_alive) text_add(t, "n%u is down\n", id);
    else if (v->term != leader->term)
        text_add(t, "n%u is in term %llu, and n%u leads term %llu\n", id, (ull)v->term, s->leader,
                 (ull)leader->term);
    else if (v->last < leader->last)
        text_add(t, "n%u has entries up to %llu of %llu\n", id, (ull)v->last, last);
    else if (v->last > leader->last)
        text_add(t, "n%u has entries up to %llu, more than the %llu of n%u\n", id, (ull)v->last,
                 last, s->leader);
    else if (v->last_term != leader->last_term)
        text_add(t, "entry %llu of n%u is of term %llu, not %llu\n", last, id, (ull)v->last_term,
                 (ull)leader->last_term);
    else if (v->commit != leader->last)
        text_add(t, "n%u has committed %llu of %llu\n", id, (ull)v->commit, last);
    else if (p->applied != leader->last)
        text_add(t, "n%u has applied %llu of %llu\n", id, (ull)p->applied, last);
}

static void wait_for_nodes(const struct scene *s, struct text *t) {
    if (s->leader == 0) return;
    for (node_set rest = s->c->core & node_members_all(&s->members); rest != 0; rest &= rest - 1)
        wait_for_node(s, (node_id)__builtin_ctzll(rest), t);
}

/* The core has settled: these are the stages after that. */
static void wait_for_stage(const struct scene *s, struct text *t) {
    const struct goal *g = &s->c->goal;
    switch (g->stage) {
    case GOAL_SETTLE:
        if (t->length == 0)
            text_add(t, "all has settled, and stays so until %llu us\n", (ull)g->quiet_us);
        return;
    case GOAL_STAY:
        text_add(t, "n%u stays the leader of term %llu until %llu us\n", g->leader, (ull)g->term,
                 (ull)g->due_us);
        return;
    case GOAL_HANDOVER:
        if (!g->is_asked)
            text_add(t, "n%u learns that n%u has all its entries\n", g->leader, g->target);
        else text_add(t, "n%u, which was asked to, hands over to n%u\n", g->leader, g->target);
        return;
    case GOAL_REACHED: return;
    }
    assert(false);
}

static struct scene scene_of(const struct cluster *c) {
    struct scene s = {.c = c, .leader = cluster_leader(c, c->core)};
    if (s.leader == 0) return s;
    s.view = cluster_view(c, s.leader);
    c->impl->members(cluster_node_const(c, s.leader), &s.members);
    return s;
}

void describe_goal(const struct cluster *c, char *text, size_t size) {
    static void (*const waits[])(const struct scene *, struct text *) = {
        wait_for_leader,   wait_for_transfer, wait_for_members,
        wait_for_proposal, wait_for_nodes,    wait_for_clients,
    };
    struct text t = text_begin(text, size);
    struct scene s = scene_of(c);
    if (c->goal.stage == GOAL_SETTLE)
        for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) waits[i](&s, &t);
    wait_for_stage(&s, &t);
    end_lines(&t);
}

/* ---- both ---- */

static void describe_nodes(const struct cluster *c, char *text, size_t size) {
    struct text t = text_begin(text, size);
    for (node_id id = 1; id <= cluster_count(c); id++) {
        add_node(&t, c, id);
        text_add(&t, "\n");
    }
    end_lines(&t);
}

void describe_cluster(const struct cluster *c, struct description *out) {
    describe_nodes(c, out->state, sizeof out->state);
    describe_goal(c, out->waits_for, sizeof out->waits_for);
}
