/* contract.c - the rules of node.h, one line each: the field, its value, what node.h says of it.
 *
 * Every step pays for the rules: they are comparisons that nearly always hold, and loops only over
 * what the effects announce. */
#include "contract.h"

#include "process.h"

static bool __attribute__((cold)) breaks(struct contract_breach *out, const char *field,
                                         uint64_t value, const char *rule) {
    *out = (struct contract_breach){.field = field, .rule = rule, .value = value};
    return false;
}

/* ---- the view ---- */

/* Which rule it is. */
static bool __attribute__((cold)) view_breaks(const struct cluster *c, const struct node_view *v,
                                              struct contract_breach *out) {
    uint32_t count = cluster_count(c);
    if (v->role > NODE_LEADER) return breaks(out, "view.role", v->role, "an enum node_role");
    if (v->vote > count) return breaks(out, "view.vote", v->vote, "a node, or 0");
    if (v->leader > count) return breaks(out, "view.leader", v->leader, "a node, or 0");
    if (v->transfer > count) return breaks(out, "view.transfer", v->transfer, "a node, or 0");
    if (v->term > c->term_max + 1)
        return breaks(out, "view.term", v->term, "at most 1 above the highest term of any node");
    if (v->last < v->snapshot.index)
        return breaks(out, "view.last", v->last, "not below snapshot.index");
    return breaks(out, "view.last", v->last, "at most log_max above snapshot.index");
}

/* One branch for all rules: `last` below the snapshot wraps around to a distance that is too long.
 */
static inline bool check_view(const struct cluster *c, const struct node_view *v,
                              struct contract_breach *out) {
    uint32_t count = cluster_count(c);
    bool is_broken = (v->role > NODE_LEADER) | (v->vote > count) | (v->leader > count) |
                     (v->transfer > count) | (v->term > c->term_max + 1) |
                     (v->last - v->snapshot.index > c->impl->log_max);
    return !is_broken || view_breaks(c, v, out);
}

/* ---- the effects, in their order ---- */

static bool check_members(const struct node_members *m, const char *field,
                          struct contract_breach *out) {
    node_set all = node_members_all(m);
    return !(all & 1) || breaks(out, field, all, "sets of ids, which start at 1");
}

static bool check_entries(const struct cluster *c, node_id id, uint64_t from,
                          struct contract_breach *out) {
    uint64_t last = cluster_view(c, id)->last;
    for (uint64_t i = from; i <= last; i++) {
        struct node_entry e = c->impl->entry(cluster_node_const(c, id), i);
        if (e.type > NODE_MEMBERS)
            return breaks(out, "entry.type", e.type, "an enum node_entry_type");
        if (e.type != NODE_MEMBERS) continue;
        if (!check_members(&e.members, "entry.members", out)) return false;
    }
    return true;
}

/* The part of the log that a write replaces. */
static bool check_save_from(const struct cluster *c, node_id id, uint64_t from,
                            struct contract_breach *out) {
    const struct node_view *v = cluster_view(c, id), *before = &c->processes[id].before;
    uint64_t end = before->last > v->snapshot.index ? before->last : v->snapshot.index;
    if (from <= v->snapshot.index)
        return breaks(out, "save_from", from, "above snapshot.index, or 0");
    if (from > end + 1)
        return breaks(out, "save_from", from, "at most 1 above the end of the log before");
    if (from > v->last + 1) return breaks(out, "save_from", from, "at most 1 above last");
    if (v->last + 1 - from > NODE_WRITE_MAX)
        return breaks(out, "save_from", from, "at most NODE_WRITE_MAX entries in one write");
    return check_entries(c, id, from, out);
}

static bool check_image(const struct cluster *c, node_id id, struct contract_breach *out) {
    struct node_image image;
    c->impl->image(cluster_node_const(c, id), &image);
    return check_members(&image.members, "image.members", out);
}

/* Before this step. */
static uint64_t newest_write(const struct cluster *c, node_id id) {
    return c->processes[id].durable + c->disks[id].pending;
}

static bool check_write(const struct cluster *c, node_id id, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    if (e->write != newest_write(c, id) + 1)
        return breaks(out, "write", e->write, "1 above the one before it");
    if (e->save_from != 0 && !check_save_from(c, id, e->save_from, out)) return false;
    return !e->save_snapshot || check_image(c, id, out);
}

static inline bool check_no_write(const struct node_effects *e, struct contract_breach *out) {
    bool is_saving = e->save_vote | e->save_snapshot | (e->save_from != 0);
    return !is_saving || breaks(out, "write", 0, "a number where anything is saved");
}

static bool check_chunk(const struct cluster *c, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    if (e->chunk.length > e->chunk.size)
        return breaks(out, "chunk.length", e->chunk.length, "at most chunk.size");
    if (e->chunk.offset > e->chunk.size - e->chunk.length)
        return breaks(out, "chunk.offset", e->chunk.offset, "at most size - length");
    return true;
}

/* Which rule it is. */
static bool __attribute__((cold)) packet_breaks(const struct cluster *c, node_id id,
                                                const struct node_packet *p,
                                                struct contract_breach *out) {
    if (p->size == 0 || p->size > NODE_PACKET_MAX || p->size % 8 != 0)
        return breaks(out, "packet.size", p->size, "a multiple of 8 from 8 to NODE_PACKET_MAX");
    if (p->target == 0 || p->target > cluster_count(c) || p->target == id)
        return breaks(out, "packet.target", p->target, "another node");
    return breaks(out, "packet.after", p->after, "a write that was asked for, or 0");
}

