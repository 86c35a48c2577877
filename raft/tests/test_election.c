/* test_election.c - leader election (5.1, 5.2) and its restriction (5.4.1). */
#include <criterion/criterion.h>

#include "support.h"

/* "When servers start up, they begin as followers" (5.2), in the term they had saved. */
Test(election, servers_start_as_followers) {
    for (raft_term term = 0; term < 4; term++) {
        struct node n;
        node_start(&n, (struct start){.term = term, .vote = term > 0 ? 2 : 0});
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
        cr_assert_eq(n.raft.term, term);
        cr_assert_eq(n.raft.leader, 0);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.effects.write, 0);
        cr_assert_eq(n.effects.message_count, 0);
    }
}

/* "Increment currentTerm, vote for self, reset election timer, send RequestVote RPCs to all other
 * servers" (figure 2). */
Test(election, timeout_starts_a_campaign) {
    for (uint8_t count = 1; count <= RAFT_NODES_MAX; count++) {
        struct node n;
        node_start(&n, (struct start){.voter_count = count, .term = 4, .log = "1224"});
        node_timeout(&n);
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
        cr_assert_eq(n.raft.term, 5);
        cr_assert_eq(n.raft.vote, 1);
        cr_assert(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        cr_assert_eq(n.effects.message_count, count - 1);
        for (raft_id peer = 2; peer <= count; peer++) {
            const struct raft_message *m = &sent_to(&n, RAFT_VOTE, peer)->message;
            cr_assert_eq(m->index, 4);
            cr_assert_eq(m->index_term, 4);
        }
    }
}

/* Stable storage first: a request for votes leaves when the term and the own vote are saved (5.1).
 */
Test(election, vote_requests_wait_for_the_write) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_timeout(&n);
    cr_assert_neq(n.effects.write, 0);
    for (raft_id peer = 2; peer <= 5; peer++)
        cr_assert_eq(sent_to(&n, RAFT_VOTE, peer)->after, n.effects.write);
}

/* A vote that a crash can take back does not count, the own one neither (5.2). */
Test(election, own_vote_counts_once_it_is_saved) {
    struct node n;
    node_start(&n, (struct start){0});
    node_timeout(&n);
    node_receive(&n, message_grant(2, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* The write of an earlier campaign says nothing about the vote of this one (5.2). */
Test(election, own_vote_waits_for_the_write_of_its_term) {
    struct node n;
    node_start(&n, (struct start){0});
    node_timeout(&n);
    raft_write first = n.effects.write;
    node_timeout(&n);
    node_receive(&n, message_grant(2, 2));
    node_saved(&n, first);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* A cluster of one elects itself, but not before its vote is saved (5.2). */
Test(election, single_server_leads_once_its_vote_is_saved) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 1});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.effects.message_count, 0);
    node_save(&n);
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    cr_assert_eq(n.raft.leader, 1);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_HEARTBEAT);
    cr_assert_eq(n.effects.message_count, 0);
}

/* "A candidate wins an election if it receives votes from a majority of the servers in the full
 * cluster" (5.2): no vote earlier, for every size. */
Test(election, majority_elects_the_leader) {
    for (uint8_t count = 2; count <= RAFT_NODES_MAX; count++) {
        struct node n;
        node_start(&n, (struct start){.voter_count = count});
        node_campaign(&n);
        for (raft_id peer = 2; peer <= count / 2; peer++) {
            node_receive(&n, message_grant(peer, 1));
            cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "%u of %u votes", peer, count);
        }
        node_receive(&n, message_grant(count, 1));
        cr_assert_eq(n.raft.role, RAFT_LEADER, "of %u", count);
        cr_assert_eq(n.raft.leader, 1);
    }
}

/* "It then sends heartbeat messages to all of the other servers" (5.2). */
Test(election, new_leader_makes_itself_known) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_elect(&n);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_HEARTBEAT);
    cr_assert_eq(n.effects.message_count, 4);
    for (raft_id peer = 2; peer <= 5; peer++) sent_to(&n, RAFT_APPEND, peer);
}

