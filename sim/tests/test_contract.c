/* test_contract.c - each rule of node.h about what a node answers: an actor breaks it, and the
 * world carries out nothing and says which rule; the nearest answer that node.h allows is carried
 * out. */
#include <criterion/criterion.h>
#include <string.h>

#include "actor.h"

/* Node 1 has the entries 1 to 4, has applied the first two, and its snapshot covers the first one.
 * Two writes are behind it. From here on it answers just what the test orders. */
static struct stage *open_case(void) {
    stages[1].at_start = NULL;
    stage_begin(quiet(3));
    struct stage *s = &stages[1];
    s->view.term = 1;
    s->view.last = 4;
    s->effects.save_from = 1;
    order_apply(1, 1, 2);
    poke(1);
    s->view.snapshot = (struct node_snapshot){.index = 1, .term = 7, .state = 5};
    s->effects.save_snapshot = true;
    poke(1);
    cr_assert(world->disks[1].pending == 2 && s->view.commit == 2);
    s->is_forged = true;
    s->effects.timer = NODE_TIMER_ELECTION;
    return s;
}

enum { NEXT_WRITE = 3 };

/* A case orders one value, which the rule allows or not. */
typedef void order(struct stage *s, uint64_t value);

static void order_role(struct stage *s, uint64_t value) { s->view.role = (enum node_role)value; }
static void order_vote(struct stage *s, uint64_t value) { s->view.vote = (node_id)value; }
static void order_view_leader(struct stage *s, uint64_t value) { s->view.leader = (node_id)value; }
static void order_view_transfer(struct stage *s, uint64_t value) {
    s->view.transfer = (node_id)value;
}
static void order_term(struct stage *s, uint64_t value) { s->view.term = value; }
static void order_base(struct stage *s, uint64_t value) {
    s->effects.write = NEXT_WRITE;
    s->effects.save_snapshot = true;
    s->view.snapshot.index = value;
}
static void order_last(struct stage *s, uint64_t value) { s->view.last = value; }

static void order_number(struct stage *s, uint64_t value) {
    s->effects.write = value;
    s->effects.save_vote = true;
}
static void order_snapshot_number(struct stage *s, uint64_t value) {
    s->effects.write = value;
    s->effects.save_snapshot = true;
}
static void order_log_number(struct stage *s, uint64_t value) {
    s->effects.write = value;
    s->effects.save_from = 5;
}
/* The log ends at 6: two entries more than before. */
static void order_from(struct stage *s, uint64_t value) {
    s->view.last = 6;
    s->effects.write = NEXT_WRITE;
    s->effects.save_from = value;
}
/* It ends at 3. */
static void order_cut(struct stage *s, uint64_t value) {
    order_from(s, value);
    s->view.last = 3;
}
static void order_batch(struct stage *s, uint64_t value) {
    order_from(s, 5);
    s->view.last = 4 + value;
}
static void order_type(struct stage *s, uint64_t value) {
    order_entry(1, 5, (struct node_entry){.term = 1, .type = value});
    s->effects.write = NEXT_WRITE;
    s->effects.save_from = 5;
}
static void order_members(struct stage *s, uint64_t value) {
    order_entry(1, 5, (struct node_entry){.type = NODE_MEMBERS, .members.learners = value});
    s->effects.write = NEXT_WRITE;
    s->effects.save_from = 5;
}
static void order_image(struct stage *s, uint64_t value) {
    s->effects.write = NEXT_WRITE;
    s->effects.save_snapshot = true;
    s->image.members.voters = value;
}

static void order_chunk_length(struct stage *s, uint64_t value) {
    s->effects.save_chunk = true;
    s->effects.chunk.size = 10;
    s->effects.chunk.length = value;
}
static void order_chunk_offset(struct stage *s, uint64_t value) {
    order_chunk_length(s, 4);
    s->effects.chunk.offset = value;
}

static void order_packets(struct stage *s, uint64_t value) {
    static const uint64_t word = 1;
    for (uint32_t i = 0; i < NODE_PACKETS_MAX; i++)
        s->effects.packets[i] = (struct node_packet){&word, sizeof word, 2, 0};
    s->effects.packet_count = (uint32_t)value;
}
/* The second of two is wrong. */
static void order_size(struct stage *s, uint64_t value) {
    order_packet(1, 2, 1, 0);
    order_packet(1, 2, 2, 2);
    s->effects.packets[1].size = (uint16_t)value;
}
static void order_target(struct stage *s, uint64_t value) {
    order_packet(1, 2, 1, 0);
    order_packet(1, (node_id)value, 2, 0);
    (void)s;
}
static void order_after(struct stage *s, uint64_t value) {
    order_packet(1, 2, 1, value);
    (void)s;
}
static void order_after_write(struct stage *s, uint64_t value) {
    order_number(s, NEXT_WRITE);
    order_after(s, value);
}

