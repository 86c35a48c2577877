/* client.c - the clients: ask, follow refusals to the leader, wait, ask again. */
#include "client.h"

#include <assert.h>

#include "calm.h"
#include "process.h"

static bool supports(const struct cluster *c, enum node_support feature) {
    return (c->impl->supports & (uint32_t)feature) != 0;
}

/* The highest client. */
uint32_t client_last(const struct cluster *c) {
    return supports(c, NODE_HAS_SESSIONS) ? c->config.clients : 0;
}

static bool has_all_reads(const struct cluster *c, uint32_t number) {
    return number == 0 || !supports(c, NODE_HAS_READS) || c->clients[number].has_read;
}

bool client_is_done(const struct cluster *c, uint32_t number) {
    return c->clients[number].has_written && has_all_reads(c, number);
}

bool client_all_are_done(const struct cluster *c) {
    for (uint32_t number = 0; number <= client_last(c); number++)
        if (!client_is_done(c, number)) return false;
    return true;
}

/* ---- whom it asks ---- */

static node_id after(const struct cluster *c, node_id id) {
    return (node_id)(id % cluster_count(c) + 1);
}

/* It trusts the node that it knows to lead, whatever that one says, and asks it again. */
static bool stays(struct cluster *c, const struct client *client) {
    uint16_t number = (uint16_t)(client - c->clients);
    return choice_take(c->choices, CHOICE_CLIENT_STAY, number, 2) != 0;
}

/* The node that was asked names the leader, or nobody. Two that name each other would be asked for
 * ever: when one that was named names another, it is the turn of the next node. */
static void follow(struct cluster *c, struct client *client, node_id named) {
    if (stays(c, client)) return;
    client->is_named = !client->is_named && named >= 1 && named <= cluster_count(c);
    client->leader = client->is_named ? named : after(c, client->turn);
}

/* False: it does not hear, and the next one is asked the next time. */
static bool find_target(struct cluster *c, uint32_t number, node_id *out) {
    struct client *client = &c->clients[number];
    uint32_t bound = cluster_count(c) + 1;
    uint32_t chosen = choice_take(c->choices, CHOICE_CLIENT_TARGET, (uint16_t)number, bound);
    if (chosen != 0) client->is_named = false;
    if (chosen != 0) client->leader = (node_id)chosen;
    if (!client->is_named) client->turn = client->leader;
    *out = client->leader;
    if (process_listens(c, *out)) return true;
    c->counts[SOMETIMES_UNHEARD]++;
    follow(c, client, 0);
    return false;
}

/* A read is never refused in its step: it ends, served or not, as the effects tell. */
static bool is_refused(struct cluster *c, struct client *client, enum node_event_type request) {
    if (request == NODE_READ || !c->effects.refused) {
        client->is_named = false; /* It leads: whomever it names later is believed again. */
        client->turn = client->leader;
        return false;
    }
    c->counts[SOMETIMES_REFUSED]++;
    follow(c, client, c->effects.leader);
    return true;
}

/* ---- how long it waits ---- */

/* In the calm phase it waits for as long as an election may take: one that gives up too soon would
 * never be served. */
static uint64_t patience_us(const struct cluster *c) {
    uint32_t election_us = c->config.election_us_max, retry_us = c->config.retry_us;
    return c->is_calm && election_us > retry_us ? election_us : retry_us;
}

/* ---- client 0 ---- */

static void propose_next(struct cluster *c) {
    struct client *client = &c->clients[0];
    if (client->retry_us <= c->clock_us) { /* Nothing that it asked for was answered for long. */
        follow(c, client, 0);
        client->retry_us = c->clock_us + patience_us(c);
    }
    struct node_event propose = {.type = NODE_PROPOSE};
    propose.u.propose.type = NODE_COMMAND;
    propose.u.propose.command = command_of(0, ++client->number);
    node_id target;
    if (!find_target(c, 0, &target)) return;
    process_step(c, target, &propose);
    is_refused(c, client, propose.type);
}

/* ---- clients with a session ---- */

static bool wants_read(struct cluster *c, uint32_t number) {
    if (!supports(c, NODE_HAS_READS)) return false;
    if (c->is_calm) return c->clients[number].has_written;
    return choice_take(c->choices, CHOICE_CLIENT_READ, (uint16_t)number, 2) != 0;
}

static void begin_operation(struct cluster *c, uint32_t number) {
    struct client *client = &c->clients[number];
    client->number++;
    if (client->session == 0) {
        client->wait = CLIENT_SESSION;
    } else if (wants_read(c, number)) {
        client->wait = CLIENT_READ;
    } else {
        client->wait = CLIENT_COMMAND;
        client->serial++;
    }
}

static void stop_waiting(struct client *client) {
    client->wait = CLIENT_IDLE;
    client->retry_us = 0;
}

/* Too long without an answer. A read is asked again as another one. */
static void give_up(struct cluster *c, struct client *client) {
    c->counts[SOMETIMES_RETRY]++;
    follow(c, client, 0);
    client->retry_us = 0;
    if (client->wait == CLIENT_READ) stop_waiting(client);
}

