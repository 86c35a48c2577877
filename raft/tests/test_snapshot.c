/* test_snapshot.c - log compaction and InstallSnapshot (7). */
#include <criterion/criterion.h>
#include <string.h>

#include "cluster.h"

/* A follower of node 2 in `term` that holds this log and has committed up to `commit`. */
static void start_follower(struct node *n, raft_term term, const char *log, raft_index commit) {
    node_start(n, (struct start){.term = term, .log = log});
    raft_index last = strlen(log);
    struct raft_message m = message_append(2, term, log, last + 1, last);
    m.commit = commit;
    node_receive(n, m);
    cr_assert_eq(n->raft.commit, commit);
}

/* "Once a server completes writing a snapshot, it may delete all log entries up through the last
 * included index" (7); the others keep index, term and command. */
Test(section_7, compaction_drops_the_prefix) {
    static const char log[] = "112333";
    static const raft_term terms[] = {0, 1, 1, 2, 3, 3, 3};
    for (raft_index index = 1; index <= 4; index++) {
        struct node n;
        start_follower(&n, 3, log, 4);
        node_compact(&n, index);
        assert_log(&n, &log[index]);
        for (raft_index i = index + 1; i <= 6; i++)
            cr_assert_eq(raft_entry_at(&n.raft, i)->command, command_at(i, terms[i]));
        cr_assert_eq(n.raft.snapshot.index, index);
        cr_assert_eq(n.raft.snapshot.term, terms[index]);
        cr_assert_eq(n.raft.snapshot.state, state_at(index));
        cr_assert(n.effects.save_snapshot);
        cr_assert_neq(n.effects.write, 0);
        cr_assert_eq(n.effects.save_from, 0, "the entries above are not written again");
        cr_assert_not(n.effects.apply_snapshot);
    }
}

/* A snapshot ends with "the last entry the state machine had applied" (7), which is committed; here
 * it must also be durable. Anything else is ignored, and so is what has been dropped already. */
Test(section_7, compaction_needs_a_committed_durable_entry) {
    struct node n;
    start_follower(&n, 1, "1111", 2);
    static const raft_index not_committed[] = {3, 4, 5, UINT64_MAX, 0};
    for (size_t i = 0; i < sizeof not_committed / sizeof not_committed[0]; i++) {
        node_compact(&n, not_committed[i]);
        assert_no_effects(&n);
    }
    node_compact(&n, 2);
    cr_assert_eq(n.raft.snapshot.index, 2);
    for (raft_index older = 0; older <= 2; older++) {
        node_compact(&n, older);
        assert_no_effects(&n);
    }
    struct raft_message m = message_append(2, 1, "11111", 5, 5);
    m.commit = 5;
    node_receive(&n, m);
    cr_assert_eq(n.raft.commit, 5);
    node_compact(&n, 5);
    assert_no_effects(&n);
    node_save(&n);
    node_compact(&n, 5);
    cr_assert_eq(n.raft.snapshot.index, 5);
}

/* The entries above the snapshot stay with the writes that hold them (7). */
Test(section_7, compaction_leaves_pending_entries_pending) {
    struct node n;
    start_follower(&n, 1, "1111", 4);
    node_receive(&n, message_append(2, 1, "111111", 5, 5));
    raft_write first = n.effects.write;
    node_receive(&n, message_append(2, 1, "111111", 6, 6));
    node_compact(&n, 3);
    cr_assert_eq(n.raft.saved, 4);
    node_saved(&n, first);
    cr_assert_eq(n.raft.saved, 5);
    node_save(&n);
    cr_assert_eq(n.raft.saved, 6);
}

/* The consistency check of the entry after the snapshot compares the snapshot's own term (7). */
Test(section_7, consistency_check_at_the_end_of_the_snapshot) {
    static const struct raft_snapshot snapshot = {.index = 3, .term = 2};
    struct node n;
    node_start(&n, (struct start){.term = 3, .snapshot = snapshot});
    node_receive(&n, message_append(2, 3, "1113", 4, 4));
    cr_assert_eq(n.effects.message_count, 0, "no leader contradicts what is committed");
    assert_log(&n, "");
    node_receive(&n, message_append(2, 3, "1123", 4, 4));
    cr_assert(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.accepted);
    assert_log(&n, "3");
}

/* A restart begins with the snapshot: what it covers is committed and applied (7). */
Test(section_7, server_starts_from_its_snapshot) {
    struct node n;
    struct raft_snapshot snapshot = {.index = 5, .term = 2, .state = state_at(5)};
    node_start(&n, (struct start){.term = 4, .snapshot = snapshot, .log = "34"});
    cr_assert_eq(n.raft.commit, 5);
    cr_assert_eq(n.raft.last, 7);
    cr_assert_eq(n.raft.saved, 7);
    cr_assert_eq(raft_entry_at(&n.raft, 6)->term, 3);
    cr_assert_eq(raft_entry_at(&n.raft, 7)->command, command_at(7, 4));
}

