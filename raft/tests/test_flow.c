/* test_flow.c - how entries flow from a leader to a peer (5.3, D 10.2.1): without waiting, within a
 * window, and again after a loss. The arithmetic is in test_progress.c. */
#include <criterion/criterion.h>

#include "cluster.h"

enum { LOG = RAFT_LOG_MAX - 1 };

/* A leader in term 2 with a log of LOG entries of term 1 and its no-op, of which node 2 has the
 * first `match`, and node 3 all. */
static void start_behind(struct node *n, struct raft_config config, raft_index match) {
    char log[RAFT_LOG_MAX];
    node_start(n, (struct start){.config = config, .term = 1, .log = log_repeat(log, '1', LOG)});
    node_elect(n);
    node_receive(n, message_accepted(3, 2, LOG));
    node_save(n);
    cr_assert_eq(n->raft.last, LOG + 1);
    if (match < LOG) node_receive(n, message_rejected(2, 2, LOG, match, match > 0));
}

/* Node 2 answers the last message that was sent to it. */
static void answer(struct node *n, raft_index index) {
    node_receive(n, message_accepted(2, 2, index));
}

/* When it is known what they share, entries go out without waiting: two messages a step, until the
 * window is full; each answer opens it again. */
Test(section_D_10_2_1, window_of_entries_is_under_way) {
    for (uint16_t window = 1; window <= 8; window++) {
        struct raft_config config = {.batch_max = 2, .window = window};
        struct node n;
        start_behind(&n, config, 1);
        cr_assert_eq(sent_count(&n, RAFT_APPEND, 2), 1, "a probe");
        answer(&n, 3);
        raft_index sent = 3;
        for (raft_index confirmed = 3; confirmed < n.raft.last; confirmed++) {
            raft_index before = sent;
            for (unsigned i = 0; i < sent_count(&n, RAFT_APPEND, 2); i++) {
                const struct raft_message *m = &sent_nth(&n, RAFT_APPEND, 2, i)->message;
                cr_assert_eq(m->index, sent, "no gap, and nothing twice");
                cr_assert_leq(m->entry_count, 2);
                sent += m->entry_count;
            }
            cr_assert_leq(sent, confirmed + window);
            cr_assert_leq(sent, before + 4);
            cr_assert(sent == n.raft.last || sent == confirmed + window || sent == before + 4);
            answer(&n, confirmed + 1);
        }
        cr_assert_eq(sent, n.raft.last);
    }
}

/* A full window holds new commands back; the other peers get them. */
Test(section_D_10_2_1, full_window_pauses_one_peer) {
    struct raft_config config = {.window = 1};
    struct node n;
    node_lead(&n, (struct start){.config = config});
    node_propose(&n, 77);
    sent_to(&n, RAFT_APPEND, 2);
    node_receive(&n, message_accepted(3, 1, 2));
    node_save(&n);
    node_propose(&n, 78);
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 2), 0);
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 3), 1);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(sent_alone(&n, RAFT_APPEND, 2)->message.entries[0].command, 78);
}

/* While it is not known what they share, one message at a time is enough: commands do not add to
 * it, a heartbeat repeats it. */
Test(section_5_3, probe_waits_for_its_answer) {
    struct node n;
    node_start(&n, (struct start){0});
    node_elect(&n);
    node_propose(&n, 77);
    cr_assert_eq(n.effects.message_count, 0, "the no-op is under way");
    node_timeout(&n);
    for (raft_id peer = 2; peer <= 3; peer++)
        cr_assert_eq(sent_to(&n, RAFT_APPEND, peer)->message.entry_count, 2);
}

/* The tail is lost, and the peer cannot know: heartbeats that confirm nothing new tell the leader.
 */
Test(section_5_3, lost_tail_is_sent_again) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    c.lost[1] = ids("3");
    for (uint64_t command = 1; command <= 5; command++) {
        cluster_propose(&c, 1, command);
        cluster_settle(&c);
    }
    c.lost[1] = 0;
    cr_assert_eq(c.nodes[3].raft.last, 1);
    cr_assert_eq(c.nodes[1].raft.peers[3].next, 7, "all is sent");
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
    cr_assert_eq(c.rejection_count, 0, "the leader knows from where on");
}

