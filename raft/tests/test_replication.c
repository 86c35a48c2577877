/* test_replication.c - log replication (5.3): what the leader sends, what a follower takes, and how
 * they agree. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "cluster.h"

/* "Raft handles this by having each leader commit a blank no-op entry into the log at the start of
 * its term" (8). */
Test(section_8, leader_starts_its_term_with_a_no_op) {
    struct node n;
    node_start(&n, (struct start){.term = 3, .log = "13"});
    node_elect(&n);
    assert_log(&n, "134");
    cr_assert_eq(raft_entry_at(&n.raft, 3)->type, RAFT_NOOP);
    cr_assert_eq(n.effects.save_from, 3);
    for (raft_id peer = 2; peer <= 3; peer++) {
        const struct raft_message *m = &sent_to(&n, RAFT_APPEND, peer)->message;
        cr_assert_eq(m->index, 2, "nextIndex is just after the last entry before the term");
        cr_assert_eq(m->index_term, 3);
        cr_assert_eq(m->entry_count, 1);
        cr_assert_eq(m->entries[0].term, 4);
        cr_assert_eq(m->entries[0].type, RAFT_NOOP);
    }
}

/* Entries follow each other without waiting for the answers (5.3, D 10.2.1), and each is sent once.
 */
Test(section_5_3, next_entry_does_not_wait_for_the_answer) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_propose(&n, 77);
    node_propose(&n, 78);
    cr_assert_eq(n.effects.refusal, RAFT_TAIL_MAX > 1 ? RAFT_ACCEPTED : RAFT_LOG_FULL);
    for (raft_id peer = 2; peer <= 3; peer++) {
        const struct raft_message *m = &sent_to(&n, RAFT_APPEND, peer)->message;
        cr_assert_eq(m->index, 2);
        cr_assert_eq(m->entry_count, 1);
        cr_assert_eq(m->entries[0].command, 78);
    }
    for (raft_index index = 2; index <= 3; index++) {
        node_receive(&n, message_accepted(2, 1, index));
        cr_assert_eq(n.effects.message_count, 0, "the answer to %" PRIu64, index);
    }
}

/* A lost message is sent again: "the leader retries AppendEntries RPCs indefinitely" (5.3). What
 * was confirmed is not. */
Test(section_5_3, heartbeats_repeat_what_was_not_answered) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_propose(&n, 77);
    node_receive(&n, message_accepted(2, 1, 2));
    node_timeout(&n);
    for (int i = 0; i < 3; i++) {
        node_timeout(&n);
        cr_assert_eq(sent_to(&n, RAFT_APPEND, 2)->message.entry_count, 0);
        cr_assert_eq(sent_to(&n, RAFT_APPEND, 3)->message.entry_count, 1);
        cr_assert_eq(sent_to(&n, RAFT_APPEND, 3)->message.index, 1);
    }
}

/* Answers the messages to node 2 until none is left; returns the last entry sent. Each message goes
 * on behind the one before, and is full while entries are left. */
static raft_index follow_batches(struct node *n, uint8_t batch_max) {
    raft_index sent = 0;
    for (unsigned count; (count = sent_count(n, RAFT_APPEND, 2)) > 0;) {
        for (unsigned i = 0; i < count; i++) {
            const struct raft_message *m = &sent_nth(n, RAFT_APPEND, 2, i)->message;
            raft_index left = n->raft.last - sent;
            cr_assert_eq(m->index, sent);
            cr_assert_eq(m->entry_count, left < batch_max ? left : batch_max);
            sent += m->entry_count;
        }
        node_receive(n, message_accepted(2, 2, sent));
    }
    return sent;
}

/* No message holds more than batch_max entries, and batches follow each other without a gap (5.3).
 */
Test(section_5_3, batches_are_limited) {
    char log[RAFT_LOG_MAX];
    log_repeat(log, '1', RAFT_LOG_MAX - 1);
    for (uint8_t batch_max = 1; batch_max <= RAFT_BATCH_MAX; batch_max++) {
        struct node n;
        node_start(&n, (struct start){.term = 1, .log = log, .config.batch_max = batch_max});
        node_elect(&n);
        node_receive(&n, message_rejected(2, 2, RAFT_LOG_MAX - 1, 0, 0));
        cr_assert_eq(follow_batches(&n, batch_max), RAFT_LOG_MAX, "with the no-op");
    }
}

/* Messages may be late, doubled and empty: what agrees with the log never shortens it (5.3). All
 * ranges of the log, of this leader and of an earlier one. */
