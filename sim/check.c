/* check.c - the table of checks, and who looks at which fact. */
#include "check.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shadow.h"

const struct check check_table[CHECK_COUNT] = {
    [CHECK_CONTRACT] = {"contract", "node.h", "what a node answers is what node.h allows"},
    [CHECK_ELECTION_SAFETY] = {"election-safety", "5.2", "at most one leader for a term, ever"},
    [CHECK_LEADER_APPEND_ONLY] = {"leader-append-only", "5.3",
                                  "a leader never changes or drops an entry of its own log"},
    [CHECK_LOG_MATCHING] = {"log-matching", "5.3",
                            "entries of the same index and term have the same past"},
    [CHECK_LEADER_COMPLETENESS] = {"leader-completeness", "5.4",
                                   "a leader has all that was committed in earlier terms"},
    [CHECK_STATE_MACHINE_SAFETY] = {"state-machine-safety", "5.4.3",
                                    "commit and apply follow one chain, in order, without gaps"},
    [CHECK_COMMIT_QUORUM] = {"commit-quorum", "5.4.2",
                             "a leader commits what a quorum has synced, of its own term"},
    [CHECK_COMMITTED_DURABILITY] = {"committed-durability", "5.4.1",
                                    "no log that lacks a committed entry could win an election"},
    [CHECK_VOTE_ONCE] = {"vote-once", "5.2",
                         "the disk keeps a vote, and holds what a packet promises when it leaves"},
    [CHECK_MONOTONIC] = {"monotonic", "5.1",
                         "term, commit and match never fall; next is above match"},
    [CHECK_MATCH_TRUTH] = {"match-truth", "5.3", "a leader's match is durable on the peer"},
    [CHECK_CONFIGURATION] = {"configuration", "D 4.1",
                             "one change at a time, quorums that meet, in force as the log says"},
    [CHECK_RECOVERY] = {"recovery", "5.1",
                        "a restart reads what was synced, then a prefix of what was pending"},
    [CHECK_ACKNOWLEDGED] = {"acknowledged", "8", "a command is committed when its client is told"},
    [CHECK_CLIENT_ORDER] = {"client-order", "D 6.3",
                            "the commands of a client are executed in its order"},
    [CHECK_EXACTLY_ONCE] = {"exactly-once", "D 6.3",
                            "no command is executed twice; a duplicate was executed before"},
    [CHECK_LINEARIZABLE_READS] = {"linearizable-reads", "D 6.4",
                                  "a read sees all that was shown to a client before it began"},
    [CHECK_PREVOTE] = {"pre-vote", "D 9.6",
                       "pre-votes of a quorum precede a campaign, and who grants one would vote"},
    [CHECK_SHADOW] = {"shadow", "5.3", "logs change only as the node's effects declare"},
    [CHECK_TRANSFER] = {"transfer", "D 3.10",
                        "only a leader hands over; when all is calm it succeeds, in the next term"},
    [CHECK_STABILITY] = {"stability", "5.2",
                         "once the cluster has settled and all is calm, its leader stays"},
    [CHECK_PROGRESS] = {"progress", "5.2",
                        "once faults end, the cluster elects, commits, converges"},
};

bool check_find(const char *name, enum check_id *out) {
    for (int i = 0; i < CHECK_COUNT; i++) {
        if (strcmp(check_table[i].name, name) != 0) continue;
        *out = (enum check_id)i;
        return true;
    }
    return false;
}

struct checks *checks_new(void) { return calloc(1, sizeof(struct checks)); }

void checks_free(struct checks *k) { free(k); }

size_t checks_size(void) { return sizeof(struct checks); }

