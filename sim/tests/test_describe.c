/* test_describe.c - what is said of a node, and of a calm phase that does not come to its end: a
 * story for each reason, told by actors. */
#include "describe.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "actor.h"
#include "process.h"

static struct node_members voters(node_set set) { return (struct node_members){.voters = set}; }

/* In the calm phase n1 leads term 5, and all three have its entries up to 44; every client is done.
 */
static void begin_settled(void) {
    struct cluster_config config = quiet(3);
    config.clients = 2;
    stage_begin(config);
    for (node_id id = 1; id <= 3; id++) {
        stages[id].view = (struct node_view){
            .role = id == 1 ? NODE_LEADER : NODE_FOLLOWER,
            .term = 5,
            .vote = 1,
            .leader = 1,
            .commit = 44,
            .last = 44,
            .last_term = 5,
        };
        world->processes[id].view = stages[id].view;
        world->processes[id].applied = 44;
    }
    cluster_calm(world);
    world->core = 0xe;
    for (uint32_t i = 0; i <= 2; i++) {
        world->clients[i].has_written = world->clients[i].has_read = true;
        world->clients[i].leader = 1;
    }
}

static struct node_view *view(node_id id) { return &world->processes[id].view; }

static const char *goal(void) {
    static char text[4096];
    describe_goal(world, text, sizeof text);
    return text;
}

/* Goal: nothing is made up. Method: all has settled, and each later stage of the goal. */
Test(cluster, settled_core_waits_for_its_stage) {
    begin_settled();
    cr_assert(cluster_is_settled(world));
    world->goal.quiet_us = 77;
    cr_assert_str_eq(goal(), "all has settled, and stays so until 77 us\n");
    world->goal = (struct goal){.stage = GOAL_STAY, .leader = 1, .term = 5, .due_us = 88};
    cr_assert_str_eq(goal(), "n1 stays the leader of term 5 until 88 us\n");
    world->goal = (struct goal){.stage = GOAL_HANDOVER, .leader = 1, .target = 3};
    cr_assert_str_eq(goal(), "n1 learns that n3 has all its entries\n");
    world->goal.is_asked = true;
    cr_assert_str_eq(goal(), "n1, which was asked to, hands over to n3\n");
    world->goal.stage = GOAL_REACHED;
    cr_assert_str_eq(goal(), "");
}

/* Goal: a missing leader is named. Method: nobody leads at all; a node outside does; a log of the
 * core is full; the leader of the core is dead. */
Test(cluster, nobody_leads) {
    begin_settled();
    view(1)->role = NODE_CANDIDATE;
    cr_assert_str_eq(goal(), "nobody leads\n");
    view(2)->last = view(2)->snapshot.index + world->impl->log_max;
    cr_assert_str_eq(goal(), "nobody leads\nthe log of n2 is full, so that it cannot lead\n");
    begin_settled();
    world->core = 0xc;
    cr_assert_str_eq(goal(), "nobody leads in the core, n1 outside leads term 5\n");
    world->core = 0xe;
    process_crash(world, 1);
    cr_assert_str_eq(goal(), "nobody leads\n");
}

/* Goal: what the leader is in the midst of is named. Method: a transfer, a joint configuration, a
 * leader without a vote, a last entry of an earlier term. */
Test(cluster, leader_has_not_finished) {
    begin_settled();
    view(1)->transfer = 3;
    cr_assert_str_eq(goal(), "n1 hands over to n3\n");
    begin_settled();
    stages[1].image.members = (struct node_members){.voters = 0xe, .outgoing = 0x6};
    cr_assert_str_eq(goal(),
                     "a joint configuration is not left: voters {n1 n2 n3} and outgoing {n1 n2}\n");
    stages[1].image.members = voters(0xc);
    cr_assert_str_eq(goal(), "n1 leads, but is no voter\n");
    begin_settled();
    for (node_id id = 1; id <= 3; id++) {
        view(id)->last_term = 4;
        view(id)->commit = 43;
    }
    cr_assert_str_eq(goal(),
                     "the last entry is of term 4, and nobody has proposed since in term 5\n"
                     "n1 has committed 43 of 44\nn2 has committed 43 of 44\n"
                     "n3 has committed 43 of 44\n");
}