/* A leader of term 2 with a snapshot up to 3; node 3 has all of its log, node 2 nothing. */
static void start_leader(struct node *n) {
    node_start(n, (struct start){.term = 1, .log = "1111"});
    node_elect(n);
    node_save(n);
    node_receive(n, message_accepted(3, 2, 5));
    cr_assert_eq(n->raft.commit, 5);
    node_compact(n, 3);
    cr_assert_eq(n->raft.snapshot.index, 3);
}

/* "The leader must occasionally send snapshots to followers that lag behind. This happens when the
 * leader has already discarded the next log entry that it needs to send" (7). */
Test(section_7, leader_sends_it_when_the_next_entry_is_gone) {
    for (raft_index hint = 0; hint <= 3; hint++) {
        struct node n;
        start_leader(&n);
        node_receive(&n, message_rejected(2, 2, 4, hint, hint > 0));
        if (hint == 3) {
            cr_assert_eq(sent_alone(&n, RAFT_APPEND, 2)->message.index, 3,
                         "entry 4 is still there");
            continue;
        }
        const struct raft_message *m = &sent_alone(&n, RAFT_CHUNK, 2)->message;
        cr_assert_eq(m->index, 3);
        cr_assert_eq(m->index_term, 1);
        cr_assert_eq(m->chunk.snapshot.state, state_at(3));
        node_timeout(&n);
        sent_to(&n, RAFT_CHUNK, 2); /* Until it is answered. */
        sent_to(&n, RAFT_APPEND, 3);
    }
}

/* When the peer has the snapshot, the entries after it follow (7). */
Test(section_7, leader_goes_on_behind_it) {
    struct node n;
    start_leader(&n);
    node_receive(&n, message_rejected(2, 2, 4, 0, 0));
    struct raft_message reply = message_accepted(2, 2, 3);
    reply.type = RAFT_CHUNK_REPLY;
    node_receive(&n, reply);
    cr_assert_eq(n.raft.peers[2].match, 3);
    const struct raft_message *m = &sent_alone(&n, RAFT_APPEND, 2)->message;
    cr_assert_eq(m->index, 3);
    cr_assert_eq(m->index_term, 1);
    cr_assert_eq(m->entry_count, 2);
}

/* "Usually the snapshot will contain new information not already in the recipient's log. In this
 * case, the follower discards its entire log; it is all superseded by the snapshot" (7): also where
 * the log is longer, but is another. */
Test(section_7, conflicting_or_short_log_is_replaced) {
    static const char *const logs[] = {"", "1", "111", "1111", "11111111"};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        struct node n;
        start_follower(&n, 3, logs[i], strlen(logs[i]) > 1 ? 2 : 0);
        node_receive(&n, message_snapshot(2, 3, 4, 3));
        assert_log(&n, "");
        cr_assert_eq(n.raft.snapshot.index, 4);
        cr_assert_eq(n.raft.snapshot.term, 3);
        cr_assert_eq(n.raft.snapshot.state, state_at(4));
        cr_assert_eq(n.raft.commit, 4);
        cr_assert_eq(n.raft.last, 4);
        cr_assert(n.effects.apply_snapshot);
        cr_assert_eq(n.effects.apply_from, 0, "the state machine is replaced, not stepped");
        cr_assert(n.effects.save_snapshot);
        cr_assert_eq(n.effects.save_from, 5);
        const struct raft_outgoing *o = sent_alone(&n, RAFT_CHUNK_REPLY, 2);
        cr_assert_eq(o->after, n.effects.write);
        cr_assert(o->message.accepted);
        cr_assert_eq(o->message.index, 4);
    }
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log
 * entries following it and reply" (figure 13): they may be acknowledged already. */
Test(figure_13, matching_log_is_kept) {
    struct node n;
    start_follower(&n, 2, "112222", 1);
    node_receive(&n, message_snapshot(2, 2, 4, 2));
    assert_log(&n, "112222");
    cr_assert_eq(n.raft.snapshot.index, 0);
    cr_assert_not(n.effects.apply_snapshot);
    cr_assert_eq(n.effects.apply_from, 2);
    cr_assert_eq(n.effects.apply_to, 4, "what it covers is committed");
    cr_assert_eq(n.effects.write, 0);
    const struct raft_message *m = &sent_alone(&n, RAFT_CHUNK_REPLY, 2)->message;
    cr_assert(m->accepted);
    cr_assert_eq(m->index, 4);
}

