/* test_client.c - clients with a session: one operation after the other, each request for until it
 * is answered, by actors that accept, refuse, crash or keep silent (D 6.3). */
#include <criterion/criterion.h>
#include <stdio.h>

#include "actor.h"
#include "client.h"

/* A world of three nodes and one such client, which asks node 1. */
static void begin(void) {
    struct cluster_config config = quiet(3);
    config.clients = 1;
    stage_begin(config);
}

static const struct client *client(void) { return &world->clients[1]; }

/* The client asks now, and this is the node that hears it. */
static const struct node_event *asks(node_id id, const char *expected) {
    char line[64];
    const char *told = ask_as(1);
    uint64_t command = command_of(1, client()->number);
    snprintf(line, sizeof line, "%u %s:%llu", id, expected, (unsigned long long)command);
    cr_assert_str_eq(told, line);
    return &stages[id].event;
}

static void is_silent(void) { cr_assert_str_eq(ask_as(1), ""); }

/* The node applies what it was proposed, as its entry at `index`, and answers. */
static const struct change *answers(node_id id, uint64_t index, const struct node_event *request,
                                    enum node_verdict verdict) {
    struct node_entry entry = {.term = 7, .type = request->u.propose.type};
    entry.command = request->u.propose.command;
    entry.session = request->u.propose.session;
    entry.serial = request->u.propose.serial;
    order_entry(id, index, entry);
    stages[id].verdict = verdict;
    order_apply(id, index, index);
    stages[id].effects.answer_from = index;
    return poke(id);
}

/* It has the session 11. */
static void open_session(void) {
    struct node_event request = *asks(1, "propose");
    cr_assert(request.u.propose.type == NODE_SESSION);
    cr_assert(request.u.propose.session == 0 && request.u.propose.serial == 0);
    cr_assert_str_eq(facts(answers(1, 11, &request, NODE_EXECUTED)), "step apply:11 answer:11");
    cr_assert(client()->session == 11 && world->counts[SOMETIMES_SESSION_OPENED] == 1);
}

static bool same_request(const struct node_event *a, const struct node_event *b) {
    return a->type == b->type && a->u.propose.type == b->u.propose.type &&
           a->u.propose.command == b->u.propose.command &&
           a->u.propose.session == b->u.propose.session &&
           a->u.propose.serial == b->u.propose.serial;
}

/* Goal: a client does one thing after the other. Method: it opens a session, then writes; each
 * answer is waited for; serials count from 1, and all that it does has a number of its own. */
Test(cluster, client_works_in_its_session) {
    begin();
    open_session();
    for (uint64_t serial = 1; serial <= 3; serial++) {
        struct node_event request = *asks(1, "propose");
        cr_assert(request.u.propose.type == NODE_COMMAND);
        cr_assert(request.u.propose.session == 11 && request.u.propose.serial == serial);
        cr_assert(client_of(request.u.propose.command) == 1);
        cr_assert(number_of(request.u.propose.command) == 1 + serial);
        is_silent(); /* It waits. */
        answers(1, 11 + serial, &request, NODE_EXECUTED);
    }
    cr_assert(world->counts[SOMETIMES_ACKNOWLEDGED] == 4 && world->counts[SOMETIMES_RETRY] == 0);
}

/* Goal: an answer that is lost does not lose the command, nor execute it twice. Method: who was
 * request applies it and crashes before it answers, or is silent; once it has waited, the client
 * asks the next node for the same, and then the one after, until it is told that it was done. */
Test(cluster, client_asks_again_for_the_same) {
    begin();
    open_session();
    struct node_event first = *asks(1, "propose");
    order_entry(1, 12, (struct node_entry){.term = 7, .type = NODE_COMMAND, .command = 1});
    order_apply(1, 12, 12);
    stages[1].effects.answer_from = 12;
    world->processes[1].crash_before = 2;
    cr_assert_str_eq(facts(poke(1)), "step apply:12 crash");
    run_for(RETRY_US - 1);
    is_silent();
    run_for(1);
    cr_assert(same_request(asks(2, "propose"), &first) && world->counts[SOMETIMES_RETRY] == 1);
    run_for(RETRY_US);
    cr_assert(same_request(asks(3, "propose"), &first) && world->counts[SOMETIMES_RETRY] == 2);
    answers(3, 13, &first, NODE_DUPLICATE);
    cr_assert(client()->wait == CLIENT_IDLE && client()->session == 11);
    cr_assert(asks(3, "propose")->u.propose.serial == 2);
    answers(2, 14, &first, NODE_EXECUTED); /* Much too late: it waits for another one. */
    cr_assert(client()->wait == CLIENT_COMMAND);
}

