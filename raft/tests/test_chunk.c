/* test_chunk.c - snapshots in chunks: figure 13, rule by rule, and what may go wrong on the way
 * (7).
 *
 *     Receiver 1 reply immediately if the term is older
 *              2 a new snapshot begins with the chunk at offset 0
 *              3 data is kept in order
 *              4 reply, and wait for more chunks
 *              5 the whole snapshot is saved; what is older is discarded
 *              6 a log that has its last entry is retained
 *              7 else it is discarded
 *              8 the state machine is reset, and the configuration loaded
 *     Sender   chunk by chunk, each when the one before is confirmed; then the log goes on
 *
 * What a snapshot means for the log is in test_snapshot.c. */
#include <criterion/criterion.h>

#include "cluster.h"

/* The next offset that node 1 asks for, or SNAPSHOT_SIZE if it has the snapshot. */
static uint64_t wanted(const struct node *n) {
    const struct raft_message *m = &sent_alone(n, RAFT_CHUNK_REPLY, 2)->message;
    return m->accepted ? SNAPSHOT_SIZE : m->hint;
}

static void receive_chunk(struct node *n, uint64_t offset, uint64_t length) {
    node_receive(n, message_chunk(2, 4, 9, 4, offset, length));
}

/* ---- the receiver ---- */

Test(figure_13, receiver_1_reply_if_the_term_is_older) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    node_receive(&n, message_chunk(2, 3, 9, 3, 0, 10));
    const struct raft_message *m = &sent_alone(&n, RAFT_CHUNK_REPLY, 2)->message;
    cr_assert_not(m->accepted);
    cr_assert_eq(m->term, 4);
    cr_assert_not(n.effects.save_chunk);
    cr_assert_eq(n.raft.incoming.index, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_KEEP);
}

/* Of any other chunk nothing is kept, and the first one is asked for. */
Test(figure_13, receiver_2_first_chunk_has_offset_0) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    receive_chunk(&n, 30, 30);
    cr_assert_not(n.effects.save_chunk);
    cr_assert_eq(wanted(&n), 0);
    receive_chunk(&n, 0, 30);
    cr_assert(n.effects.save_chunk);
    cr_assert_eq(wanted(&n), 30);
}

/* Every chunk that is not the next one is not kept: a copy, one that overtook others. The reply
 * says which is wanted. Lengths may differ. */
Test(figure_13, receiver_3_data_is_kept_in_order) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    static const uint64_t lengths[] = {30, 1, 29, 40};
    uint64_t next = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint64_t offset = 0; offset < SNAPSHOT_SIZE; offset += 10) {
            if (offset == next) continue;
            receive_chunk(&n, offset, 10);
            cr_assert_not(n.effects.save_chunk);
            cr_assert_eq(wanted(&n), next);
        }
        cr_assert_not(n.effects.apply_snapshot);
        receive_chunk(&n, next, lengths[i]);
        cr_assert(n.effects.save_chunk);
        next += lengths[i];
        cr_assert_eq(wanted(&n), next);
    }
    cr_assert(n.effects.apply_snapshot);
}

/* Before the last chunk nothing changes but the timer. */
Test(figure_13, receiver_4_wait_for_more_chunks) {
    struct node n;
    node_start(&n, (struct start){.term = 4, .log = "1144"});
    for (uint64_t offset = 0; offset < SNAPSHOT_SIZE - 10; offset += 10) {
        receive_chunk(&n, offset, 10);
        cr_assert_eq(n.effects.write, 0);
        cr_assert_not(n.effects.apply_snapshot);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.raft.snapshot.index, 0);
        assert_log(&n, "1144");
    }
}