static void order_timer(struct stage *s, uint64_t value) {
    s->effects.timer = (enum node_timer)value;
}
static void order_apply_to(struct stage *s, uint64_t value) {
    s->view.commit = 3;
    order_apply(1, 3, value);
}
static void order_apply_to_end(struct stage *s, uint64_t value) {
    s->view.commit = 9;
    order_apply(1, 3, value);
}
static void order_apply_from(struct stage *s, uint64_t value) {
    s->view.commit = 3;
    order_apply(1, value, 3);
}
static void order_verdict(struct stage *s, uint64_t value) {
    s->verdict = (enum node_verdict)value;
    order_apply_to(s, 3);
}
static void order_answer(struct stage *s, uint64_t value) {
    s->view.commit = 4;
    order_apply(1, 3, 4);
    s->effects.answer_from = value;
}
static void order_lone_answer(struct stage *s, uint64_t value) { s->effects.answer_from = value; }
static void order_reads(struct stage *s, uint64_t value) {
    s->effects.read_count = (uint32_t)value;
}

/* The field that the finding names; values that break the rule, and the nearest that keep it. */
struct rule_case {
    const char *field;
    order *order;
    uint64_t broken, allowed;
};

static const struct rule_case rule_cases[] = {
    {"view.role", order_role, NODE_LEADER + 1, NODE_LEADER},
    {"view.role", order_role, UINT32_MAX, NODE_FOLLOWER},
    {"view.vote", order_vote, 4, 3},
    {"view.leader", order_view_leader, 200, 3},
    {"view.transfer", order_view_transfer, 4, 3},
    {"view.term", order_term, 3, 2},
    {"view.term", order_term, UINT64_MAX, 1},
    {"view.last", order_base, 5, 4},
    {"view.last", order_last, 0, 1},
    {"view.last", order_last, 2 + NODE_LOG_MAX, 1 + NODE_LOG_MAX},
    {"view.last", order_last, UINT64_MAX, 4},
    {"write", order_number, 0, NEXT_WRITE},
    {"write", order_number, 2, NEXT_WRITE},
    {"write", order_number, 4, NEXT_WRITE},
    {"write", order_snapshot_number, 0, NEXT_WRITE},
    {"write", order_log_number, 0, NEXT_WRITE},
    {"save_from", order_from, 1, 2},
    {"save_from", order_from, 6, 5},
    {"save_from", order_cut, 5, 4},
    {"save_from", order_batch, NODE_WRITE_MAX + 1, NODE_WRITE_MAX},
    {"entry.type", order_type, NODE_MEMBERS + 1, NODE_SESSION},
    {"entry.members", order_members, 1, 2},
    {"image.members", order_image, 3, 2},
    {"chunk.length", order_chunk_length, 11, 10},
    {"chunk.length", order_chunk_length, UINT64_MAX, 0},
    {"chunk.offset", order_chunk_offset, 7, 6},
    {"chunk.offset", order_chunk_offset, UINT64_MAX, 0},
    {"packet_count", order_packets, NODE_PACKETS_MAX + 1, NODE_PACKETS_MAX},
    {"packet.size", order_size, 0, 8},
    {"packet.size", order_size, 9, 8},
    {"packet.size", order_size, NODE_PACKET_MAX + 8, 8},
    {"packet.target", order_target, 0, 2},
    {"packet.target", order_target, 1, 2},
    {"packet.target", order_target, 4, 3},
    {"packet.after", order_after, NEXT_WRITE, NEXT_WRITE - 1},
    {"packet.after", order_after_write, NEXT_WRITE + 1, NEXT_WRITE},
    {"timer", order_timer, NODE_TIMER_KEEP, NODE_TIMER_HEARTBEAT},
    {"timer", order_timer, NODE_TIMER_HEARTBEAT + 1, NODE_TIMER_ELECTION},
    {"apply_to", order_apply_to, 4, 3},
    {"apply_to", order_apply_to_end, 5, 4},
    {"apply_from", order_apply_from, 1, 2},
    {"apply_from", order_apply_from, 4, 3},
    {"verdict", order_verdict, NODE_EXPIRED + 1, NODE_EXPIRED},
    {"answer_from", order_answer, 2, 3},
    {"answer_from", order_answer, 5, 4},
    {"answer_from", order_lone_answer, 1, 0},
    {"answer_from", order_lone_answer, UINT64_MAX, 0},
    {"read_count", order_reads, 5000, NODE_READS_MAX},
    {"read_count", order_reads, NODE_READS_MAX + 1, NODE_READS_MAX},
};

