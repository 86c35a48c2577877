/* test_read.c - reads that do not go through the log (8, D 6.4), step by step.
 *
 *     1 the leader waits until an entry of its term is committed
 *     2 it notes its commit index
 *     3 it makes sure that it leads: a round of messages that a quorum answers
 *     4 and 5 what is committed up to there is applied, then the read is served
 *     or a follower asks the leader for that index, and waits until it has applied so far
 *
 * A lease may take the place of step 3: test_lease.c. */
#include <criterion/criterion.h>

#include "cluster.h"

/* A leader of `voter_count` in term 1, whose log "1" is committed, and whose round is over. */
static void start_leader(struct node *n, uint8_t voter_count) {
    node_lead(n, (struct start){.voter_count = voter_count});
    cr_assert_eq(n->raft.round_done, n->raft.round);
}

static void assert_refused(const struct node *n, uint64_t handle) {
    cr_assert_eq(n->effects.read_count, 1);
    cr_assert_eq(n->effects.reads[0].handle, handle);
    cr_assert_not(n->effects.reads[0].is_served);
    cr_assert_not(n->effects.reads[0].is_lease);
}

/* ---- the leader ---- */

/* "1. If the leader has not yet marked an entry from its current term committed, it waits until it
 * has done so", however many agree that it leads. */
Test(section_D_6_4, step_1_wait_for_the_first_commit_of_the_term) {
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = "11"});
    node_elect(&n);
    node_read(&n, 7);
    for (int i = 0; i < 3; i++) {
        for (raft_id peer = 2; peer <= 3; peer++) {
            struct raft_message m = message_accepted(peer, 2, 2);
            m.tag = n.raft.round;
            node_receive(&n, m);
            cr_assert_eq(n.effects.read_count, 0);
        }
        node_timeout(&n);
    }
    node_save(&n);
    node_receive(&n, message_accepted(2, 2, 3));
    cr_assert_eq(n.raft.commit, 3);
    node_answer(&n, 3, n.raft.round);
    cr_assert_eq(n.effects.read_count, 0, "a round that began before does not count");
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 2), 1, "the next one begins");
    node_answer(&n, 3, n.raft.round);
    assert_served(&n, 7, 3);
}

/* The answer to a message of an earlier term is no answer to a round of this one, which may have
 * the same number. Node 1 led term 1; what it sent then reaches node 2 in term 3, in which node 1
 * leads again. The reply may be older than the election of another leader by node 2. */
Test(section_D_6_4, step_3_needs_an_answer_to_a_message_of_the_term) {
    for (int is_chunk = 0; is_chunk <= 1; is_chunk++) {
        struct node n, peer;
        node_start(&n, (struct start){.term = 1});
        node_receive(&n, message_append(3, 2, "1", 2, 1));
        node_elect(&n);
        node_agree(&n);
        cr_assert_eq(n.raft.term, 3);
        node_read(&n, 7);
        node_start(&peer, (struct start){.config.self = 2, .term = 3, .log = "3"});
        struct raft_message late =
            is_chunk ? message_chunk(1, 1, 9, 1, 0, 1) : message_append(1, 1, "1", 2, 1);
        late.tag = n.raft.round;
        node_receive(&peer, late);
        uint8_t type = is_chunk ? RAFT_CHUNK_REPLY : RAFT_APPEND_REPLY;
        struct raft_message reply = sent_alone(&peer, (enum raft_message_type)type, 1)->message;
        cr_assert_eq(reply.term, 3);
        node_receive(&n, reply);
        cr_assert_eq(n.effects.read_count, 0);
        node_answer(&n, 3, n.raft.round);
        assert_served(&n, 7, n.raft.commit);
    }
}

/* "2. The leader saves its current commit index in a local variable readIndex": what is committed
 * while the round is under way need not be seen. */