/* With the last one the snapshot is saved, in one write, and acknowledged when that is durable. */
Test(figure_13, receiver_5_whole_snapshot_is_saved) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    receive_chunk(&n, 0, 60);
    receive_chunk(&n, 60, 40);
    cr_assert(n.effects.save_chunk);
    cr_assert(n.effects.save_snapshot);
    cr_assert_eq(n.raft.snapshot.index, 9);
    cr_assert_eq(n.raft.snapshot.state, state_at(9));
    cr_assert_eq(n.raft.snapshot.size, SNAPSHOT_SIZE);
    const struct raft_outgoing *o = sent_alone(&n, RAFT_CHUNK_REPLY, 2);
    cr_assert(o->message.accepted);
    cr_assert_eq(o->after, n.effects.write);
    receive_chunk(&n, 60, 40);
    cr_assert_not(n.effects.save_chunk, "a copy");
    cr_assert(sent_alone(&n, RAFT_CHUNK_REPLY, 2)->message.accepted);
}

/* "Discard any existing or partial snapshot with a smaller index": another snapshot begins anew,
 * and so does the first if it comes again. One of which a part is equal is another. */
Test(figure_13, receiver_5_another_snapshot_begins_anew) {
    for (int part = 0; part < 4; part++) {
        struct node n;
        struct raft_message other = message_chunk(2, 4, 9, 4, 30, 30);
        struct raft_snapshot *s = &other.chunk.snapshot;
        if (part == 0) s->index = other.index = 8;
        if (part == 1) s->term = other.index_term = 3;
        if (part == 2) s->state++;
        if (part == 3) s->size++;
        node_start(&n, (struct start){.term = 4});
        receive_chunk(&n, 0, 30);
        node_receive(&n, other);
        cr_assert_not(n.effects.save_chunk, "part %d", part);
        cr_assert_eq(wanted(&n), 0);
        other.chunk.offset = 0;
        node_receive(&n, other);
        cr_assert(n.effects.save_chunk);
        cr_assert_eq(wanted(&n), 30);
        receive_chunk(&n, 30, 30);
        cr_assert_not(n.effects.save_chunk);
        cr_assert_eq(wanted(&n), 0);
    }
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log
 * entries following it": no chunk is needed at all, also when the entry came in the meantime. */
Test(figure_13, receiver_6_matching_log_is_retained) {
    struct node n;
    node_start(&n, (struct start){.term = 4, .log = "1144"});
    receive_chunk(&n, 0, 30);
    node_receive(&n, message_append(2, 4, "11444444444", 5, 11));
    receive_chunk(&n, 30, 30);
    cr_assert_not(n.effects.save_chunk);
    cr_assert_not(n.effects.save_snapshot);
    cr_assert_eq(wanted(&n), SNAPSHOT_SIZE);
    cr_assert_eq(n.raft.commit, 9);
    assert_log(&n, "11444444444");
}

Test(figure_13, receiver_7_other_log_is_discarded) {
    struct node n;
    node_start(&n, (struct start){.term = 4, .log = "11333333333"});
    receive_chunk(&n, 0, 99);
    assert_log(&n, "11333333333");
    receive_chunk(&n, 99, 1);
    assert_log(&n, "");
    cr_assert_eq(n.effects.save_from, 10);
    cr_assert_eq(n.raft.last, 9);
}

/* "Reset state machine using snapshot contents (and load snapshot's cluster configuration)". */
Test(figure_13, receiver_8_state_machine_and_configuration_are_reset) {
    struct node n;
    struct raft_message m = message_snapshot(2, 4, 9, 4);
    m.chunk.snapshot.members = (struct raft_members){ids("124"), ids("123"), ids("5")};
    m.chunk.snapshot.sessions[0] = (struct raft_session){.id = 7, .serial = 3, .reply = 8};
    node_start(&n, (struct start){.term = 4});
    node_receive(&n, m);
    cr_assert(n.effects.apply_snapshot);
    assert_members(&n.raft.members, "124", "123", "5");
    cr_assert_eq(n.raft.sessions[0].id, 7);
    cr_assert_eq(n.raft.sessions[0].serial, 3);
}

/* A snapshot at or below the commit index says nothing new, and is acknowledged, or the leader
 * would send it for ever: chunks of it are not kept, and do not disturb one that is under way. */
Test(section_7, outdated_chunks_are_not_kept) {
    struct node n;
    node_start(&n, (struct start){.term = 4, .log = "1144"});
    struct raft_message m = message_append(2, 4, "1144", 5, 4);
    m.commit = 3;
    node_receive(&n, m);
    receive_chunk(&n, 0, 30);
    for (raft_index index = 1; index <= 3; index++) {
        node_receive(&n, message_chunk(2, 4, index, 1 + 3 * (index == 3), 0, 30));
        cr_assert_not(n.effects.save_chunk);
        cr_assert(sent_alone(&n, RAFT_CHUNK_REPLY, 2)->message.accepted);
    }
    receive_chunk(&n, 30, 30);
    cr_assert(n.effects.save_chunk, "of the one under way");
}

/* A new leader that has the same snapshot goes on where the old one was (7). */
Test(section_7, new_leader_goes_on_with_the_same_snapshot) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    receive_chunk(&n, 0, 60);
    node_receive(&n, message_append(3, 5, "", 1, 0));
    node_receive(&n, message_chunk(3, 5, 9, 4, 0, 30));
    const struct raft_message *m = &sent_alone(&n, RAFT_CHUNK_REPLY, 3)->message;
    cr_assert_not(m->accepted);
    cr_assert_eq(m->hint, 60);
    node_receive(&n, message_chunk(3, 5, 9, 4, 60, 40));
    cr_assert(n.effects.apply_snapshot);
}

