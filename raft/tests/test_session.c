/* test_session.c - client sessions (D 6.3), rule by rule.
 *
 *     each command of a session is executed once, however often it is in the log
 *     a retry gets the reply of the first
 *     the number of sessions is bounded; the one that was quiet for longest expires, on all servers
 *       alike, for it follows from the log
 *     a command of a session that is gone is not executed: nobody knows whether it was before */
#include "session.h"

#include <criterion/criterion.h>
#include <string.h>

#include "cluster.h"
#include "dice.h"

/* ---- against a naive twin that keeps all history ---- */

enum { HISTORY = 400, SERIALS = 6 };

struct twin {
    bool is_open[HISTORY];                 /* By id of the session. */
    raft_index last[HISTORY];              /* Its last entry. */
    raft_index executed[HISTORY][SERIALS]; /* Where; 0: not yet. */
};

static void twin_open(struct twin *t, raft_index index) {
    raft_index open = 0, quietest = 0;
    for (raft_index id = 1; id < HISTORY; id++) {
        if (!t->is_open[id]) continue;
        open++;
        if (quietest == 0 || t->last[id] < t->last[quietest]) quietest = id;
    }
    if (open == RAFT_SESSIONS_MAX) t->is_open[quietest] = false;
    t->is_open[index] = true;
    t->last[index] = index;
}

static enum raft_verdict twin_execute(struct twin *t, raft_index id, uint64_t serial,
                                      raft_index index) {
    if (id >= HISTORY || !t->is_open[id]) return RAFT_EXPIRED;
    t->last[id] = index;
    for (uint64_t later = serial; later < SERIALS; later++)
        if (t->executed[id][later] != 0) return RAFT_DUPLICATE;
    t->executed[id][serial] = index;
    return RAFT_EXECUTED;
}

static enum raft_verdict twin_apply(struct twin *t, const struct raft_entry *e, raft_index index) {
    if (e->type == RAFT_SESSION) twin_open(t, index);
    if (e->type != RAFT_COMMAND || e->session == 0) return RAFT_EXECUTED;
    return twin_execute(t, e->session, e->serial, index);
}

static raft_index last_executed(const struct twin *t, raft_index id) {
    raft_index last = 0;
    for (uint64_t serial = 1; serial < SERIALS; serial++)
        if (t->executed[id][serial] > last) last = t->executed[id][serial];
    return last;
}

static void assert_same_sessions(const struct twin *t, const struct raft_session *sessions) {
    raft_index open = 0, found = 0;
    for (raft_index id = 1; id < HISTORY; id++) open += t->is_open[id];
    for (uint32_t i = 0; i < RAFT_SESSIONS_MAX; i++) {
        const struct raft_session *s = &sessions[i];
        if (s->id == 0) continue;
        found++;
        cr_assert(t->is_open[s->id]);
        cr_assert_eq(s->active, t->last[s->id]);
        cr_assert_eq(s->reply, last_executed(t, s->id));
        if (s->reply != 0) cr_assert_eq(t->executed[s->id][s->serial], s->reply);
    }
    cr_assert_eq(found, open);
    cr_assert_leq(open, RAFT_SESSIONS_MAX);
}

/* Few sessions or many, which come and go; commands that are new, double, late, and of nobody. */
static struct raft_entry roll_entry(uint64_t *dice, raft_index index, uint64_t openness) {
    struct raft_entry e = {.term = 1, .type = RAFT_COMMAND};
    if (roll(dice, openness) == 0) {
        e.type = RAFT_SESSION;
    } else if (roll(dice, 16) == 0) {
        e.type = roll(dice, 2) == 0 ? RAFT_NOOP : RAFT_MEMBERS;
    } else {
        raft_index back = roll(dice, 2) == 0 ? 20 : 200;
        e.session = index > back ? index - roll(dice, back) : roll(dice, index + 1);
        e.serial = 1 + roll(dice, SERIALS - 1);
    }
    return e;
}

Test(section_D_6_3, agrees_with_a_twin_that_keeps_all_history) {
    uint64_t dice = 4;
    unsigned verdicts[3] = {0};
    for (uint32_t life = 0; life < 300; life++) {
        static struct twin t;
        struct raft_session sessions[RAFT_SESSIONS_MAX] = {0};
        memset(&t, 0, sizeof t);
        uint64_t openness = 2 + roll(&dice, 20);
        for (raft_index index = 1; index < HISTORY; index++) {
            struct raft_entry e = roll_entry(&dice, index, openness);
            enum raft_verdict verdict = raft_session_apply(sessions, &e, index);
            cr_assert_eq(verdict, twin_apply(&t, &e, index));
            assert_same_sessions(&t, sessions);
            if (e.type == RAFT_COMMAND) verdicts[verdict]++;
        }
    }
    for (int i = 0; i < 3; i++) cr_assert_gt(verdicts[i], 1000, "verdict %d", i);
}

/* ---- the rules ---- */

static enum raft_verdict run(struct raft_session *sessions, raft_index session, uint64_t serial,
                             raft_index index) {
    struct raft_entry e = {.type = RAFT_COMMAND, .session = session, .serial = serial};
    return raft_session_apply(sessions, &e, index);
}