Test(section_5_3, late_duplicate_and_empty_appends_remove_nothing) {
    static const char log[] = "1123333";
    struct node n;
    node_start(&n, (struct start){.term = 3, .log = log});
    for (raft_index from = 1; from <= 8; from++) {
        for (raft_index to = from - 1; to <= 7; to++) {
            node_receive(&n, message_append(2, 3, log, from, to));
            assert_log(&n, log);
            cr_assert_eq(n.effects.write, 0);
            const struct raft_message *m = &sent_alone(&n, RAFT_APPEND_REPLY, 2)->message;
            cr_assert(m->accepted);
            cr_assert_eq(m->index, to, "no more than this message is known to match");
        }
    }
    cr_assert_eq(n.raft.saved, 7);
}

/* What is committed, no leader contradicts (5.4.3): a message that does is wrong, and ignored. */
Test(section_5_4_3, committed_entries_are_never_rewritten) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "1222"});
    struct raft_message heartbeat = message_append(2, 2, "1222", 5, 4);
    heartbeat.commit = 3;
    node_receive(&n, heartbeat);
    cr_assert_eq(n.raft.commit, 3);
    const struct raft_message wrong[] = {message_append(3, 3, "1333", 2, 4),
                                         message_append(3, 3, "1233", 3, 3),
                                         message_append(3, 3, "1233", 4, 4)};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        node_receive(&n, wrong[i]);
        assert_log(&n, "1222");
        cr_assert_eq(n.effects.message_count, 0, "row %zu", i);
    }
}

/* An acknowledgement promises that the entries are stable: it waits for the write that holds them,
 * and for no later one (figure 2). */
Test(figure_2, acknowledgement_waits_for_the_write_of_its_entries) {
    struct node n;
    node_start(&n, (struct start){.term = 1});
    node_receive(&n, message_append(2, 1, "1111", 1, 2));
    raft_write first = n.effects.write;
    cr_assert_neq(first, 0);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, first);
    node_receive(&n, message_append(2, 1, "1111", 3, 4));
    raft_write second = n.effects.write;
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, second);
    for (raft_write durable = 0; durable <= second; durable++) {
        if (durable > 0) node_saved(&n, durable);
        node_receive(&n, message_append(2, 1, "1111", 1, 2));
        cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, durable < first ? first : 0);
        node_receive(&n, message_append(2, 1, "1111", 5, 4));
        cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, durable < second ? second : 0);
    }
}

/* A reply of a term that is not stable yet waits for it, though it promises no entry (5.1). */
Test(section_5_1, replies_wait_for_the_write_of_their_term) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "11"});
    node_receive(&n, message_append(2, 3, "11", 3, 2));
    raft_write write = n.effects.write;
    cr_assert(n.effects.save_vote);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, write);
    node_receive(&n, message_append(2, 3, "113", 4, 3));
    cr_assert_not(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.accepted);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, write);
    node_receive(&n, message_append(3, 2, "11", 3, 2));
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 3)->after, write, "it says term 3");
}

/* A reply repeats the round of the message, so that the leader knows since when it is followed (8):
 * also a rejection, but not one that tells a higher term, in which rounds are counted anew. */
Test(section_8, replies_repeat_the_round) {
    const struct raft_message rows[] = {
        message_append(2, 4, "14", 3, 2), message_append(2, 4, "144", 4, 3),
        message_append(2, 3, "14", 3, 2), message_chunk(2, 4, 9, 4, 0, 10),
        message_chunk(2, 4, 2, 4, 0, 10), message_chunk(2, 3, 9, 3, 0, 10)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        struct raft_message m = rows[i];
        m.tag = 77;
        node_start_as(&n, RAFT_FOLLOWER);
        node_receive(&n, m);
        cr_assert_eq(n.effects.message_count, 1);
        uint64_t tag = m.term == n.raft.term ? 77 : 0;
        cr_assert_eq(n.effects.messages[0].message.tag, tag, "row %zu", i);
    }
}

/* A rejection names the message it answers, and the highest entry of the follower that may still
 * match: below the one asked for, of a term not above (5.3). */