Test(section_D_6_4, step_2_note_the_commit_index) {
    struct node n;
    start_leader(&n, 3);
    node_read(&n, 7);
    node_propose(&n, 77);
    node_save(&n);
    node_receive(&n, message_accepted(2, 1, 2));
    cr_assert_eq(n.raft.commit, 2);
    cr_assert_eq(n.effects.read_count, 0);
    node_answer(&n, 3, n.raft.round);
    assert_served(&n, 7, 1);
}

/* "3. The leader ... issues a new round of heartbeats and waits for their acknowledgments from a
 * majority of the cluster": a new one, at once, to all. */
Test(section_D_6_4, step_3_ask_a_majority) {
    for (uint8_t count = 2; count <= 9; count++) {
        struct node n;
        start_leader(&n, count);
        uint64_t before = n.raft.round;
        node_read(&n, 7);
        cr_assert_eq(n.effects.read_count, 0);
        cr_assert_eq(n.effects.message_count, count - 1);
        for (raft_id peer = 2; peer <= count; peer++)
            cr_assert_gt(sent_to(&n, RAFT_APPEND, peer)->message.tag, before);
        uint64_t round = n.raft.round;
        for (raft_id peer = 2; peer <= count / 2; peer++) {
            node_answer(&n, peer, round);
            node_answer(&n, peer, round);
            cr_assert_eq(n.effects.read_count, 0, "%u of %u", peer, count);
        }
        node_answer(&n, count, round);
        assert_served(&n, 7, 1);
        cr_assert_not(n.effects.reads[0].is_lease);
        node_answer(&n, 2, round);
        cr_assert_eq(n.effects.read_count, 0, "once");
    }
}

/* Answers to messages that left before the read began prove nothing; nor do those of an earlier
 * term, of learners, and of strangers. A rejection proves it: its sender follows this leader. */
Test(section_D_6_4, step_3_only_answers_to_this_round_count) {
    struct raft_members members = {ids("123"), 0, ids("4")};
    const struct {
        struct raft_message message;
        int tag; /* Relative to the round. */
        bool counts;
    } rows[] = {
        {message_accepted(2, 1, 1), 0, true},
        {message_rejected(2, 1, 1, 0, 0), 0, true},
        {message_chunk_reply(2, 1, 1, false, 0), 0, true},
        {message_accepted(2, 1, 1), -1, false},
        {message_accepted(2, 1, 1), 1, false},
        {message_accepted(2, 0, 1), 0, false},
        {message_accepted(4, 1, 1), 0, false},
        {message_accepted(5, 1, 1), 0, false},
        {message_pregrant(2, 1), 0, false},
        {message_grant(2, 1), 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_lead(&n, (struct start){.members = members});
        node_read(&n, 7);
        struct raft_message m = rows[i].message;
        m.tag = n.raft.round + (uint64_t)rows[i].tag;
        node_receive(&n, m);
        cr_assert_eq(n.effects.read_count, rows[i].counts, "row %zu", i);
    }
}

/* A joint configuration needs both majorities (6). */
Test(section_D_6_4, step_3_joint_configuration_needs_both_majorities) {
    struct node n;
    start_leader(&n, 3);
    node_change(&n, ids("145"), 0);
    node_read(&n, 7);
    node_answer(&n, 2, n.raft.round);
    node_answer(&n, 3, n.raft.round);
    cr_assert_eq(n.effects.read_count, 0);
    struct raft_message m = message_accepted(4, 1, 1);
    m.tag = n.raft.round;
    node_receive(&n, m);
    assert_served(&n, 7, 1);
}

/* Reads that come while a round is under way wait for the next; one round serves all that wait. */
Test(section_D_6_4, one_round_serves_many) {
    struct node n;
    start_leader(&n, 3);
    node_read(&n, 1);
    uint64_t round = n.raft.round;
    for (uint64_t handle = 2; handle <= 5; handle++) {
        node_read(&n, handle);
        assert_no_effects(&n);
    }
    node_answer(&n, 2, round);
    assert_served(&n, 1, 1);
    cr_assert_eq(n.raft.round, round + 1, "the next begins");
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 3), 1);
    node_answer(&n, 2, round);
    cr_assert_eq(n.effects.read_count, 0);
    node_answer(&n, 3, round + 1);
    cr_assert_eq(n.effects.read_count, 4);
    for (uint8_t i = 0; i < 4; i++) {
        cr_assert_eq(n.effects.reads[i].handle, 2 + i);
        cr_assert(n.effects.reads[i].is_served);
    }
    cr_assert_eq(n.raft.read_count, 0);
    cr_assert_eq(n.raft.round, round + 1, "nobody waits");
}