/* Refused votes elect nobody (5.2). */
Test(election, refusals_do_not_count) {
    struct node n;
    node_start(&n, (struct start){0});
    node_campaign(&n);
    for (raft_id peer = 2; peer <= 3; peer++) {
        struct raft_message refusal = message_grant(peer, 1);
        refusal.accepted = false;
        node_receive(&n, refusal);
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
        assert_no_effects(&n);
    }
}

/* A network may deliver a vote twice; it stays one vote (5.2). */
Test(election, duplicate_votes_count_once) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_campaign(&n);
    for (int copy = 0; copy < 4; copy++) {
        node_receive(&n, message_grant(2, 1));
        cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    }
    node_receive(&n, message_grant(3, 1));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* "Each candidate will time out and start a new election by incrementing its term" (5.2): with no
 * votes left from the old one, and none that come late. */
Test(election, candidate_restarts_with_a_new_term_and_no_votes) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_campaign(&n);
    node_receive(&n, message_grant(2, 1));
    node_campaign(&n);
    cr_assert_eq(n.raft.term, 2);
    node_receive(&n, message_grant(3, 2));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "the vote of node 2 was for term 1");
    node_receive(&n, message_grant(4, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE, "the vote of node 4 is for term 1");
    assert_no_effects(&n);
    node_receive(&n, message_grant(4, 2));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
}

/* Votes that come after the election change nothing, for the leader and for the loser (5.2). */
Test(election, votes_after_the_election_are_ignored) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_elect(&n);
    node_receive(&n, message_grant(5, 1));
    cr_assert_eq(n.raft.role, RAFT_LEADER);
    assert_no_effects(&n);
    node_start(&n, (struct start){0});
    node_campaign(&n);
    node_receive(&n, message_append(3, 1, "", 1, 0));
    node_receive(&n, message_grant(2, 1));
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    assert_no_effects(&n);
}

/* "If the leader's term ... is at least as large as the candidate's current term, then the
 * candidate recognizes the leader as legitimate and returns to follower state" (5.2). Its vote
 * stays. */
Test(election, candidate_yields_to_the_leader_of_its_term) {
    struct raft_message messages[] = {message_append(3, 1, "", 1, 0), message_snapshot(3, 1, 1, 1)};
    for (int i = 0; i < 2; i++) {
        struct node n;
        node_start(&n, (struct start){0});
        node_campaign(&n);
        node_receive(&n, messages[i]);
        cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
        cr_assert_eq(n.raft.term, 1);
        cr_assert_eq(n.raft.leader, 3);
        cr_assert_eq(n.raft.vote, 1, "the vote of term 1 is cast");
        cr_assert_not(n.effects.save_vote);
        cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
        node_receive(&n, message_vote(2, 1, 9, 1));
        cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    }
}

/* "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects
 * the RPC and continues in candidate state" (5.2). */
Test(election, candidate_ignores_the_leader_of_an_older_term) {
    struct node n;
    node_start(&n, (struct start){.term = 3});
    node_campaign(&n);
    node_receive(&n, message_append(2, 3, "3", 1, 1));
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
    cr_assert_eq(n.raft.leader, 0);
    assert_log(&n, "");
    cr_assert_not(sent_alone(&n, RAFT_APPEND_REPLY, 2)->message.accepted);
}

static void start_as(struct node *n, enum raft_role role) {
    node_start(n, (struct start){.term = 4, .log = "14"});
    if (role == RAFT_CANDIDATE) node_campaign(n);
    if (role == RAFT_LEADER) node_elect(n);
    cr_assert_eq(n->raft.role, role);
}