Test(section_5_3, rejection_says_how_far_back_to_go) {
    static const struct {
        const char *log, *leader;
        raft_index index, hint;
        raft_term hint_term;
    } rows[] = {
        {"", "1111", 4, 0, 0},           {"11", "1111", 4, 2, 1},   {"1123", "1111", 4, 2, 1},
        {"1333", "1222", 4, 1, 1},       {"1222", "1333", 4, 3, 2}, {"333333", "222", 3, 0, 0},
        {"1122334", "1111111", 7, 2, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 5, .log = rows[i].log});
        raft_index index = rows[i].index;
        node_receive(&n, message_append(2, 5, rows[i].leader, index + 1, index));
        const struct raft_message *m = &sent_alone(&n, RAFT_APPEND_REPLY, 2)->message;
        cr_assert_not(m->accepted, "row %zu", i);
        cr_assert_eq(m->index, index, "row %zu", i);
        cr_assert_eq(m->hint, rows[i].hint, "row %zu: hint %" PRIu64, i, m->hint);
        cr_assert_eq(m->index_term, rows[i].hint_term, "row %zu", i);
    }
}

/* Distinct terms of a log from `from` on. */
static unsigned terms_from(const char *log, size_t from) {
    unsigned count = 0;
    for (size_t i = from; i < strlen(log); i++) count += i == from || log[i] != log[i - 1];
    return count;
}

static size_t common_prefix(const char *a, const char *b) {
    size_t i = 0;
    while (a[i] != '\0' && a[i] == b[i]) i++;
    return i;
}

struct repair {
    const char *leader, *follower;
    bool leader_commits_first;
};

/* Repairs the log of node 2 by node 1, in the term 9; returns how many appends it rejected. */
static unsigned repair(const struct repair *logs) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.term = 8, .log = logs->leader});
    cluster_replace(&c, 2, (struct start){.term = 8, .log = logs->follower});
    c.cut = (raft_set)1 << 2;
    if (!logs->leader_commits_first) c.cut |= (raft_set)1 << 3;
    cluster_timeout(&c, 1);
    cluster_receive(&c, 1, message_grant(3, 9));
    cluster_settle(&c);
    c.cut = 0;
    c.rejection_count = 0;
    for (int i = 0; i < 2; i++) { /* The second heartbeat carries the commit index. */
        cluster_timeout(&c, 1);
        cluster_settle(&c);
    }
    cr_assert_eq(c.nodes[1].raft.role, RAFT_LEADER);
    cr_assert_eq(strlen(logs->leader) + 1, c.nodes[1].raft.last);
    cluster_assert_converged(&c);
    return c.rejection_count;
}

/* Each rejection skips a whole term of one of the two logs; one more finds a shorter log. */
static void assert_repair_is_fast(const struct repair *logs) {
    size_t same = common_prefix(logs->leader, logs->follower);
    unsigned limit = 1 + terms_from(logs->leader, same) + terms_from(logs->follower, same);
    unsigned count = repair(logs);
    cr_assert_leq(count, limit, "leader \"%s\", follower \"%s\": %u rejections, not %u",
                  logs->leader, logs->follower, count, limit);
}

static const struct repair conflicts[] = {
    {.leader = "", .follower = ""},
    {.leader = "1", .follower = ""},
    {.leader = "", .follower = "1111111"},
    {.leader = "11111111111", .follower = ""},
    {.leader = "11111111111", .follower = "11111"},
    {.leader = "22222222222", .follower = "11111111111"},
    {.leader = "11111111111", .follower = "22222222222"},
    {.leader = "12222222222", .follower = "1111111"},
    {.leader = "1333333", .follower = "12222222222"},
    {.leader = "12222222222", .follower = "1333333"},
    {.leader = "1114455666", .follower = "11122233333"},
    {.leader = "1114455666", .follower = "1114444"},
    {.leader = "1114455666", .follower = "111445566677"},
    {.leader = "11335577", .follower = "11224466"},
    {.leader = "11224466", .follower = "113355777"},
    {.leader = "1357", .follower = "2468"},
};

/* The log that begins with an entry of term 1, and goes on with up to five of three other terms. */
static char *log_of_counts(char *log, unsigned counts, const char *terms) {
    char *end = log;
    *end++ = '1';
    for (int i = 0; i < 3; i++, counts /= 6) {
        log_repeat(end, terms[i], counts % 6);
        end += counts % 6;
    }
    return log;
}