/* Goal: a client finds out when its session is gone. Method: its command has expired; it gives that
 * up and opens another session, in which serials begin again. */
Test(cluster, client_opens_another_session) {
    begin();
    open_session();
    struct node_event request = *asks(1, "propose");
    answers(1, 12, &request, NODE_EXPIRED);
    cr_assert(client()->session == 0 && world->counts[SOMETIMES_SESSION_EXPIRED] == 1);
    cr_assert(world->counts[SOMETIMES_ACKNOWLEDGED] == 1);
    request = *asks(1, "propose");
    cr_assert(request.u.propose.type == NODE_SESSION && number_of(request.u.propose.command) == 3);
    answers(1, 13, &request, NODE_EXECUTED);
    request = *asks(1, "propose");
    cr_assert(request.u.propose.session == 13 && request.u.propose.serial == 1);
}

/* Goal: a client that fails starts afresh. Method: it forgets, idle or while it waits: it opens
 * another session, and what it waited for is nothing to it any more. */
Test(cluster, client_forgets) {
    for (uint32_t waits = 0; waits < 2; waits++) {
        begin();
        open_session();
        struct node_event lost = {0};
        if (waits != 0) lost = *asks(1, "propose");
        forced[CHOICE_CLIENT_FORGET] = 1;
        struct node_event request = *asks(1, "propose");
        forced[CHOICE_CLIENT_FORGET] = 0;
        cr_assert(request.u.propose.type == NODE_SESSION);
        if (waits != 0) answers(1, 12, &lost, NODE_EXECUTED);
        cr_assert(client()->session == 0 && client()->wait == CLIENT_SESSION);
        answers(1, 13, &request, NODE_EXECUTED);
        cr_assert(client()->session == 13);
    }
}

static void end_read(node_id id, uint64_t handle, bool is_served, bool is_lease) {
    stages[id].effects.read_count = 1;
    stages[id].effects.reads[0] = (struct node_read){handle, is_served, is_lease};
}

/* Goal: a read begins, and ends with what the state machine then has. Method: reads that end within
 * the step or later, at a leader or not, by a lease or not; the facts and counters. */
Test(cluster, reads_are_told) {
    for (uint32_t bits = 0; bits < 8; bits++) {
        bool is_late = bits & 1, leads = bits & 2, is_lease = bits & 4;
        begin();
        open_session();
        forced[CHOICE_CLIENT_READ] = 1;
        stages[1].view.role = leads ? NODE_LEADER : NODE_FOLLOWER;
        uint64_t handle = command_of(1, 2);
        if (!is_late) end_read(1, handle, true, is_lease);
        if (!is_late) order_apply(1, 12, 13);
        asks(1, "read");
        const struct change *change = &world->change;
        cr_assert(change->facts[0].type == FACT_READ && change->facts[0].u.read.handle == handle);
        cr_assert(change->facts[0].node == 0 && change->facts[1].type == FACT_STEP);
        if (is_late) {
            is_silent();
            end_read(1, handle, true, is_lease);
            order_apply(1, 12, 13);
            cr_assert_str_eq(facts(poke(1)), "step apply:12 apply:13 serve:13");
        }
        const struct fact *serve = &change->facts[change->fact_count - 1];
        cr_assert(serve->type == FACT_SERVE && serve->node == 1);
        cr_assert(serve->u.read.handle == handle && serve->u.read.index == 13);
        cr_assert(world->counts[SOMETIMES_READ_SERVED] == 1);
        cr_assert(world->counts[SOMETIMES_READ_LEASE] == is_lease);
        cr_assert(world->counts[SOMETIMES_READ_FOLLOWER] == !leads);
        asks(1, "read"); /* The next one. */
    }
}

/* Goal: a read that fails is given up. Method: it is refused, or never answered: the next one has
 * another handle; that the first is served late is nothing to the client. */