static void reset_node(struct node_shadow *n) {
    n->is_alive = false;
    n->is_wiped = false;
    n->applied = 0;
    n->term = 0;
    n->vote = 0;
    n->promised_term = 0;
    n->promised_candidate = 0;
    n->prevote = (struct prevote_shadow){0};
    n->snapshot = (struct node_snapshot){0};
    n->first = 0;
    n->pending = 0;
    n->memory.base = n->memory.last = 0;
    n->memory.base_record = HISTORY_ROOT;
    n->disk.base = n->disk.last = 0;
    n->disk.base_record = HISTORY_ROOT;
}

void checks_reset(struct checks *k, uint32_t enabled, const struct cluster_config *config) {
    uint64_t terms = k->term_max < CHECK_TERMS_MAX ? k->term_max + 1 : CHECK_TERMS_MAX;
    memset(k->leaders, 0, terms * sizeof k->leaders[0]);
    k->enabled = enabled;
    k->violation.is_found = false;
    k->undecided = NULL;
    k->compare_at = 0;
    k->node_count = (node_id)(config->nodes + config->spares);
    k->first_count = (node_id)config->nodes;
    k->chain_last = 0;
    k->chain_applied = 0;
    k->term_max = 0;
    k->electable_in = (struct node_members){0};
    k->shown = 0;
    memset(k->clients, 0, sizeof k->clients);
    history_reset(&k->history, &(struct node_members){.voters = cluster_first(config->nodes)});
    *chain_at(k, 0) = (struct chain_entry){.record = HISTORY_ROOT};
    for (node_id id = 1; id <= k->node_count; id++) reset_node(&k->nodes[id]);
}

void check_fail(struct checks *k, const struct cluster *c, enum check_id check, const char *format,
                ...) {
    if (!(k->enabled >> check & 1)) return;
    if (k->violation.is_found && k->violation.check <= check) return;
    k->violation.is_found = true;
    k->violation.check = check;
    k->violation.step = c->steps;
    va_list args;
    va_start(args, format);
    vsnprintf(k->violation.text, sizeof k->violation.text, format, args);
    va_end(args);
}

/* Most steps change nothing that a check looks at, but what a leader knows of a peer. */
static bool changes_nothing(const struct cluster *c, const struct change *change, node_id id) {
    const struct node_view *before = change->before, *after = cluster_view(c, id);
    return change->effects->save_from == 0 && !change->effects->save_snapshot &&
           before->term == after->term && before->role == after->role &&
           before->commit == after->commit && before->last == after->last &&
           before->snapshot.index == after->snapshot.index;
}

static void observe_step(struct checks *k, const struct cluster *c, const struct change *change,
                         node_id id) {
    bool is_quiet = changes_nothing(c, change, id);
    if (!is_quiet) check_log_step(k, c, change, id);
    check_prevote_step(k, c, change, id, is_quiet);
    check_election_step(k, c, change->before, id);
    check_goal_step(k, c, id);
    if (is_quiet) return;
    check_commit_step(k, c, change, id);
    check_config_step(k, c, change, id);
}

/* Of a node that does not keep to node.h nothing is known. */
static void check_contract(struct checks *k, const struct cluster *c, const struct fact *fact) {
    const struct contract_breach *b = &fact->u.breach;
    check_fail(k, c, CHECK_CONTRACT, "n%u answers %s %llu; node.h says: %s", fact->node, b->field,
               (ull)b->value, b->rule);
    k->undecided = "a node that breaks the contract of node.h";
}

static void observe(struct checks *k, const struct cluster *c, const struct change *change,
                    const struct fact *fact) {
    switch (fact->type) {
    case FACT_STEP: observe_step(k, c, change, fact->node); return;
    case FACT_WRITE:
    case FACT_DURABLE:
    case FACT_LEAVE: check_disk_fact(k, c, change, fact); return;
    case FACT_PREVOTE: check_prevote_grant(k, c, fact); return;
    case FACT_RESTORE:
    case FACT_APPLY: check_commit_fact(k, c, fact); return;
    case FACT_ANSWER:
        check_commit_fact(k, c, fact);
        check_client_fact(k, c, fact);
        return;
    case FACT_READ:
    case FACT_SERVE: check_client_fact(k, c, fact); return;
    case FACT_START:
        check_disk_fact(k, c, change, fact);
        check_log_start(k, c, fact->node);
        check_prevote_start(k, fact->node);
        check_config_compare(k, c, fact->node);
        return;
    case FACT_CONTRACT: check_contract(k, c, fact); return;
    case FACT_CRASH: k->nodes[fact->node].is_alive = false; return;
    case FACT_WIPE: check_disk_fact(k, c, change, fact); return;
    }
    assert(false);
}