/* Chunks need not be durable before the last one: a restarted server has none of them. */
Test(section_7, restarted_receiver_begins_anew) {
    struct node n;
    node_start(&n, (struct start){.term = 4});
    receive_chunk(&n, 0, 60);
    node_restart(&n);
    receive_chunk(&n, 60, 40);
    cr_assert_not(n.effects.save_chunk);
    cr_assert_eq(wanted(&n), 0);
}

/* Entries may come while chunks do, and are appended (7). */
Test(section_7, appends_go_on_during_the_installation) {
    struct node n;
    node_start(&n, (struct start){.term = 4, .log = "11"});
    receive_chunk(&n, 0, 60);
    node_receive(&n, message_append(2, 4, "114", 3, 3));
    assert_log(&n, "114");
    receive_chunk(&n, 60, 40);
    cr_assert(n.effects.apply_snapshot);
    assert_log(&n, "");
}

/* ---- the sender ---- */

enum { CHUNK = 30, CHUNKS = 4 };

/* A leader in term 2 with a snapshot up to entry 3 of five, whose chunks have 30 bytes, and a peer,
 * node 2, that has nothing. */
static void start_sender(struct node *n) {
    node_start(n, (struct start){.config.chunk_max = CHUNK, .term = 1, .log = "1111"});
    node_elect(n);
    node_save(n);
    node_receive(n, message_accepted(3, 2, 5));
    node_compact(n, 3);
    node_receive(n, message_rejected(2, 2, 4, 0, 0));
    cr_assert_eq(n->raft.peers[2].flow, RAFT_INSTALL);
}

static void assert_sent_chunk(const struct node *n, uint64_t offset) {
    const struct raft_message *m = &sent_to(n, RAFT_CHUNK, 2)->message;
    uint64_t left = SNAPSHOT_SIZE - offset;
    cr_assert_eq(m->index, 3);
    cr_assert_eq(m->index_term, 1);
    cr_assert_eq(m->chunk.offset, offset);
    cr_assert_eq(m->chunk.length, left < CHUNK ? left : CHUNK);
    cr_assert_arr_eq(&m->chunk.snapshot, &n->raft.snapshot, sizeof n->raft.snapshot);
}