/* A snapshot that says nothing new changes nothing, but is answered, or the leader would send it
 * for ever (7). */
Test(section_7, outdated_snapshot_is_answered_and_ignored) {
    struct node n;
    start_follower(&n, 2, "112222", 5);
    node_compact(&n, 3);
    node_save(&n);
    for (raft_index index = 1; index <= 5; index++) {
        node_receive(&n, message_snapshot(2, 2, index, index < 3 ? 1 : 2));
        assert_log(&n, "222");
        cr_assert_eq(n.raft.snapshot.index, 3);
        cr_assert_eq(n.raft.commit, 5);
        cr_assert_eq(n.effects.write, 0);
        cr_assert_not(n.effects.apply_snapshot);
        cr_assert_eq(n.effects.apply_from, 0);
        const struct raft_outgoing *o = sent_alone(&n, RAFT_CHUNK_REPLY, 2);
        cr_assert(o->message.accepted);
        cr_assert_eq(o->message.index, index);
        cr_assert_eq(o->after, 0);
    }
}

/* A double of the snapshot is acknowledged when the first one is stable, no earlier (7). */
Test(section_7, acknowledgement_waits_for_the_write) {
    struct node n;
    node_start(&n, (struct start){.term = 2});
    node_receive(&n, message_snapshot(2, 2, 4, 2));
    raft_write write = n.effects.write;
    for (int i = 0; i < 2; i++) {
        node_receive(&n, message_snapshot(2, 2, 4, 2));
        cr_assert_eq(sent_alone(&n, RAFT_CHUNK_REPLY, 2)->after, i == 0 ? write : 0);
        node_receive(&n, message_append(2, 2, "1122", 3, 4));
        cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, i == 0 ? write : 0);
        node_saved(&n, write);
    }
}

/* An entry that follows a snapshot under way is stable after it (7). */
Test(section_7, entries_after_it_are_saved_after_it) {
    struct node n;
    start_follower(&n, 2, "11", 1);
    node_receive(&n, message_snapshot(2, 2, 4, 2));
    raft_write first = n.effects.write;
    node_receive(&n, message_append(2, 2, "112222", 5, 6));
    raft_write second = n.effects.write;
    cr_assert_lt(first, second);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->after, second);
    node_saved(&n, first);
    cr_assert_eq(n.raft.saved, 4);
    node_saved(&n, second);
    cr_assert_eq(n.raft.saved, 6);
}

/* Entries that the snapshot covers are committed, hence the same: a late append that begins below
 * is answered for what it says, and adds what is new (7). */
Test(section_7, appends_below_it_are_answered) {
    static const char log[] = "11222233";
    for (raft_index from = 1; from <= 7; from++) {
        for (raft_index to = from - 1; to <= 8; to++) {
            struct node n;
            start_follower(&n, 3, "112222", 4);
            node_compact(&n, 4);
            node_save(&n);
            node_receive(&n, message_append(2, 3, log, from, to));
            assert_log(&n, to == 8 ? "2233" : to == 7 ? "223" : "22");
            const struct raft_message *m = &sent_alone(&n, RAFT_APPEND_REPLY, 2)->message;
            cr_assert(m->accepted, "from %u to %u", (unsigned)from, (unsigned)to);
            cr_assert_eq(m->index, to);
            cr_assert_eq(n.effects.save_from, to > 6 ? 7 : 0);
        }
    }
}

/* An append that ends below the snapshot does not move the commit index (7). */
Test(section_7, commit_index_stays_at_or_above_it) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .snapshot = {.index = 4, .term = 2}});
    struct raft_message m = message_append(2, 2, "1122", 1, 2);
    m.commit = 2;
    node_receive(&n, m);
    cr_assert_eq(n.raft.commit, 4);
    cr_assert_eq(n.effects.apply_from, 0);
}

/* As much as a follower takes of clients' entries: the rest is for no-ops and configurations. */
enum { CLIENTS_MAX = RAFT_LOG_MAX - RAFT_TAIL_MAX };

/* A follower whose log has no room for more commands acknowledges what fits, and takes the rest
 * when it has compacted (7). */