/* All pairs of such logs, with no term in common: nothing but the first entry matches. */
static void assert_small_repairs_are_fast(bool leader_commits_first) {
    char leader[17], follower[17];
    for (unsigned a = 0; a < 6 * 6 * 6; a++) {
        if (strlen(log_of_counts(leader, a, "357")) > 6) continue;
        for (unsigned b = 0; b < 6 * 6 * 6; b++) {
            if (strlen(log_of_counts(follower, b, "246")) > 6) continue;
            assert_repair_is_fast(&(struct repair){leader, follower, leader_commits_first});
        }
    }
}

/* "The protocol can be optimized to reduce the number of rejected AppendEntries RPCs ... one
 * AppendEntries RPC will be required for each term with conflicting entries" (5.3). */
Test(section_5_3, one_rejection_skips_a_conflicting_term) {
    for (size_t i = 0; i < sizeof conflicts / sizeof conflicts[0]; i++)
        assert_repair_is_fast(&conflicts[i]);
    assert_small_repairs_are_fast(false);
}

/* The same when the leader has committed its whole log before the follower comes back (5.3): an old
 * leader that was cut off with commands of its own. */
Test(section_5_3, one_rejection_skips_a_term_that_the_leader_has_committed) {
    for (size_t i = 0; i < sizeof conflicts / sizeof conflicts[0]; i++) {
        struct repair logs = conflicts[i];
        logs.leader_commits_first = true;
        assert_repair_is_fast(&logs);
    }
    assert_small_repairs_are_fast(true);
}

/* Figure 7: the leader of term 8 brings the logs (a) to (f) into line with its own (5.3). */
Test(section_5_3, figure_7_all_followers_end_with_the_log_of_the_leader) {
    static const char *const logs[] = {"111445566",    "1114",    "11144556666",
                                       "111445566677", "1114444", "11122233333"};
    static struct cluster c;
    cluster_start(&c, 7, (struct start){.term = 7, .log = "1114455666"});
    for (raft_id id = 2; id <= 7; id++)
        cluster_replace(&c, id, (struct start){.term = 7, .log = logs[id - 2]});
    cluster_timeout(&c, 1);
    cluster_settle(&c);
    cr_assert_eq(c.nodes[1].raft.role, RAFT_LEADER, "(a), (b), (e) and (f) vote for it");
    cr_assert_eq(c.nodes[1].raft.term, 8);
    cluster_timeout(&c, 1);
    cluster_settle(&c);
    for (raft_id id = 1; id <= 7; id++) assert_log(&c.nodes[id], "11144556668");
    cluster_assert_converged(&c);
}

/* A rejection that answers another message than the last one says nothing now: late, double, or
 * below what is known to match (5.3). */
Test(section_5_3, stale_rejections_are_ignored) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "111111"});
    node_elect(&n);
    node_receive(&n, message_rejected(2, 2, 6, 4, 1));
    cr_assert_eq(n.raft.peers[2].next, 5);
    const struct raft_message stale[] = {
        message_rejected(2, 2, 6, 4, 1), message_rejected(2, 2, 5, 0, 0),
        message_rejected(2, 2, 3, 0, 0), message_rejected(2, 1, 4, 0, 0),
        message_rejected(2, 2, 4, 4, 1), message_rejected(2, 2, 4, 9, 1),
        message_rejected(2, 2, 9, 0, 0), message_rejected(2, 2, 0, 0, 0)};
    for (size_t i = 0; i < sizeof stale / sizeof stale[0]; i++) {
        node_receive(&n, stale[i]);
        assert_no_effects(&n);
        cr_assert_eq(n.raft.peers[2].next, 5, "row %zu", i);
    }
    node_receive(&n, message_accepted(2, 2, 4));
    node_receive(&n, message_rejected(2, 2, 4, 2, 1));
    cr_assert_eq(n.raft.peers[2].next, 8, "entry 4 matches, the others are under way");
    assert_no_effects(&n);
}

/* Only entries that the leader has can match (5.3). */
Test(section_5_3, acknowledgement_beyond_the_log_is_ignored) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "11"});
    node_elect(&n);
    node_receive(&n, message_accepted(2, 2, 4));
    cr_assert_eq(n.raft.peers[2].match, 0);
    assert_no_effects(&n);
}

/* Progress is the leader's of one term: a new one starts from nothing (5.3, figure 2). */
Test(section_5_3, new_leader_knows_nothing_of_its_peers) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_receive(&n, message_append(2, 2, "12", 2, 2));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    node_elect(&n);
    for (raft_id peer = 2; peer <= 3; peer++) {
        cr_assert_eq(n.raft.peers[peer].match, 0);
        cr_assert_eq(n.raft.peers[peer].next, 3);
    }
}