static struct node_event request_of(const struct cluster *c, uint32_t number) {
    const struct client *client = &c->clients[number];
    struct node_event event = {.type = NODE_PROPOSE};
    uint64_t command = command_of(number, client->number);
    switch (client->wait) {
    case CLIENT_SESSION:
        event.u.propose.type = NODE_SESSION;
        event.u.propose.command = command;
        return event;
    case CLIENT_COMMAND:
        event.u.propose.type = NODE_COMMAND;
        event.u.propose.command = command;
        event.u.propose.session = client->session;
        event.u.propose.serial = client->serial;
        return event;
    case CLIENT_READ:
        event.type = NODE_READ;
        event.u.read = command;
        return event;
    case CLIENT_IDLE: break;
    }
    assert(false);
    return event;
}

/* The answer may come within the step. */
static void ask(struct cluster *c, uint32_t number, node_id target) {
    struct client *client = &c->clients[number];
    struct node_event request = request_of(c, number);
    if (request.type == NODE_READ) change_add(c, FACT_READ, 0)->u.read.handle = request.u.read;
    client->retry_us = c->clock_us + patience_us(c);
    process_step(c, target, &request);
    if (is_refused(c, client, request.type)) client->retry_us = 0;
}

static void pursue(struct cluster *c, uint32_t number) {
    struct client *client = &c->clients[number];
    if (choice_take(c->choices, CHOICE_CLIENT_FORGET, (uint16_t)number, 2) != 0) {
        client->session = 0;
        stop_waiting(client);
    }
    if (client->retry_us > c->clock_us) return;
    if (client->retry_us != 0) give_up(c, client);
    node_id target;
    if (!find_target(c, number, &target)) return;
    if (client->wait == CLIENT_IDLE) begin_operation(c, number);
    ask(c, number, target);
}

/* ---- answers ---- */

/* What it waits for is done, as `fact` says. */
static void finish(struct cluster *c, struct client *client, const struct fact *fact) {
    if (client->wait == CLIENT_SESSION) {
        c->counts[SOMETIMES_SESSION_OPENED]++;
        client->session = fact->u.applied.index;
        client->serial = 0;
    } else if (fact->u.applied.verdict == NODE_EXPIRED) {
        client->session = 0;
    } else {
        client->has_written = c->is_calm;
    }
    stop_waiting(client);
}

void client_answer(struct cluster *c, const struct fact *fact) {
    uint64_t command = fact->u.applied.entry.command;
    uint32_t number = client_of(command);
    if (fact->u.applied.verdict != NODE_EXPIRED) c->counts[SOMETIMES_ACKNOWLEDGED]++;
    if (number > CONFIG_CLIENTS_MAX) return; /* A node made it up. */
    struct client *client = &c->clients[number];
    bool is_awaited = client->wait == CLIENT_SESSION || client->wait == CLIENT_COMMAND;
    if (number == 0) {
        client->has_written = c->is_calm;
        client->retry_us = c->clock_us + patience_us(c);
    } else if (is_awaited && client->number == number_of(command)) {
        finish(c, client, fact);
    }
}

void client_read_end(struct cluster *c, node_id id, const struct node_read *read) {
    uint32_t number = client_of(read->handle);
    if (number > CONFIG_CLIENTS_MAX) return; /* A node made it up. */
    struct client *client = &c->clients[number];
    if (client->wait != CLIENT_READ || client->number != number_of(read->handle)) return;
    stop_waiting(client);
    if (read->is_served) client->has_read = c->is_calm;
    else follow(c, client, cluster_view(c, id)->leader);
}

/* ---- time ---- */

static void schedule(struct cluster *c, uint32_t number, uint64_t more_us) {
    uint32_t bound = c->config.client_us + 1;
    more_us += choice_take(c->choices, CHOICE_CLIENT_TIME, (uint16_t)number, bound);
    struct event event = {.due_us = c->clock_us + c->config.client_us + more_us,
                          .key = event_key(EVENT_CLIENT, 0),
                          .item = number};
    bool has_room = queue_push(&c->queue, event);
    assert(has_room);
}

/* Where nobody leads, it is of no use to ask again at once. */
void client_occasion(struct cluster *c, uint32_t number) {
    enum { PATIENCE = 7 };
    bool is_asked = number == 0 && c->is_calm && calm_needs_proposal(c);
    if (!client_is_done(c, number) || is_asked) {
        if (number == 0) propose_next(c);
        else pursue(c, number);
    }
    const struct client *client = &c->clients[number];
    bool is_lost = client->leader != client->turn && !client->is_named;
    schedule(c, number, is_lost ? (uint64_t)PATIENCE * c->config.client_us : 0);
}

void client_begin(struct cluster *c) {
    for (uint32_t number = 0; number <= client_last(c); number++) {
        c->clients[number] = (struct client){.leader = 1, .turn = 1};
        if (number == 0) c->clients[number].retry_us = patience_us(c);
        uint64_t shift_us = (uint64_t)c->config.client_us * number / (client_last(c) + 1);
        schedule(c, number, shift_us); /* Not all at once. */
    }
}