static bool check_packets(const struct cluster *c, node_id id, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    uint32_t count = cluster_count(c);
    if (e->packet_count > NODE_PACKETS_MAX)
        return breaks(out, "packet_count", e->packet_count, "at most NODE_PACKETS_MAX");
    for (const struct node_packet *p = e->packets; p < e->packets + e->packet_count; p++) {
        /* A value below the first allowed one wraps around to one above the last. */
        bool is_broken = (p->size - 8u > NODE_PACKET_MAX - 8u) | (p->size % 8 != 0) |
                         (p->target - 1u >= count) | (p->target == id);
        if (is_broken || (p->after != 0 && p->after > newest_write(c, id) + (e->write != 0)))
            return packet_breaks(c, id, p, out);
    }
    return true;
}

static inline bool check_timer(const struct node_effects *e, const struct node_event *event,
                               struct contract_breach *out) {
    if (e->timer > NODE_TIMER_HEARTBEAT)
        return breaks(out, "timer", e->timer, "an enum node_timer");
    if (e->timer == NODE_TIMER_KEEP && event->type == NODE_TIMEOUT)
        return breaks(out, "timer", e->timer, "set again in a step on NODE_TIMEOUT");
    return true;
}

static bool check_verdicts(const struct cluster *c, node_id id, struct contract_breach *out) {
    for (uint64_t i = c->effects.apply_from; i <= c->effects.apply_to; i++) {
        enum node_verdict verdict = c->impl->verdict(cluster_node_const(c, id), i);
        if (verdict > NODE_EXPIRED) return breaks(out, "verdict", verdict, "an enum node_verdict");
    }
    return true;
}

static bool check_apply(const struct cluster *c, node_id id, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    const struct node_view *v = cluster_view(c, id);
    if (e->apply_to > v->commit) return breaks(out, "apply_to", e->apply_to, "at most commit");
    if (e->apply_to > v->last) return breaks(out, "apply_to", e->apply_to, "at most last");
    if (e->apply_from <= v->snapshot.index)
        return breaks(out, "apply_from", e->apply_from, "above snapshot.index");
    if (e->apply_from > e->apply_to)
        return breaks(out, "apply_from", e->apply_from, "at most apply_to");
    return check_verdicts(c, id, out);
}

static bool check_answer(const struct cluster *c, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    if (e->apply_to != 0 && e->answer_from >= e->apply_from && e->answer_from <= e->apply_to)
        return true;
    return breaks(out, "answer_from", e->answer_from, "one of the entries applied, or 0");
}

static inline bool check_refusal(const struct cluster *c, const struct node_event *event,
                                 struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    if (e->leader <= cluster_count(c)) return true; /* Or undefined. */
    bool is_request =
        event->type == NODE_PROPOSE || event->type == NODE_CHANGE || event->type == NODE_TRANSFER;
    if (!is_request || !e->refused) return true;
    return breaks(out, "leader", e->leader, "a node, or 0");
}

bool contract_step(const struct cluster *c, node_id id, const struct node_event *event,
                   struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    if (!check_view(c, cluster_view(c, id), out)) return false;
    if (e->save_chunk && !check_chunk(c, out)) return false;
    if (e->write == 0 ? !check_no_write(e, out) : !check_write(c, id, out)) return false;
    if (!check_packets(c, id, out)) return false;
    if (!check_timer(e, event, out)) return false;
    if (e->apply_to != 0 && !check_apply(c, id, out)) return false;
    if (e->answer_from != 0 && !check_answer(c, out)) return false;
    if (e->read_count > NODE_READS_MAX)
        return breaks(out, "read_count", e->read_count, "at most NODE_READS_MAX");
    return check_refusal(c, event, out);
}

/* ---- a start ---- */

bool contract_start(const struct cluster *c, node_id id, struct contract_breach *out) {
    const struct node_effects *e = &c->effects;
    static const char only_timer[] = "0 at a start, which only sets a timer";
    if (!check_view(c, &c->processes[id].view, out)) return false;
    if (e->save_chunk) return breaks(out, "save_chunk", 1, only_timer);
    if (e->write != 0) return breaks(out, "write", e->write, only_timer);
    if (!check_no_write(e, out)) return false;
    if (e->packet_count != 0) return breaks(out, "packet_count", e->packet_count, only_timer);
    if (e->apply_snapshot) return breaks(out, "apply_snapshot", 1, only_timer);
    if (e->apply_to != 0) return breaks(out, "apply_to", e->apply_to, only_timer);
    if (e->answer_from != 0) return breaks(out, "answer_from", e->answer_from, only_timer);
    if (e->read_count != 0) return breaks(out, "read_count", e->read_count, only_timer);
    if (e->timer != NODE_TIMER_ELECTION && e->timer != NODE_TIMER_HEARTBEAT)
        return breaks(out, "timer", e->timer, "set at a start");
    return true;
}

/* ---- a packet ---- */

bool contract_promise(const struct cluster *c, const struct promise *p,
                      struct contract_breach *out) {
    if (p->type > PROMISE_PREVOTE)
        return breaks(out, "promise.type", p->type, "an enum promise_type");
    if (p->type == PROMISE_APPEND) return true;
    if (p->candidate == 0 || p->candidate > cluster_count(c))
        return breaks(out, "promise.candidate", p->candidate, "a node");
    return true;
}