/* Chunk by chunk, as the peer asks; then the log goes on behind it. */
Test(figure_13, sender_goes_on_as_the_peer_asks) {
    struct node n;
    start_sender(&n);
    for (uint64_t offset = 0; offset < SNAPSHOT_SIZE; offset += CHUNK) {
        assert_sent_chunk(&n, offset);
        node_propose(&n, 77);
        cr_assert_eq(sent_count(&n, RAFT_CHUNK, 2), 0, "one at a time");
        cr_assert_eq(sent_count(&n, RAFT_APPEND, 2), 0, "it could not use that");
        node_receive(&n, message_chunk_reply(2, 2, 3, false, offset));
        cr_assert_eq(n.effects.message_count, 0, "a copy of the answer");
        if (offset + CHUNK < SNAPSHOT_SIZE)
            node_receive(&n, message_chunk_reply(2, 2, 3, false, offset + CHUNK));
    }
    node_receive(&n, message_chunk_reply(2, 2, 3, true, 0));
    cr_assert_eq(n.raft.peers[2].match, 3);
    cr_assert_eq(sent_nth(&n, RAFT_APPEND, 2, 0)->message.index, 3);
    node_receive(&n, message_chunk_reply(2, 2, 3, true, 0));
    cr_assert_eq(n.effects.message_count, 0);
}

/* A chunk that is lost is sent again with the next heartbeat. */
Test(section_7, lost_chunk_is_sent_again) {
    struct node n;
    start_sender(&n);
    node_receive(&n, message_chunk_reply(2, 2, 3, false, 30));
    for (int i = 0; i < 3; i++) {
        node_timeout(&n);
        assert_sent_chunk(&n, 30);
    }
}

/* The peer has restarted: from the beginning. It has more than this leader knows: from there. */
Test(section_7, sender_goes_where_the_peer_is) {
    struct node n;
    start_sender(&n);
    static const uint64_t offsets[] = {60, 0, 90, 30, 99, 1};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        node_receive(&n, message_chunk_reply(2, 2, 3, false, offsets[i]));
        assert_sent_chunk(&n, offsets[i]);
    }
}

/* Wishes that make no sense, or are about another snapshot, are not followed. */
Test(section_7, other_wishes_are_ignored) {
    struct node n;
    start_sender(&n);
    const struct raft_message rows[] = {message_chunk_reply(2, 2, 3, false, SNAPSHOT_SIZE),
                                        message_chunk_reply(2, 2, 3, false, UINT64_MAX),
                                        message_chunk_reply(2, 2, 2, false, 30),
                                        message_chunk_reply(2, 2, 4, false, 30),
                                        message_chunk_reply(3, 2, 3, false, 30),
                                        message_chunk_reply(2, 1, 3, false, 30),
                                        message_chunk_reply(2, 2, 2, true, 0),
                                        message_chunk_reply(2, 2, 9, true, 0)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        node_receive(&n, rows[i]);
        cr_assert_eq(sent_count(&n, RAFT_CHUNK, 2), 0, "row %zu", i);
        cr_assert_eq(n.raft.peers[2].flow, RAFT_INSTALL, "row %zu", i);
        cr_assert_eq(n.raft.peers[2].offset, 0, "row %zu", i);
    }
}

/* A late confirmation of entries does not end it; one that reaches its end does. */
Test(section_7, peer_that_has_the_log_needs_no_snapshot) {
    struct node n;
    start_sender(&n);
    for (raft_index index = 1; index <= 5; index++) {
        node_receive(&n, message_accepted(2, 2, index));
        cr_assert_eq(n.raft.peers[2].match, index);
        cr_assert_eq(n.raft.peers[2].flow, index < 3 ? RAFT_INSTALL : RAFT_REPLICATE);
    }
}

/* ---- compaction ---- */

/* A peer that gets a snapshot needs all of the same one: the leader keeps it until then, but not
 * when its log is half full. */