Test(cluster, reads_are_given_up) {
    begin();
    open_session();
    forced[CHOICE_CLIENT_READ] = 1;
    uint64_t first = asks(1, "read")->u.read;
    stages[1].view.leader = 3;
    end_read(1, first, false, false);
    cr_assert_str_eq(facts(poke(1)), "step");
    cr_assert(world->counts[SOMETIMES_READ_REFUSED] == 1);
    uint64_t second = asks(3, "read")->u.read;
    cr_assert(second != first);
    run_for(RETRY_US);
    uint64_t third = asks(1, "read")->u.read;
    cr_assert(third != second && world->counts[SOMETIMES_RETRY] == 1);
    end_read(3, second, true, false);
    poke(3);
    cr_assert(client()->wait == CLIENT_READ && world->counts[SOMETIMES_READ_SERVED] == 1);
}

/* Goal: clients reach the leader, whatever they are told. Method: two nodes that name each other,
 * and themselves, for ever; the third is request nevertheless, and then those two no more. */
Test(cluster, client_is_not_sent_in_circles) {
    for (node_id named = 1; named <= 2; named++) {
        begin();
        uint32_t asked_of[4] = {0};
        for (uint32_t i = 0; i < 12; i++) {
            for (node_id id = 1; id <= 2; id++) {
                stages[id].effects.refused = true;
                stages[id].effects.leader = (node_id)(named == 1 ? 3 - id : id);
            }
            run_for(RETRY_US);
            char target = ask_as(1)[0];
            if (target != 0) asked_of[target - '0']++;
            if (target == '3') break;
        }
        cr_assert(asked_of[3] == 1 && asked_of[1] >= 1 && asked_of[2] >= 1, "%u", named);
        run_for(RETRY_US - 1);
        is_silent(); /* It waits for node 3. */
    }
}

static uint64_t next_occasion(uint32_t number) {
    for (uint32_t i = 0; i < world->queue.count; i++) {
        struct event e = queue_at(&world->queue, i);
        if (e.key == event_key(EVENT_CLIENT, 0) && e.item == number) return e.due_us;
    }
    cr_assert(false);
    return 0;
}

/* Goal: where nobody leads, clients do not ask all the time. Method: a refusal that names nobody,
 * one that names a leader, and none: only after the first it is long until the next occasion. */
Test(cluster, lost_client_takes_its_time) {
    for (uint32_t variant = 0; variant < 3; variant++) {
        begin();
        stages[1].effects.refused = variant < 2;
        stages[1].effects.leader = variant == 1 ? 3 : 0;
        asks(1, "propose");
        uint64_t delay_us = next_occasion(1) - world->clock_us;
        cr_assert((delay_us > world->config.client_us * UINT64_C(2)) == (variant == 0), "%u",
                  variant);
    }
}

/* Goal: client 0, which waits for nothing, leaves a leader that answers nothing. Method: it asks
 * for a while, with an answer in between or without. */
Test(cluster, client_0_moves_on) {
    for (uint32_t is_answered = 0; is_answered < 2; is_answered++) {
        begin();
        cr_assert(ask_as(0)[0] == '1');
        run_for(RETRY_US / 2);
        cr_assert(ask_as(0)[0] == '1');
        struct node_event request = stages[1].event;
        if (is_answered) answers(1, 12, &request, NODE_EXECUTED);
        run_for(RETRY_US / 2);
        cr_assert(ask_as(0)[0] == (is_answered ? '1' : '2'), "%u", is_answered);
    }
}

/* Goal: a client may stay with the node that it knows, whatever that one says. Method: that node
 * refuses and names another one, is down, ends a read unserved, or does not answer for long: it is
 * asked again if that is chosen, else the next one. */
Test(cluster, client_stays_with_the_leader_it_knows) {
    enum { REFUSES, IS_DOWN, FAILS_READ, IS_SILENT, WAYS };
    for (uint32_t way = REFUSES; way < WAYS; way++)
        for (uint32_t stays = 0; stays < 2; stays++) {
            begin();
            open_session();
            forced[CHOICE_CLIENT_STAY] = stays;
            forced[CHOICE_CLIENT_READ] = way == FAILS_READ;
            stages[1].effects.refused = way == REFUSES;
            stages[1].effects.leader = 3;
            stages[1].view.leader = 3;
            if (way == FAILS_READ) end_read(1, command_of(1, 2), false, false);
            if (way == IS_DOWN) crash_now(1);
            cr_assert(ask_as(1)[0] == (way == IS_DOWN ? '\0' : '1'));
            cr_assert(asked[CHOICE_CLIENT_STAY] == (way != IS_SILENT));
            run_for(RETRY_US);
            char next = way == REFUSES || way == FAILS_READ ? '3' : '2';
            cr_assert(ask_as(1)[0] == (stays ? '1' : next), "%u, %u", way, stays);
        }
}