/* A round whose messages were lost is repeated by heartbeats. */
Test(section_D_6_4, lost_round_is_repeated) {
    struct node n;
    start_leader(&n, 3);
    node_read(&n, 7);
    uint64_t round = n.raft.round;
    for (int i = 0; i < 3; i++) {
        node_timeout(&n);
        for (raft_id peer = 2; peer <= 3; peer++)
            cr_assert_eq(sent_to(&n, RAFT_APPEND, peer)->message.tag, round);
    }
    node_answer(&n, 3, round);
    assert_served(&n, 7, 1);
}

/* A cluster of one asks nobody; an unready one waits for its commit. */
Test(section_D_6_4, single_server_serves_at_once) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 1});
    node_elect(&n);
    node_read(&n, 7);
    cr_assert_eq(n.effects.read_count, 0);
    node_save(&n);
    assert_served(&n, 7, 1);
    node_read(&n, 8);
    assert_served(&n, 8, 1);
}

/* So many may wait; one more is refused, and the others are served. */
Test(section_D_6_4, leader_with_too_many_reads_refuses) {
    struct node n;
    start_leader(&n, 3);
    for (uint64_t handle = 1; handle <= RAFT_READS_MAX; handle++) {
        node_read(&n, handle);
        cr_assert_eq(n.effects.read_count, 0);
    }
    node_read(&n, 99);
    assert_refused(&n, 99);
    node_receive(
        &n, (struct raft_message){.type = RAFT_READ_REQUEST, .source = 2, .term = 1, .tag = 99});
    cr_assert_not(sent_to(&n, RAFT_READ_REPLY, 2)->message.accepted);
    node_answer(&n, 2, n.raft.round);
    assert_served(&n, 1, 1);
    node_answer(&n, 2, n.raft.round);
    cr_assert_eq(n.effects.read_count, RAFT_READS_MAX - 1);
}

/* A leader that steps down can serve nobody, whatever the cause: a higher term, no quorum, its own
 * removal. */
Test(section_D_6_4, stepping_down_refuses_all) {
    for (int cause = 0; cause < 4; cause++) {
        struct node n;
        node_lead(&n, (struct start){.config.check_quorum = cause == 2});
        if (cause == 3) node_change(&n, ids("23"), 0);
        node_save(&n);
        node_read(&n, 7);
        node_read(&n, 8);
        switch (cause) {
        case 0: node_receive(&n, message_append(2, 2, "12", 2, 2)); break;
        case 1: node_receive(&n, message_vote(2, 2, 9, 1)); break;
        case 2:
            for (int i = 0; i < 6; i++)
                if (n.raft.role == RAFT_LEADER) node_timeout(&n);
            break;
        case 3:
            for (raft_id peer = 2; peer <= 3; peer++)
                node_receive(&n, message_accepted(peer, 1, 2));
            break;
        }
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "cause %d", cause);
        cr_assert_eq(n.effects.read_count, 2, "cause %d", cause);
        for (uint8_t i = 0; i < 2; i++) cr_assert_not(n.effects.reads[i].is_served);
        cr_assert_eq(n.raft.read_count, 0);
    }
}