Test(section_7, full_follower_acknowledges_what_fits) {
    char log[RAFT_LOG_MAX + 4];
    log_repeat(log, '1', CLIENTS_MAX + 3);
    log[CLIENTS_MAX - 2] = '\0';
    struct node n;
    start_follower(&n, 1, log, 3);
    log[CLIENTS_MAX - 2] = '1';
    for (int i = 0; i < 2; i++) {
        node_receive(&n, message_append(2, 1, log, CLIENTS_MAX - 1, CLIENTS_MAX + 3));
        cr_assert_eq(n.raft.last, CLIENTS_MAX);
        cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.index, CLIENTS_MAX);
    }
    node_receive(&n, message_append(2, 1, log, CLIENTS_MAX + 1, CLIENTS_MAX + 3));
    cr_assert(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.accepted);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.index, CLIENTS_MAX);
    cr_assert_eq(n.effects.write, 0);
    node_save(&n);
    node_compact(&n, 3);
    node_receive(&n, message_append(2, 1, log, CLIENTS_MAX + 1, CLIENTS_MAX + 3));
    cr_assert_eq(n.raft.last, CLIENTS_MAX + 3);
    cr_assert_eq(n.raft.last - n.raft.snapshot.index, CLIENTS_MAX);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.index, CLIENTS_MAX + 3);
}

/* A commit index beyond what fitted into a full log is cut as well (5.3, 7). */
Test(section_5_3, full_follower_commits_what_fits) {
    char log[RAFT_LOG_MAX + 2];
    log_repeat(log, '1', RAFT_LOG_MAX);
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = log});
    log_repeat(log, '1', RAFT_LOG_MAX + 1);
    struct raft_message m = message_append(2, 1, log, RAFT_LOG_MAX, RAFT_LOG_MAX + 1);
    m.commit = RAFT_LOG_MAX + 1;
    node_receive(&n, m);
    cr_assert_eq(n.raft.commit, RAFT_LOG_MAX);
}

/* A conflict in a full log makes room for what replaces it (5.3, 7). */
Test(section_5_3, full_follower_still_repairs_conflicts) {
    char log[RAFT_LOG_MAX + 1];
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = log_repeat(log, '1', CLIENTS_MAX)});
    log[CLIENTS_MAX - 2] = log[CLIENTS_MAX - 1] = '2';
    node_receive(&n, message_append(2, 2, log, CLIENTS_MAX - 1, CLIENTS_MAX));
    assert_log(&n, log);
    cr_assert_eq(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.index, CLIENTS_MAX);
}

/* Where a command has no room, what a leader appends of its own has: a no-op, which tells what is
 * committed (8), a change; up to RAFT_LOG_MAX, and no further. */
Test(section_8, full_follower_takes_what_clients_did_not_send) {
    for (uint64_t type = RAFT_NOOP; type <= RAFT_MEMBERS; type++) {
        bool is_client = type == RAFT_COMMAND || type == RAFT_SESSION;
        char log[RAFT_LOG_MAX + 1];
        struct node n;
        node_start(&n, (struct start){.term = 1, .log = log_repeat(log, '1', CLIENTS_MAX)});
        for (raft_index index = CLIENTS_MAX + 1; index <= RAFT_LOG_MAX + 1; index++) {
            struct raft_message m = {.type = RAFT_APPEND,
                                     .source = 2,
                                     .term = 1,
                                     .index = index - 1,
                                     .index_term = 1,
                                     .entry_count = 1};
            m.entries[0] = (struct raft_entry){.term = 1, .type = type};
            if (type == RAFT_MEMBERS) m.entries[0].members.voters = ids("1234");
            node_receive(&n, m);
            if (is_client) break;
        }
        cr_assert_eq(n.raft.last, is_client ? CLIENTS_MAX : RAFT_LOG_MAX);
    }
}

/* The whole story (7): a follower is cut off, the leader compacts what it misses, more than a log
 * holds, and the follower catches up through the snapshot. */
Test(section_7, lagging_follower_catches_up) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.term = 1, .log = "111"});
    c.cut = (raft_set)1 << 3;
    cluster_timeout(&c, 1);
    cluster_settle(&c);
    for (raft_index index = 5; index < 5 + 2 * RAFT_LOG_MAX; index++) {
        cluster_propose(&c, 1, command_at(index, 2));
        cr_assert_eq(c.nodes[1].raft.last, index);
        cluster_settle(&c);
        cluster_timeout(&c, 1);
        cluster_settle(&c);
        cluster_compact(&c, 1);
        if (index % 2 == 0) cluster_compact(&c, 2);
    }
    c.cut = 0;
    for (int i = 0; i < 2; i++) {
        cluster_timeout(&c, 1);
        cluster_settle(&c);
    }
    cluster_assert_converged(&c);
    cr_assert_eq(c.nodes[3].raft.last, 4 + 2 * RAFT_LOG_MAX);
    cr_assert_geq(c.nodes[3].raft.snapshot.index, RAFT_LOG_MAX, "it came by snapshot");
}