/* Goal: a node that lags is named with what it lacks. Method: each thing that it can lack; a node
 * that is not in the core, or not in the configuration, is not waited for. */
Test(cluster, node_lags_behind) {
    begin_settled();
    world->processes[3].applied = 41;
    cr_assert_str_eq(goal(), "n3 has applied 41 of 44\n");
    view(3)->commit = 40;
    cr_assert_str_eq(goal(), "n3 has committed 40 of 44\n");
    view(3)->last_term = 3;
    cr_assert_str_eq(goal(), "entry 44 of n3 is of term 3, not 5\n");
    view(3)->last = 50;
    cr_assert_str_eq(goal(), "n3 has entries up to 50, more than the 44 of n1\n");
    view(3)->last = 39;
    cr_assert_str_eq(goal(), "n3 has entries up to 39 of 44\n");
    view(3)->term = 4;
    cr_assert_str_eq(goal(), "n3 is in term 4, and n1 leads term 5\n");
    stages[1].image.members = voters(0x6);
    cr_assert(strstr(goal(), "n3") == NULL);
    begin_settled();
    process_crash(world, 3);
    cr_assert_str_eq(goal(), "n3 is down\n");
    world->core = 0x6;
    cr_assert(strstr(goal(), "n3") == NULL);
}

/* Goal: clients are named with what they wait for. Method: each thing; two reasons at once. */
Test(cluster, client_has_no_answer) {
    static const char *const says[] = {
        [CLIENT_IDLE] = "client 2 has not asked again, it asks n1\n",
        [CLIENT_SESSION] = "client 2 has no answer to its wish for a session, it asks n1\n",
        [CLIENT_COMMAND] = "client 2 has no answer to a command, it asks n1\n",
        [CLIENT_READ] = "client 2 has no answer to a read, it asks n1\n"};
    for (uint32_t wait = CLIENT_IDLE; wait <= CLIENT_READ; wait++) {
        begin_settled();
        world->clients[2].wait = (enum client_wait)wait;
        world->clients[2].has_read = false;
        cr_assert_str_eq(goal(), says[wait]);
    }
    world->clients[2].leader = 0;
    world->processes[2].applied = 1;
    cr_assert_str_eq(goal(), "n2 has applied 1 of 44\nclient 2 has no answer to a read\n");
}

/* Goal: whenever the core has not settled, something is named. Method: random views; the twin is
 * cluster_is_settled(). */
Test(cluster, unsettled_core_waits_for_something) {
    uint32_t settled = 0;
    uint64_t random = 1;
    for (uint32_t i = 0; i < 20000; i++) {
        begin_settled();
        for (uint32_t k = random_next(&random) % 3; k > 0; k--) {
            node_id id = (node_id)(1 + random_next(&random) % 3);
            switch (random_next(&random) % 7) {
            case 0: view(id)->term--; break;
            case 1: view(id)->commit--; break;
            case 2: view(id)->last++; break;
            case 3: view(id)->last_term--; break;
            case 4: world->processes[id].applied--; break;
            case 5: view(id)->role = NODE_CANDIDATE; break;
            case 6: world->clients[id - 1].has_written = false; break;
            }
        }
        bool is_settled = cluster_is_settled(world);
        bool says_so = strncmp(goal(), "all has settled", 15) == 0;
        cr_assert(is_settled == says_so, "%s", goal());
        settled += is_settled;
    }
    cr_assert(settled > 1000 && settled < 19000, "%u", settled);
}

static const char *node(node_id id) {
    static char text[512];
    describe_node(world, id, text, sizeof text);
    return text;
}

/* Goal: a line tells all of a node's state. Method: each role, each condition, each kind of link.
 */