void checks_observe(struct checks *k, const struct cluster *c, const struct change *change) {
    const struct fact *fact = change->facts, *end = fact + change->fact_count;
    for (; fact < end && k->undecided == NULL; fact++) observe(k, c, change, fact);
    enum { COMPARE_STEPS = 1024 };
    if (c->steps < k->compare_at || k->undecided != NULL) return;
    k->compare_at = c->steps + COMPARE_STEPS;
    checks_compare(k, c);
}

void checks_compare(struct checks *k, const struct cluster *c) {
    for (node_id id = 1; id <= k->node_count; id++) {
        if (!k->nodes[id].is_alive)
            continue; /* Its disk may keep writes that its start will tell. */
        check_log_compare(k, c, id);
        check_disk_compare(k, c, id);
        check_config_compare(k, c, id);
    }
}

/* A bounded log can fill up with the no-ops of leaders that fell before they could commit. Then
 * nobody may lead, and what it holds may have been promised: that is a limit, not a violation. */
static bool has_full_log(const struct checks *k, const struct cluster *c) {
    for (node_set rest = c->core; rest != 0; rest &= rest - 1) {
        const struct node_view *v = cluster_view(c, (node_id)__builtin_ctzll(rest));
        bool is_full = v->last - v->snapshot.index >= c->impl->log_max;
        if (is_full && v->last >= k->chain_last + c->impl->log_max / 2) return true;
    }
    return false;
}

/* What a leader is in the midst of, which may be why. */
static void describe_task(const struct checks *k, const struct cluster *c, node_id leader,
                          char *text, size_t size) {
    const struct node_members *members = shadow_members(k, leader, &k->nodes[leader].memory);
    node_id transfer = cluster_view(c, leader)->transfer;
    const char *change = members->outgoing != 0 ? ", in a joint configuration" : "";
    if (transfer != 0) snprintf(text, size, "%s, handing over to n%u", change, transfer);
    else snprintf(text, size, "%s", change);
}

void checks_stalled(struct checks *k, const struct cluster *c) {
    if (c->goal.stage == GOAL_HANDOVER) {
        check_goal_late(k, c);
        return;
    }
    if (has_full_log(k, c)) {
        k->undecided = "a log is full of entries that no leader could commit";
        return;
    }
    node_id leader = 0;
    for (node_id id = 1; id <= k->node_count; id++)
        if ((c->core >> id & 1) && c->processes[id].is_alive &&
            cluster_view(c, id)->role == NODE_LEADER)
            leader = id;
    if (leader == 0) {
        check_fail(k, c, CHECK_PROGRESS, "no leader in the calm phase at %llu us",
                   (ull)c->clock_us);
        return;
    }
    const struct node_view *v = cluster_view(c, leader);
    char task[60];
    describe_task(k, c, leader, task, sizeof task);
    check_fail(
        k, c, CHECK_PROGRESS,
        "n%u leads term %llu with commit %llu of %llu%s, but the core has not converged at %llu us",
        leader, (ull)v->term, (ull)v->commit, (ull)v->last, task, (ull)c->clock_us);
}

const struct violation *checks_violation(const struct checks *k) {
    return k->violation.is_found ? &k->violation : NULL;
}

const char *checks_undecided(const struct checks *k) { return k->undecided; }
