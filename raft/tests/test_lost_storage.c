/* test_lost_storage.c - a peer that has lost what it acknowledged in this term is named by the
 * leader; a peer whose answers are only late is not. "An id belongs to one storage for ever": the
 * core cannot repair what a lost vote may have done, but it can say what it sees. */
#include <criterion/criterion.h>

#include "cluster.h"

/* A leader in term 2 that knows its log "111" and its no-op to be on node 2, since round 1, and has
 * begun round 2. */
static void start_acknowledged(struct node *n) {
    node_start(n, (struct start){.term = 1, .log = "111"});
    node_elect(n);
    node_agree(n);
    cr_assert_eq(n->raft.peers[2].match, 4);
    cr_assert_eq(n->raft.round, 1);
    node_timeout(n);
    cr_assert_eq(n->raft.round, 2);
}

static struct raft_message rejection(uint64_t round, raft_index index, raft_index hint) {
    struct raft_message m = message_rejected(2, 2, index, hint, hint > 0);
    m.tag = round;
    return m;
}

/* A rejection of a later round than that of the acknowledgement names the peer, whether it is of an
 * entry that the peer had acknowledged, or of a later one with a hint below; each time, and without
 * any other effect on what the leader knows. */
Test(lost_storage, rejection_after_the_acknowledgement_names_the_peer) {
    struct node n;
    start_acknowledged(&n);
    node_propose(&n, 77);
    for (int again = 0; again < 2; again++) {
        for (raft_index index = 1; index <= 5; index++) {
            for (raft_index hint = 0; hint < index; hint++) {
                node_receive(&n, rejection(2, index, hint));
                bool lacks = hint < 4;
                cr_assert_eq(n.effects.lost_peer, lacks ? 2 : 0, "%u, %u", (unsigned)index,
                             (unsigned)hint);
                cr_assert_eq(n.raft.peers[2].match, 4);
            }
        }
    }
    node_timeout(&n);
    cr_assert_eq(n.effects.lost_peer, 0, "it is told once for each answer");
}

/* Rejections that answer what was sent before the acknowledgement came are late: those of its round
 * and of earlier ones. So are those of an earlier term, whose rounds say nothing: its message was
 * rejected by a peer of that term, or by one of this term, whose reply has no round. */
Test(lost_storage, late_rejections_name_nobody) {
    struct node n;
    start_acknowledged(&n);
    for (raft_index index = 1; index <= 4; index++)
        for (uint64_t round = 0; round <= 1; round++) {
            node_receive(&n, rejection(round, index, 0));
            cr_assert_eq(n.effects.lost_peer, 0);
        }
    struct raft_message earlier = rejection(2, 3, 0);
    earlier.term = 1;
    node_receive(&n, earlier);
    cr_assert_eq(n.effects.lost_peer, 0);
    struct node peer;
    node_start(&peer, (struct start){.config.self = 2, .term = 2, .log = "1112"});
    struct raft_message late = message_append(1, 1, "111", 4, 3);
    late.tag = 9;
    node_receive(&peer, late);
    struct raft_message reply = sent_alone(&peer, RAFT_APPEND_REPLY, 1)->message;
    cr_assert_not(reply.accepted);
    node_receive(&n, reply);
    cr_assert_eq(n.effects.lost_peer, 0);
}

/* While match rises, its round does, too: what was on its way meanwhile is late. */
Test(lost_storage, every_acknowledgement_counts) {
    struct node n;
    start_acknowledged(&n);
    node_propose(&n, 77);
    node_receive(&n, message_accepted(2, 2, 5));
    node_receive(&n, rejection(2, 4, 0));
    cr_assert_eq(n.effects.lost_peer, 0, "sent in the round of the last acknowledgement");
    node_answer(&n, 3, 2);
    node_timeout(&n);
    node_receive(&n, message_accepted(2, 2, 5));
    node_receive(&n, rejection(3, 5, 0));
    cr_assert_eq(n.effects.lost_peer, 2, "an acknowledgement of what is known is no news");
}

/* Neither a peer that has acknowledged nothing in this term, nor one that asks for a chunk again,
 * nor a leader's successor, says that anything is lost. */
Test(lost_storage, peer_without_acknowledgement_has_lost_nothing) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "111"});
    node_elect(&n);
    node_receive(&n, rejection(5, 3, 0));
    cr_assert_eq(n.effects.lost_peer, 0);
    start_acknowledged(&n);
    struct raft_message m = message_chunk_reply(2, 2, 3, false, 0);
    m.tag = 2;
    node_receive(&n, m);
    cr_assert_eq(n.effects.lost_peer, 0);
    node_receive(&n, message_append(3, 3, "1112", 5, 4));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    node_receive(&n, rejection(2, 3, 0));
    cr_assert_eq(n.effects.lost_peer, 0);
}

/* A node comes back with an empty disk under its old id. The leader names it soon, and no other;
 * removed, and added under another id, it is a peer as any other. */
Test(lost_storage, emptied_peer_is_named_and_replaced) {
    static struct cluster c;
    cluster_start(&c, 4, (struct start){.voter_count = 3, .config.check_quorum = true});
    cluster_elect(&c, 1);
    cluster_propose(&c, 1, 77);
    cluster_run(&c, 1, 2);
    cr_assert_eq(c.told, 0);
    cluster_replace(&c, 3, (struct start){.config.check_quorum = true, .joins = true});
    cluster_run(&c, 1, 2);
    cr_assert_eq(c.told, ids("3"));
    cluster_change(&c, 1, "124", "");
    cluster_settle(&c);
    cluster_run(&c, 1, 3);
    assert_members(&c.nodes[1].raft.members, "124", "", "");
    c.told = 0;
    c.cut = ids("3");
    cluster_run(&c, 1, 3);
    cluster_assert_converged(&c);
}

/* A restart from what is durable loses nothing, nor does a log that was cut by another leader. */
Test(lost_storage, restarts_and_new_leaders_name_nobody) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    for (int i = 0; i < 12; i++) {
        raft_id leader = (raft_id)(1 + i % 3), other = (raft_id)(1 + (i + 1) % 3);
        cluster_elect(&c, leader);
        c.cut = ids("123");
        cluster_propose(&c, leader, 77); /* It is lost with its leader. */
        c.cut = 0;
        cluster_elect(&c, other);
        cluster_propose(&c, other, 78);
        cluster_run(&c, other, 3);
        cluster_restart(&c, leader);
        cluster_run(&c, other, 3);
        cluster_assert_converged(&c);
        for (raft_id id = 1; id <= 3; id++) cluster_compact(&c, id);
    }
}