/* One message of each type, of the term. The vote is one that must be refused. */
static struct raft_message message_of(enum raft_message_type type, raft_term term) {
    switch (type) {
    case RAFT_VOTE: return message_vote(2, term, 0, 0);
    case RAFT_VOTE_REPLY: return message_grant(2, term);
    case RAFT_APPEND: return message_append(2, term, "14", 3, 2);
    case RAFT_APPEND_REPLY: return message_rejected(2, term, 2, 0, 0);
    case RAFT_SNAPSHOT: return message_snapshot(2, term, 2, 4);
    case RAFT_SNAPSHOT_REPLY: break;
    }
    struct raft_message m = message_rejected(2, term, 2, 0, 0);
    m.type = RAFT_SNAPSHOT_REPLY;
    return m;
}

/* "If one server's current term is smaller than the other's, then it updates its current term to
 * the larger value. If a candidate or leader discovers that its term is out of date, it immediately
 * reverts to follower state" (5.1): in every role, whatever the message. */
Test(election, higher_term_makes_a_follower) {
    for (unsigned role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (unsigned type = RAFT_VOTE; type <= RAFT_SNAPSHOT_REPLY; type++) {
            struct node n;
            start_as(&n, (enum raft_role)role);
            node_receive(&n, message_of((enum raft_message_type)type, 9));
            bool from_leader = type == RAFT_APPEND || type == RAFT_SNAPSHOT;
            cr_assert_eq(n.raft.role, RAFT_FOLLOWER, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.term, 9, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.vote, 0, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.leader, from_leader ? 2 : 0, "role %u, type %u", role, type);
            cr_assert(n.effects.save_vote, "role %u, type %u", role, type);
            bool restarts = from_leader || role == RAFT_LEADER;
            cr_assert_eq(n.effects.timer, restarts ? RAFT_TIMER_ELECTION : RAFT_TIMER_KEEP,
                         "role %u, type %u", role, type);
        }
    }
}

/* "If a server receives a request with a stale term number, it rejects the request" (5.1), and says
 * its own term; a stale reply is ignored. */
Test(election, stale_terms_are_rejected) {
    for (unsigned role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (unsigned type = RAFT_VOTE; type <= RAFT_SNAPSHOT_REPLY; type++) {
            struct node n;
            start_as(&n, (enum raft_role)role);
            raft_term term = n.raft.term;
            node_receive(&n, message_of((enum raft_message_type)type, term - 1));
            cr_assert_eq(n.raft.role, role, "role %u, type %u", role, type);
            cr_assert_eq(n.raft.term, term, "role %u, type %u", role, type);
            cr_assert_eq(n.effects.timer, RAFT_TIMER_KEEP, "role %u, type %u", role, type);
            if (type == RAFT_VOTE || type == RAFT_APPEND || type == RAFT_SNAPSHOT) {
                enum raft_message_type reply = (enum raft_message_type)(type + 1);
                cr_assert_not(sent_alone(&n, reply, 2)->message.accepted);
            } else {
                assert_no_effects(&n);
            }
        }
    }
}

/* "Each server will vote for at most one candidate in a given term, on a first-come-first-served
 * basis" (5.2); the same candidate may ask again. */
Test(election, one_vote_a_term) {
    struct node n;
    node_start(&n, (struct start){.voter_count = 5});
    node_receive(&n, message_vote(3, 1, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    cr_assert(n.effects.save_vote);
    for (raft_id other = 2; other <= 5; other++) {
        node_receive(&n, message_vote(other, 1, 7, 1));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, other)->message.accepted, other == 3);
        cr_assert_eq(n.raft.vote, 3);
        cr_assert_eq(n.effects.write, 0, "nothing new to save");
    }
    node_receive(&n, message_vote(2, 2, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, "a new term, a new vote");
}

/* A candidate and a leader have voted for themselves (5.2). */
Test(election, candidate_and_leader_refuse_their_vote) {
    for (unsigned role = RAFT_CANDIDATE; role <= RAFT_LEADER; role++) {
        struct node n;
        start_as(&n, (enum raft_role)role);
        node_receive(&n, message_vote(2, 5, 99, 5));
        cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
        cr_assert_eq(n.raft.role, role);
        cr_assert_eq(n.raft.vote, 1);
    }
}

/* A vote leaves the node when it is saved, and so does its duplicate (5.1, figure 2: "updated on
 * stable storage before responding to RPCs"). */
Test(election, granted_vote_waits_for_the_write) {
    struct node n;
    node_start(&n, (struct start){.term = 1});
    node_receive(&n, message_vote(2, 1, 0, 0));
    raft_write write = n.effects.write;
    cr_assert(n.effects.save_vote);
    cr_assert_neq(write, 0);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, write);
    node_receive(&n, message_vote(2, 1, 0, 0));
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, write);
    node_saved(&n, write);
    node_receive(&n, message_vote(2, 1, 0, 0));
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, 0);
}