/* Goal: while nothing can be committed without another entry (5.4.2), client 0 proposes again in
 * the calm phase, though it has got what it wanted. Method: a leader whose last entry is of an
 * earlier term, or of its own; nobody leads; the leader is the node outside whose disk hangs, whom
 * clients reach, or one whom they do not reach. The other client asks for nothing. */
Test(cluster, calm_client_0_proposes_while_it_is_needed) {
    enum { OLD_ENTRY, OWN_ENTRY, NO_LEADER, OUTSIDE, UNREACHED, WAYS };
    for (uint32_t way = OLD_ENTRY; way < WAYS; way++) {
        begin();
        cluster_calm(world);
        for (uint32_t i = 0; i < 2; i++) {
            world->clients[i].leader = 2;
            world->clients[i].has_written = world->clients[i].has_read = true;
        }
        if (way >= OUTSIDE) world->core &= ~node_bit(2);
        if (way == UNREACHED) world->reach &= ~node_bit(2);
        struct node_view *v = &world->processes[2].view;
        v->role = way == NO_LEADER ? NODE_CANDIDATE : NODE_LEADER;
        v->term = 5;
        v->last_term = way == OWN_ENTRY || way == OUTSIDE ? 5 : 4;
        bool is_needed = way == OLD_ENTRY || way == OUTSIDE;
        cr_assert_str_eq(ask_as(1), "");
        cr_assert_str_eq(ask_as(0), is_needed ? "2 propose:1" : "", "%u", way);
        cr_assert(world->counts[SOMETIMES_UNHEARD] == 0, "nobody asks in vain");
    }
}

/* Goal: in the calm phase each client wants one write and one read. Method: whatever it waited for
 * is done first; when it has both, it is content. */
Test(cluster, calm_client_writes_and_reads) {
    begin();
    world->clients[0].has_written = true;
    cluster_calm(world);
    open_session();
    cr_assert(!client_all_are_done(world));
    struct node_event request = *asks(1, "propose");
    answers(1, 12, &request, NODE_EXECUTED);
    cr_assert(client()->has_written && !client_all_are_done(world));
    end_read(1, asks(1, "read")->u.read, true, false);
    poke(1);
    cr_assert(client()->has_read && client_all_are_done(world));
    is_silent();
}

/* Goal: the calm phase has patience: an answer that takes as long as an election is not missed.
 * Method: the time until it asks again is short, but now it waits longer. */
Test(cluster, calm_client_is_patient) {
    begin();
    world->clients[0].has_written = true;
    cluster_calm(world);
    asks(1, "propose");
    run_for(QUIET_US);
    is_silent();
    run_for(QUIET_US);
    asks(2, "propose");
}

/* Goal: nobody is asked for what it cannot do. Method: a world of naive nodes with clients and an
 * operator configured: there is client 0, and nothing else. */
Test(cluster, unsupported_requests_are_not_made) {
    struct cluster *naive = cluster_new(&node_naive);
    cr_assert(naive != NULL);
    struct cluster_config config = quiet(3);
    config.clients = 2;
    config.operator_us = 1000;
    struct choices choices;
    choices_bytes(&choices, NULL, 0);
    cluster_reset(naive, &config, &choices);
    uint32_t clients = 0;
    for (uint32_t i = 0; i < naive->queue.count; i++) {
        cr_assert(event_type(queue_at(&naive->queue, i)) != EVENT_OPERATOR);
        clients += event_type(queue_at(&naive->queue, i)) == EVENT_CLIENT;
    }
    cr_assert(clients == 1);
    cluster_free(naive);
}

/* Goal: clients do not all come at once. Method: the first occasions of each number of clients. */
Test(cluster, clients_come_one_by_one) {
    for (uint32_t n = 0; n <= CONFIG_CLIENTS_MAX; n++) {
        struct cluster_config config = quiet(3);
        config.clients = n;
        stage_begin(config);
        uint64_t due[CONFIG_CLIENTS_MAX + 1] = {0};
        for (uint32_t i = 0; i < world->queue.count; i++) {
            struct event event = queue_at(&world->queue, i);
            if (event_type(event) != EVENT_CLIENT) continue;
            cr_assert(event.item <= n && due[event.item] == 0);
            due[event.item] = event.due_us;
        }
        for (uint32_t i = 0; i <= n; i++)
            for (uint32_t k = 0; k < i; k++) cr_assert(due[i] > due[k] && due[k] > 0);
    }
}