/* Nothing was carried out, and the node is shown as it was before. */
static void expect_breach(const struct change *change, const char *field, uint64_t value) {
    cr_assert_str_eq(facts(change), "contract", "%s %llx", field, (unsigned long long)value);
    const struct contract_breach *b = &change->facts[0].u.breach;
    cr_assert_str_eq(b->field, field);
    cr_assert(b->rule != NULL && world->disks[1].pending == 2);
    cr_assert(world->processes[1].view.role == NODE_FOLLOWER);
    cr_assert(world->processes[1].view.term == 1 && world->processes[1].view.last == 4);
}

/* Goal: each rule is checked, and names itself. Method: for each of them an answer that breaks it,
 * and the nearest that does not. */
Test(cluster, contract_of_a_step) {
    for (uint32_t i = 0; i < sizeof rule_cases / sizeof rule_cases[0]; i++) {
        const struct rule_case *r = &rule_cases[i];
        r->order(open_case(), r->broken);
        expect_breach(poke(1), r->field, r->broken);
        r->order(open_case(), r->allowed);
        const char *line = facts(poke(1));
        cr_assert(strncmp(line, "step", 4) == 0 && strstr(line, "contract") == NULL,
                  "case %u, %s %u: %s", i, r->field, (unsigned)r->allowed, line);
    }
}

/* Goal: the leader that a refusal names is a node. Method: client 0 is refused, and told of a node
 * that exists, of none, and of one that does not exist; where nothing is refused, it may be. */
Test(cluster, contract_of_a_refusal) {
    for (uint32_t named = 0; named <= 4; named++) {
        for (uint32_t is_refused = 0; is_refused <= 1; is_refused++) {
            struct stage *s = open_case();
            s->effects.refused = is_refused;
            s->effects.leader = (node_id)named;
            const struct change *change = happen_now(EVENT_CLIENT, 0);
            if (is_refused && named == 4) expect_breach(change, "leader", named);
            else cr_assert_str_eq(facts(change), "step");
        }
    }
}

/* ---- starts ---- */

static uint64_t start_value;
static order *start_order;

/* The effects of the start are those of the stage. */
static void forge_start(struct stage *s, struct node_effects *out) {
    s->effects.timer = NODE_TIMER_ELECTION;
    start_order(s, start_value);
    memcpy(out, &s->effects, offsetof(struct node_effects, scratch));
}

static void order_write_number(struct stage *s, uint64_t value) { s->effects.write = value; }
static void order_one_packet(struct stage *s, uint64_t value) { order_packets(s, value); }
static void order_chunk(struct stage *s, uint64_t value) { s->effects.save_chunk = value; }
static void order_restore(struct stage *s, uint64_t value) { s->effects.apply_snapshot = value; }
static void order_first_apply(struct stage *s, uint64_t value) { s->effects.apply_to = value; }
static void order_save_vote(struct stage *s, uint64_t value) { s->effects.save_vote = value; }

static const struct rule_case start_cases[] = {
    {"view.role", order_role, NODE_LEADER + 1, NODE_FOLLOWER},
    {"view.vote", order_vote, 4, 3},
    {"view.term", order_term, 3, 2},
    {"view.last", order_last, UINT64_MAX, 4},
    {"save_chunk", order_chunk, 1, 0},
    {"write", order_write_number, 1, 0},
    {"write", order_save_vote, 1, 0},
    {"packet_count", order_one_packet, 1, 0},
    {"apply_snapshot", order_restore, 1, 0},
    {"apply_to", order_first_apply, 1, 0},
    {"answer_from", order_lone_answer, 1, 0},
    {"read_count", order_reads, 1, 0},
    {"timer", order_timer, NODE_TIMER_KEEP, NODE_TIMER_ELECTION},
    {"timer", order_timer, NODE_TIMER_HEARTBEAT + 1, NODE_TIMER_HEARTBEAT},
};

static const struct change *start_with(const struct rule_case *r, uint64_t value) {
    open_case();
    run_for(10 * SYNC_US);
    crash_now(1);
    stages[1].at_start = forge_start;
    start_order = r->order;
    start_value = value;
    return happen_now(EVENT_RESTART, 1);
}

/* Goal: "the effects only set a timer", and the first view keeps the rules, too. Method: as for
 * steps. */
Test(cluster, contract_of_a_start) {
    for (uint32_t i = 0; i < sizeof start_cases / sizeof start_cases[0]; i++) {
        const struct rule_case *r = &start_cases[i];
        const struct change *change = start_with(r, r->broken);
        cr_assert_str_eq(facts(change), "contract", "case %u, %s", i, r->field);
        cr_assert_str_eq(change->facts[0].u.breach.field, r->field);
        cr_assert_str_eq(facts(start_with(r, r->allowed)), "start", "case %u, %s", i, r->field);
    }
}