/* The point of it all: a leader that was replaced, and does not know, serves nothing old. */
Test(section_D_6_4, replaced_leader_does_not_serve) {
    static struct cluster c;
    cluster_start(&c, 3, (struct start){0});
    cluster_run(&c, 1, 2);
    c.cut = ids("1");
    cluster_run(&c, 2, 1);
    cluster_propose(&c, 2, 77);
    cluster_run(&c, 2, 1);
    cr_assert_eq(c.nodes[1].raft.role, RAFT_LEADER);
    cluster_read(&c, 1, 7);
    cluster_run(&c, 1, 5);
    cr_assert_eq(c.read_count, 0);
    cluster_read(&c, 2, 8);
    cluster_settle(&c);
    cluster_assert_read(&c, 8, true);
    c.cut = 0;
    cluster_run(&c, 1, 1);
    cluster_assert_read(&c, 7, false);
}

/* ---- followers ---- */

/* A follower of node 2 in term 1, which has asked for the read 7. */
static void start_asking_as(struct node *n, struct start start) {
    start.term = 1;
    start.log = "1111";
    node_start(n, start);
    node_receive(n, message_append(2, 1, "1111", 5, 4));
    node_read(n, 7);
    cr_assert_eq(n->effects.read_count, 0);
    cr_assert_eq(sent_alone(n, RAFT_READ_REQUEST, 2)->message.tag, 7);
}

static void start_asking(struct node *n) { start_asking_as(n, (struct start){0}); }

static struct raft_message read_reply(raft_term term, uint64_t handle, bool accepted,
                                      raft_index index) {
    return (struct raft_message){.type = RAFT_READ_REPLY,
                                 .source = 2,
                                 .term = term,
                                 .accepted = accepted,
                                 .index = index,
                                 .tag = handle};
}

static void commit_to(struct node *n, raft_index index) {
    struct raft_message m = message_append(2, 1, "1111", 5, 4);
    m.commit = index;
    node_receive(n, m);
}

/* "The follower ... issues a request to the leader asking just for a current readIndex", and waits
 * until it has applied so far: in the very step in which it does, it serves. */
Test(section_D_6_4, follower_waits_until_it_has_applied) {
    for (raft_index index = 1; index <= 4; index++) {
        struct node n;
        start_asking(&n);
        node_receive(&n, read_reply(1, 7, true, index));
        assert_no_effects(&n);
        for (raft_index commit = 1; commit < index; commit++) {
            commit_to(&n, commit);
            cr_assert_eq(n.effects.read_count, 0);
        }
        commit_to(&n, index);
        cr_assert_eq(n.effects.apply_to, index);
        assert_served(&n, 7, index);
        start_asking(&n);
        commit_to(&n, 4);
        cr_assert_eq(n.effects.read_count, 0, "the leader has not answered");
        node_receive(&n, read_reply(1, 7, true, index));
        assert_served(&n, 7, index);
    }
}

/* What the leader refuses is refused; answers to others' reads, and of other terms, are nothing. */
Test(section_D_6_4, follower_listens_to_its_leader_only) {
    struct node n;
    const struct raft_message others[] = {read_reply(1, 8, true, 1), read_reply(1, 8, false, 0),
                                          read_reply(2, 7, true, 1), read_reply(2, 7, false, 0)};
    start_asking(&n);
    commit_to(&n, 4);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        node_receive(&n, others[i]);
        assert_no_effects(&n);
    }
    node_receive(&n, read_reply(1, 7, false, 0));
    assert_refused(&n, 7);
    node_receive(&n, read_reply(1, 7, true, 1));
    cr_assert_eq(n.effects.read_count, 0, "it is over");
}

/* Its reads end when it loses its leader: by a new term, by its wish, or when the timer runs out,
 * whether that begins an election, a question, or, at a learner, nothing. */