/* Lost answers are as good as lost messages. */
Test(section_5_3, lost_answers_are_no_harm) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){.config.window = 2});
    cluster_run(&c, 1, 2);
    c.lost[3] = ids("1");
    for (uint64_t command = 1; command <= 5; command++) {
        cluster_propose(&c, 1, command);
        cluster_settle(&c);
    }
    cr_assert_eq(c.nodes[1].raft.peers[3].match, 1);
    c.lost[3] = 0;
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
}

/* Messages overtake each other: the later one is rejected, and both arrive in the end. */
Test(section_5_3, messages_that_overtake_are_repeated) {
    struct node leader, peer;
    node_lead(&leader, (struct start){0});
    node_start(&peer, (struct start){.config.self = 2, .term = 1, .log = "1"});
    node_propose(&leader, 77);
    struct raft_message first = sent_to(&leader, RAFT_APPEND, 2)->message;
    node_save(&leader);
    node_receive(&leader, message_accepted(3, 1, 2));
    node_propose(&leader, 78);
    struct raft_message second = sent_to(&leader, RAFT_APPEND, 2)->message;
    node_receive(&peer, second);
    struct raft_message rejection = sent_alone(&peer, RAFT_APPEND_REPLY, 1)->message;
    cr_assert_not(rejection.accepted);
    node_receive(&peer, first);
    struct raft_message acceptance = sent_alone(&peer, RAFT_APPEND_REPLY, 1)->message;
    cr_assert(acceptance.accepted);
    node_receive(&leader, rejection);
    struct raft_message again = sent_alone(&leader, RAFT_APPEND, 2)->message;
    cr_assert_eq(again.index, 1);
    cr_assert_eq(again.entry_count, 2);
    node_receive(&leader, acceptance);
    cr_assert_eq(leader.raft.peers[2].match, 2);
    node_receive(&peer, again);
    node_receive(&leader, sent_alone(&peer, RAFT_APPEND_REPLY, 1)->message);
    cr_assert_eq(leader.raft.peers[2].match, 3);
    cr_assert_eq(leader.raft.peers[2].next, 4);
    node_receive(&leader, rejection);
    cr_assert_eq(leader.raft.peers[2].next, 4, "it comes too late");
}

/* A heartbeat names an entry that the peer is known to have: what is under way may be late, and is
 * not to be taken for lost. It carries the commit index all the same. */
Test(section_5_3, heartbeat_does_not_ask_for_what_is_under_way) {
    struct node n;
    node_lead(&n, (struct start){0});
    node_propose(&n, 77);
    node_timeout(&n);
    const struct raft_message *m = &sent_to(&n, RAFT_APPEND, 2)->message;
    cr_assert_eq(m->index, 1);
    cr_assert_eq(m->entry_count, 0);
    cr_assert_eq(m->commit, 1);
    cr_assert_eq(n.raft.peers[2].next, 3);
}

/* A peer that restarts without what it had not confirmed is brought up from what it has (5.3). */
Test(section_5_3, restarted_peer_is_brought_up) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    for (uint64_t command = 1; command <= 5; command++) {
        cluster_propose(&c, 1, command);
        if (command < 5) cluster_settle(&c);
    }
    cluster_restart(&c, 3); /* The last entry is under way. */
    cluster_settle(&c);
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
}

/* The log keeps its upper half. No snapshot is sent in this story, so that its state is nothing. */
static void compact_half(struct cluster *c, raft_id id) {
    raft_index commit = c->nodes[id].raft.commit;
    if (commit <= RAFT_LOG_MAX / 2) return;
    struct raft_event event = {.type = RAFT_COMPACT,
                               .u.compact = {commit - RAFT_LOG_MAX / 2, 0, SNAPSHOT_SIZE}};
    cluster_step(c, id, &event);
}

/* A peer that has no room acknowledges what it has, again and again: it is asked at heartbeats, not
 * at each of its answers, until it has compacted (7). */
Test(section_5_3, full_peer_is_not_flooded) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    for (uint64_t command = 1; command < RAFT_LOG_MAX; command++) {
        cluster_propose(&c, 1, command);
        cr_assert_eq(c.refusal, RAFT_ACCEPTED);
        cluster_settle(&c);
        uint32_t before = c.tail;
        cluster_run(&c, 1, 1);
        cr_assert_leq(c.tail - before, 4, "%u messages by one heartbeat", c.tail - before);
        for (raft_id id = 1; id <= 2; id++) compact_half(&c, id);
    }
    cr_assert_lt(c.nodes[3].raft.last, c.nodes[1].raft.last);
    cluster_compact(&c, 3);
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
    cr_assert_eq(c.chunk_count, 0);
}