Test(section_7, compaction_waits_for_an_installation) {
    struct node n;
    start_sender(&n);
    node_receive(&n, message_chunk_reply(2, 2, 3, false, 30));
    node_compact(&n, 4);
    assert_no_effects(&n);
    cr_assert_eq(n.raft.snapshot.index, 3);
    while (n.raft.last - n.raft.snapshot.index < RAFT_LOG_MAX / 2) {
        node_compact(&n, 5);
        cr_assert_eq(n.raft.snapshot.index, 3);
        node_propose(&n, 77);
        node_save(&n);
        node_receive(&n, message_accepted(3, 2, n.raft.last));
    }
    node_compact(&n, 5);
    cr_assert_eq(n.raft.snapshot.index, 5);
    node_timeout(&n);
    cr_assert_eq(sent_to(&n, RAFT_CHUNK, 2)->message.index, 5, "the new one, from its beginning");
    cr_assert_eq(sent_to(&n, RAFT_CHUNK, 2)->message.chunk.offset, 0);
    node_receive(&n, message_chunk_reply(2, 2, 3, false, 60));
    cr_assert_eq(n.effects.message_count, 0, "about the old one");
    node_receive(&n, message_chunk_reply(2, 2, 5, false, 30));
    cr_assert_eq(sent_to(&n, RAFT_CHUNK, 2)->message.chunk.offset, 30);
}

/* When it is done, or the peer is gone, or the leader is none any more, it waits no longer. */
Test(section_7, compaction_goes_on_afterwards) {
    for (int end = 0; end < 3; end++) {
        struct node n;
        start_sender(&n);
        node_save(&n);
        if (end == 0) node_receive(&n, message_chunk_reply(2, 2, 3, true, 0));
        if (end == 1) node_change(&n, ids("13"), 0);
        if (end == 2) node_receive(&n, message_append(3, 3, "11112", 6, 5));
        node_compact(&n, 5);
        cr_assert_eq(n.raft.snapshot.index, 5, "end %d", end);
    }
}

/* The log never outgrows its limit, though a peer is dead in the middle of an installation, and
 * comes back much later (7). */
Test(section_7, dead_peer_does_not_fill_the_log) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config.chunk_max = CHUNK});
    c.cut = ids("3");
    cluster_run(&c, 1, 2);
    for (uint64_t command = 1; command <= 3 * RAFT_LOG_MAX; command++) {
        cluster_propose(&c, 1, command);
        cr_assert_eq(c.refusal, RAFT_ACCEPTED);
        cluster_run(&c, 1, 1);
        for (raft_id id = 1; id <= 2; id++) cluster_compact(&c, id);
        const struct raft *r = &c.nodes[1].raft;
        cr_assert_leq(r->last - r->snapshot.index, RAFT_LOG_MAX / 2);
        if (command % RAFT_LOG_MAX == 0) c.cut = 0; /* For one chunk. */
        cluster_timeout(&c, 1);
        c.cut = ids("3");
        cluster_settle(&c);
    }
    c.cut = 0;
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
}

/* The way of a snapshot, with losses: to a follower that was away, under a leader that changes,
 * with a receiver that restarts in the middle, and commands all the time. */
Test(section_7, installation_survives_losses_and_changes) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config.chunk_max = 10});
    c.cut = ids("3");
    cluster_run(&c, 1, 2);
    for (uint64_t command = 1; command <= 5; command++) {
        cluster_propose(&c, 1, command);
        cluster_run(&c, 1, 1);
    }
    cluster_run(&c, 1, 1);
    cluster_compact(&c, 1);
    cluster_compact(&c, 2);
    c.cut = 0;
    for (unsigned i = 0; i < 40 && c.chunk_count < 5; i++) { /* Every second message is lost. */
        c.lost[1] = i % 2 ? ids("3") : 0;
        cluster_timeout(&c, 1);
        for (int k = 0; k < 2 && c.head != c.tail; k++) {
            struct raft_message m = c.queue[c.head++ % CLUSTER_QUEUE_MAX];
            c.chunk_count += m.type == RAFT_CHUNK;
            cluster_receive(&c, m.target, m);
        }
    }
    c.lost[1] = 0;
    cr_assert_gt(c.nodes[3].raft.incoming.offset, 0);
    cluster_run(&c, 2, 1);
    cr_assert_eq(cluster_leader(&c), 2);
    cluster_propose(&c, 2, 6);
    cluster_restart(&c, 3);
    cluster_run(&c, 2, 3);
    cluster_assert_converged(&c);
    cr_assert_eq(c.nodes[3].raft.snapshot.index, 6);
}