Test(cluster, node_in_a_line) {
    begin_settled();
    cr_assert_str_eq(node(1), "n1 (core) leads term 5, vote for n1, commit 44, applied 44, last "
                              "entry 44 of term 5, voters {n1 n2 n3}");
    view(1)->transfer = 2;
    view(1)->snapshot = (struct node_snapshot){.index = 30, .term = 4};
    cr_assert_str_eq(node(1), "n1 (core) leads term 5, hands over to n2, vote for n1, commit 44, "
                              "applied 44, last entry 44 of term 5, snapshot at 30 of term 4, "
                              "voters {n1 n2 n3}");
    world->core = 0x6;
    network_isolate(&world->network, 3, 3);
    world->processes[3].resume_us = world->clock_us + 9;
    world->processes[3].hung_us = UINT64_MAX;
    stages[3].image.members = (struct node_members){0};
    char expected[512];
    snprintf(
        expected, sizeof expected,
        "n3 (outside) follows n1 in term 5, paused until %llu us, its disk hangs for ever, vote "
        "for n1, commit 44, applied 44, last entry 44 of term 5, no configuration, cut off "
        "from {n1 n2}",
        (unsigned long long)world->processes[3].resume_us);
    cr_assert_str_eq(node(3), expected);
    view(2)->role = NODE_PRECANDIDATE;
    view(2)->vote = 0;
    network_heal(&world->network);
    network_partition(&world->network, NETWORK_ONE_WAY, 3, 2, 1, 0);
    stages[2].image.members = (struct node_members){0x2, 0xc, 0x10};
    cr_assert_str_eq(node(2), "n2 (core) asks for pre-votes in term 5, no vote, commit 44, applied "
                              "44, last entry 44 of term 5, voters {n1} and outgoing {n2 n3}, "
                              "learners {n4}, does not reach {n1}");
    cr_assert(strstr(node(1), ", does not hear {n2}") != NULL, "%s", node(1));
    view(2)->role = NODE_CANDIDATE;
    cr_assert(strstr(node(2), "asks for votes in term 5") != NULL);
    view(3)->leader = 0;
    cr_assert(strstr(node(3), "follows nobody in term 5") != NULL);
}

/* Goal: what is down is told from its disk. Method: a node that will be back, and one that is gone,
 * with entries and without. */
Test(cluster, node_that_is_down) {
    begin_settled();
    process_crash(world, 2);
    struct disk *d = &world->disks[2];
    d->term = 6;
    d->vote = 3;
    d->snapshot = (struct node_snapshot){.index = 7, .term = 2};
    cr_assert_str_eq(node(2), "n2 (core) is down, term 6 on its disk, vote for n3, last entry 7 of "
                              "term 2, snapshot at 7 of term 2");
    d->entry_count = 2;
    d->entries[1].term = 4;
    world->gone = node_bit(2);
    cr_assert_str_eq(node(2), "n2 (core) is down for good, term 6 on its disk, vote for n3, last "
                              "entry 9 of term 4, snapshot at 7 of term 2");
}

/* Goal: large clusters fit, and what does not fit is cut off visibly. Method: 63 nodes with their
 * sets; 63 with numbers as long as they come and sets of which no two neighbours are in one. */
Test(cluster, description_is_bounded) {
    static struct description d;
    struct cluster_config config = quiet(NODE_MAX);
    stage_begin(config);
    for (node_id id = 1; id <= NODE_MAX; id++) world->processes[id].view.leader = 1;
    describe_cluster(world, &d);
    cr_assert(strstr(d.state, "n63 follows n1") != NULL && strstr(d.state, "{n1..n63}") != NULL);
    cr_assert(strstr(d.state, "...\n") == NULL);
    for (node_id id = 1; id <= NODE_MAX; id++) {
        stages[id].image.members =
            (struct node_members){.voters = 0xaaaaaaaaaaaaaaaa, .learners = 0x5555555555555554};
        view(id)->term = UINT64_MAX;
    }
    describe_cluster(world, &d);
    size_t length = strlen(d.state);
    cr_assert(length == sizeof d.state - 1);
    cr_assert_str_eq(d.state + length - 4, "...\n");
}