/* A refusal says the term, which must be saved as well: else a crash would take it back (5.1). */
Test(election, refused_vote_waits_for_the_write_of_its_term) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "2"});
    node_receive(&n, message_vote(2, 3, 0, 0));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    cr_assert_neq(n.effects.write, 0);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, n.effects.write);
}

/* "If the logs have last entries with different terms, then the log with the later term is more
 * up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date"
 * (5.4.1). */
Test(election, vote_goes_to_an_up_to_date_log_only) {
    static const struct {
        const char *log;
        raft_index last;
        raft_term last_term;
        bool granted;
    } rows[] = {
        {"", 0, 0, true},       {"", 1, 1, true},        {"1", 0, 0, false},   {"1", 1, 1, true},
        {"1", 2, 1, true},      {"11", 1, 1, false},     {"113", 3, 3, true},  {"113", 4, 3, true},
        {"113", 2, 3, false},   {"113", 3, 2, false},    {"113", 9, 2, false}, {"113", 1, 4, true},
        {"112222", 3, 3, true}, {"112222", 6, 1, false}, {"4", 9, 3, false},   {"4", 1, 5, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 5, .log = rows[i].log});
        node_receive(&n, message_vote(2, 6, rows[i].last, rows[i].last_term));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, rows[i].granted,
                     "row %zu: log \"%s\"", i, rows[i].log);
        cr_assert_eq(n.raft.vote, rows[i].granted ? 2 : 0, "row %zu", i);
        cr_assert_eq(n.raft.term, 6, "row %zu", i);
    }
}

/* A refused candidate does not use up the vote: a better one may have it (5.4.1). */
Test(election, refusal_leaves_the_vote_free) {
    struct node n;
    node_start(&n, (struct start){.term = 2, .log = "12"});
    node_receive(&n, message_vote(2, 3, 9, 1));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    node_receive(&n, message_vote(3, 3, 2, 2));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
}

/* The log that is compared goes on where the snapshot ends (5.4.1, 7). */
Test(election, snapshot_counts_as_log) {
    struct node n;
    struct start start = {.term = 5, .snapshot = {.index = 7, .term = 3}};
    for (raft_index last = 6; last <= 8; last++) {
        node_start(&n, start);
        node_receive(&n, message_vote(2, 6, last, 3));
        cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted, last >= 7);
    }
    node_start(&n, start);
    node_timeout(&n);
    cr_assert_eq(sent_to(&n, RAFT_VOTE, 2)->message.index, 7);
    cr_assert_eq(sent_to(&n, RAFT_VOTE, 2)->message.index_term, 3);
}

/* Term and vote are persistent (figure 2): a restart does not give a second vote. */
Test(election, vote_survives_a_restart) {
    struct node n;
    node_start(&n, (struct start){0});
    node_receive(&n, message_vote(2, 4, 0, 0));
    cr_assert(n.effects.save_vote);
    node_start(&n, (struct start){.term = n.raft.term, .vote = n.raft.vote});
    node_receive(&n, message_vote(3, 4, 9, 4));
    cr_assert_not(sent_alone(&n, RAFT_VOTE_REPLY, 3)->message.accepted);
    cr_assert_eq(n.effects.write, 0);
    node_receive(&n, message_vote(2, 4, 0, 0));
    cr_assert(sent_alone(&n, RAFT_VOTE_REPLY, 2)->message.accepted);
    cr_assert_eq(sent_alone(&n, RAFT_VOTE_REPLY, 2)->after, 0);
}