Test(section_D_6_4, follower_without_a_leader_refuses) {
    struct node n;
    const struct start starts[] = {{.config.pre_vote = false},
                                   {.config.pre_vote = true},
                                   {.members = {ids("23"), 0, ids("1")}}};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        start_asking_as(&n, starts[i]);
        node_timeout(&n);
        assert_refused(&n, 7);
    }
    start_asking(&n);
    node_receive(&n, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .source = 2, .term = 1});
    assert_refused(&n, 7);
    start_asking(&n);
    node_receive(&n, message_append(3, 2, "1111", 5, 4));
    assert_refused(&n, 7);
    start_asking(&n);
    node_receive(&n, read_reply(1, 7, true, 4));
    node_receive(&n, message_vote(3, 2, 9, 9));
    assert_refused(&n, 7);
    start_asking(&n);
    node_timeout(&n);
    assert_refused(&n, 7);
    node_read(&n, 8);
    assert_refused(&n, 8);
    node_start(&n, (struct start){0});
    node_read(&n, 9);
    assert_refused(&n, 9);
}

/* Messages are lost, and nobody says so: a follower gives up the oldest of too many reads, so that
 * the later ones are served. */
Test(section_D_6_4, lost_requests_make_room) {
    struct node n;
    start_asking(&n);
    commit_to(&n, 4);
    for (uint64_t handle = 8; handle < 100; handle++) {
        node_read(&n, handle);
        cr_assert_eq(sent_alone(&n, RAFT_READ_REQUEST, 2)->message.tag, handle);
        if (handle - 7 < RAFT_READS_MAX) cr_assert_eq(n.effects.read_count, 0);
        else assert_refused(&n, handle - RAFT_READS_MAX);
    }
    node_receive(&n, read_reply(1, 99, true, 2));
    assert_served(&n, 99, 2);
}

/* The leader treats it as a read of its own: a round, its commit index when that began, and an
 * answer when a quorum has answered. */
Test(section_D_6_4, leader_answers_a_follower_after_a_round) {
    struct node n;
    start_leader(&n, 3);
    struct raft_message request = {.type = RAFT_READ_REQUEST, .source = 2, .term = 1, .tag = 7};
    node_receive(&n, request);
    cr_assert_eq(sent_count(&n, RAFT_READ_REPLY, 2), 0);
    cr_assert_eq(sent_count(&n, RAFT_APPEND, 3), 1);
    node_answer(&n, 3, n.raft.round);
    const struct raft_message *m = &sent_alone(&n, RAFT_READ_REPLY, 2)->message;
    cr_assert(m->accepted);
    cr_assert_eq(m->index, 1);
    cr_assert_eq(m->tag, 7);
    cr_assert_eq(n.effects.read_count, 0, "it is not its own");
    for (raft_term term = 0; term <= 2; term += 2) {
        request.term = term;
        node_receive(&n, request);
        assert_no_effects(&n);
        cr_assert_eq(n.raft.read_count, 0);
    }
    node_start_as(&n, RAFT_FOLLOWER);
    request.term = 4;
    node_receive(&n, request);
    assert_no_effects(&n);
}

/* The whole of it, over a cluster: every node serves reads, and sees what was committed before. */
Test(section_D_6_4, every_node_serves) {
    static struct cluster c;
    cluster_start(&c, 5, (struct start){.config = {.pre_vote = true, .check_quorum = true}});
    cluster_elect(&c, 1);
    for (uint64_t round = 1; round <= 6; round++) {
        cluster_propose(&c, 1, round);
        cluster_settle(&c);
        raft_index commit = c.nodes[1].raft.commit;
        for (raft_id id = 1; id <= 5; id++) cluster_read(&c, id, round * 10 + id);
        cluster_run(&c, 1, 1);
        for (raft_id id = 1; id <= 5; id++) cluster_assert_read(&c, round * 10 + id, true);
        for (uint32_t i = c.read_count - 5; i < c.read_count; i++)
            cr_assert_geq(c.reads[i].index, commit);
    }
}