static void open_session(struct raft_session *sessions, raft_index index) {
    struct raft_entry e = {.type = RAFT_SESSION};
    cr_assert_eq(raft_session_apply(sessions, &e, index), RAFT_EXECUTED);
}

/* "If a server receives a command whose serial number has already been executed, it responds
 * immediately without re-executing the request": with the reply of the last one. */
Test(section_D_6_3, command_is_executed_once) {
    struct raft_session sessions[RAFT_SESSIONS_MAX] = {0};
    open_session(sessions, 5);
    cr_assert_eq(run(sessions, 5, 1, 6), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 5, 1, 7), RAFT_DUPLICATE);
    cr_assert_eq(sessions[0].reply, 6);
    cr_assert_eq(run(sessions, 5, 2, 8), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 5, 2, 9), RAFT_DUPLICATE);
    cr_assert_eq(run(sessions, 5, 1, 10), RAFT_DUPLICATE, "late");
    cr_assert_eq(sessions[0].reply, 8);
    cr_assert_eq(run(sessions, 5, 9, 11), RAFT_EXECUTED, "serials may have gaps");
    cr_assert_eq(run(sessions, 6, 1, 12), RAFT_EXPIRED, "no such session");
    cr_assert_eq(run(sessions, 0, 1, 13), RAFT_EXECUTED, "no session, no promise");
    cr_assert_eq(run(sessions, 0, 1, 14), RAFT_EXECUTED);
}

/* Two clients do not disturb each other: their serials are their own. */
Test(section_D_6_3, sessions_are_apart) {
    struct raft_session sessions[RAFT_SESSIONS_MAX] = {0};
    open_session(sessions, 1);
    open_session(sessions, 2);
    cr_assert_eq(run(sessions, 1, 7, 3), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 2, 7, 4), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 2, 6, 5), RAFT_DUPLICATE);
    cr_assert_eq(run(sessions, 1, 8, 6), RAFT_EXECUTED);
}

/* "One option is to set an upper bound on the number of sessions and remove entries using an LRU
 * policy": any entry of a session counts as its use, also a retry. */
Test(section_D_6_3, session_that_was_quiet_for_longest_expires) {
    struct raft_session sessions[RAFT_SESSIONS_MAX] = {0};
    for (raft_index id = 1; id <= RAFT_SESSIONS_MAX; id++) open_session(sessions, id);
    cr_assert_eq(run(sessions, 1, 1, 20), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 2, 1, 21), RAFT_EXECUTED);
    cr_assert_eq(run(sessions, 1, 1, 22), RAFT_DUPLICATE);
    for (raft_index i = 0; i < RAFT_SESSIONS_MAX - 1; i++) open_session(sessions, 30 + i);
    cr_assert_eq(run(sessions, 3, 1, 50), RAFT_EXPIRED);
    cr_assert_eq(run(sessions, 2, 1, 51), RAFT_EXPIRED, "used before 1 was");
    cr_assert_eq(run(sessions, 1, 1, 52), RAFT_DUPLICATE);
    cr_assert_eq(run(sessions, 1, 2, 53), RAFT_EXECUTED);
}

/* ---- in a node ---- */

static void retry(struct cluster *c, raft_id id, uint64_t command, raft_index session,
                  uint64_t serial) {
    struct raft_event event = {.type = RAFT_PROPOSE,
                               .u.propose = {RAFT_COMMAND, command, session, serial}};
    cluster_step(c, id, &event);
    cr_assert_eq(c->refusal, RAFT_ACCEPTED);
    cluster_settle(c);
}

static raft_index open_at(struct cluster *c, raft_id id) {
    struct raft_event event = {.type = RAFT_PROPOSE, .u.propose = {RAFT_SESSION, 0, 0, 0}};
    cluster_step(c, id, &event);
    cr_assert_eq(c->refusal, RAFT_ACCEPTED);
    cluster_settle(c);
    return c->nodes[id].raft.last;
}

static void assert_verdict(const struct cluster *c, raft_id id, enum raft_verdict verdict) {
    const struct raft *r = &c->nodes[id].raft;
    cr_assert_eq(raft_verdict_at(r, r->commit), verdict);
}

/* The verdict is there when the entry is committed, with the entry as it was proposed. */
Test(section_D_6_3, verdict_comes_with_the_commit) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 1});
    node_open(&n);
    node_save(&n);
    raft_index session = n.raft.last;
    static const enum raft_verdict verdicts[] = {RAFT_EXECUTED, RAFT_DUPLICATE, RAFT_EXPIRED};
    for (uint64_t i = 0; i < 3; i++) {
        node_retry(&n, 77, session + (i == 2), 5);
        node_save(&n);
        cr_assert_eq(n.effects.answer_from, n.raft.commit);
        const struct raft_entry *e = raft_entry_at(&n.raft, n.raft.commit);
        cr_assert(e->command == 77 && e->session == session + (i == 2) && e->serial == 5);
        cr_assert_eq(raft_verdict_at(&n.raft, n.raft.commit), verdicts[i]);
    }
}