/* "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
 * vote to candidate" (figure 2): nothing else restarts the timer. */
Test(election, timer_restarts_for_the_leader_and_for_a_vote_only) {
    const struct {
        struct raft_message message;
        enum raft_timer timer;
    } rows[] = {
        {message_append(2, 4, "4", 1, 0), RAFT_TIMER_ELECTION},
        {message_append(2, 4, "44", 3, 2), RAFT_TIMER_ELECTION}, /* Rejected, but the leader. */
        {message_append(2, 3, "3", 1, 1), RAFT_TIMER_KEEP},
        {message_snapshot(2, 4, 9, 4), RAFT_TIMER_ELECTION},
        {message_snapshot(2, 3, 9, 3), RAFT_TIMER_KEEP},
        {message_vote(2, 4, 1, 4), RAFT_TIMER_ELECTION},
        {message_vote(2, 5, 1, 4), RAFT_TIMER_ELECTION},
        {message_vote(2, 4, 0, 0), RAFT_TIMER_KEEP}, /* Refused: its log is too short. */
        {message_vote(2, 5, 0, 0), RAFT_TIMER_KEEP}, /* The same, in a new term. */
        {message_vote(2, 3, 9, 9), RAFT_TIMER_KEEP},
        {message_grant(2, 5), RAFT_TIMER_KEEP},
        {message_accepted(2, 5, 1), RAFT_TIMER_KEEP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node n;
        node_start(&n, (struct start){.term = 4, .log = "4"});
        node_receive(&n, rows[i].message);
        cr_assert_eq(n.effects.timer, rows[i].timer, "row %zu", i);
    }
}

/* A full log has no room for the no-op, without which a leader cannot commit (8): the node leaves
 * the election to others until it has compacted (7). */
Test(election, full_log_does_not_campaign) {
    char log[RAFT_LOG_MAX + 1];
    struct node n;
    node_start(&n, (struct start){.term = 1, .log = log_repeat(log, '1', RAFT_LOG_MAX)});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.term, 1);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
    cr_assert_eq(n.effects.message_count, 0);
    cr_assert_eq(n.effects.write, 0);
    struct raft_message heartbeat = message_append(2, 1, log, RAFT_LOG_MAX + 1, RAFT_LOG_MAX);
    heartbeat.commit = 1;
    node_receive(&n, heartbeat);
    node_compact(&n, 1);
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_CANDIDATE);
}

/* Only a member of the configuration stands for election (5.2, 6). */
Test(election, server_without_a_vote_does_not_campaign) {
    struct node n;
    node_start(&n, (struct start){.self = 4, .voter_count = 3, .term = 2});
    node_timeout(&n);
    cr_assert_eq(n.raft.role, RAFT_FOLLOWER);
    cr_assert_eq(n.raft.term, 2);
    cr_assert_eq(n.effects.message_count, 0);
    cr_assert_eq(n.effects.timer, RAFT_TIMER_ELECTION);
}

/* Split vote, then a new term that decides (5.2): four servers, two candidates. */
Test(election, split_vote_is_settled_in_a_later_term) {
    static struct cluster c;
    cluster_start(&c, 4, 0, "");
    c.cut = (raft_set)1 << 2 | (raft_set)1 << 4;
    cluster_timeout(&c, 1);
    cluster_settle(&c);
    c.cut = (raft_set)1 << 1 | (raft_set)1 << 3;
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    c.cut = 0;
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    cr_assert_eq(c.nodes[2].raft.role, RAFT_LEADER);
    cr_assert_eq(c.nodes[2].raft.term, 2);
    cluster_timeout(&c, 2);
    cluster_settle(&c);
    cluster_assert_converged(&c);
}