/* What opens a session belongs to none: what its type has no use for is 0 (raft.h). */
Test(section_D_6_3, entry_that_opens_a_session_has_none) {
    struct node n;
    node_lead(&n, (struct start){0});
    struct raft_event event = {.type = RAFT_PROPOSE, .u.propose = {RAFT_SESSION, 77, 5, 6}};
    node_step(&n, &event);
    const struct raft_entry *e = raft_entry_at(&n.raft, n.raft.last);
    cr_assert(e->type == RAFT_SESSION && e->command == 77);
    cr_assert(e->session == 0 && e->serial == 0);
}

/* A client whose leader is gone asks the next one: the command was committed, and is not executed
 * again. The state of all is the same as after one execution. */
Test(section_D_6_3, retry_at_another_leader_is_a_duplicate) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    raft_index session = open_at(&c, 1);
    retry(&c, 1, 77, session, 1);
    uint64_t state = c.states[1];
    c.cut = ids("1");
    cluster_run(&c, 2, 2);
    retry(&c, 2, 77, session, 1);
    assert_verdict(&c, 2, RAFT_DUPLICATE);
    cr_assert_eq(c.states[2], state);
    c.cut = 0;
    cluster_run(&c, 2, 2);
    cluster_assert_converged(&c);
    retry(&c, 2, 78, session, 2);
    assert_verdict(&c, 2, RAFT_EXECUTED);
}

/* The sessions are part of a snapshot (D 6.3, 7): it reaches a server that was away, which restarts
 * from it, leads, and knows what was executed. */
Test(section_D_6_3, sessions_survive_snapshot_and_restart) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config.chunk_max = 30});
    c.cut = ids("3");
    cluster_run(&c, 1, 2);
    raft_index session = open_at(&c, 1);
    retry(&c, 1, 77, session, 1);
    cluster_compact(&c, 1);
    c.cut = 0;
    cluster_run(&c, 1, 2);
    cluster_assert_converged(&c);
    cr_assert_eq(c.nodes[3].raft.snapshot.index, session + 1, "it came by snapshot");
    uint64_t state = c.states[3];
    cluster_restart(&c, 3);
    cluster_run(&c, 3, 2);
    cr_assert_eq(cluster_leader(&c), 3);
    retry(&c, 3, 77, session, 1);
    assert_verdict(&c, 3, RAFT_DUPLICATE);
    cr_assert_eq(c.states[3], state);
    retry(&c, 3, 78, session, 2);
    assert_verdict(&c, 3, RAFT_EXECUTED);
    cluster_run(&c, 3, 2);
    cluster_assert_converged(&c);
}

/* A snapshot that ends below the commit index holds the sessions as of its end; what comes after it
 * is executed again after a restart, with the same verdicts. */
Test(section_D_6_3, snapshot_holds_the_sessions_as_of_its_end) {
    struct node n;
    node_lead(&n, (struct start){.voter_count = 1});
    node_open(&n);
    node_save(&n);
    raft_index session = n.raft.last;
    for (uint64_t serial = 1; serial <= 3; serial++) {
        node_retry(&n, 77, session, serial);
        node_save(&n);
    }
    node_retry(&n, 77, session, 3);
    node_save(&n);
    node_compact(&n, session + 2);
    cr_assert_eq(raft_verdict_at(&n.raft, session + 3), RAFT_EXECUTED);
    cr_assert_eq(raft_verdict_at(&n.raft, session + 4), RAFT_DUPLICATE);
    cr_assert_eq(n.raft.snapshot.sessions[0].serial, 2);
    cr_assert_eq(n.raft.snapshot.sessions[0].reply, session + 2);
    cr_assert_eq(n.raft.sessions[0].serial, 3);
    node_save(&n);
    node_restart(&n);
    cr_assert_eq(n.raft.sessions[0].serial, 2);
    node_elect(&n);
    node_agree(&n);
    cr_assert_eq(raft_verdict_at(&n.raft, session + 3), RAFT_EXECUTED);
    cr_assert_eq(raft_verdict_at(&n.raft, session + 4), RAFT_DUPLICATE);
    cr_assert_eq(n.raft.sessions[0].serial, 3);
}

/* What is cut off was never executed: the sessions follow what is committed, not what is in the log
 * (5.3). */
Test(section_D_6_3, uncommitted_commands_leave_no_trace) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "1"});
    struct raft_message m = message_append(2, 1, "1111", 2, 4);
    m.entries[0] = (struct raft_entry){.term = 1, .type = RAFT_SESSION};
    m.entries[1].session = 2;
    m.entries[1].serial = 1;
    m.commit = 2;
    node_receive(&n, m);
    cr_assert_eq(n.raft.sessions[0].id, 2);
    cr_assert_eq(n.raft.sessions[0].serial, 0);
    m = message_append(3, 2, "1122", 3, 3);
    m.entries[0].session = 2;
    m.entries[0].serial = 1;
    m.commit = 3;
    node_receive(&n, m);
    cr_assert_eq(raft_verdict_at(&n.raft, 3), RAFT_EXECUTED);
    cr_assert_eq(n.raft.sessions[0].reply, 3);
}
