/* client.c - proposes commands, follows refusals to the leader. */
#include "client.h"

#include "process.h"

static node_id choose_target(struct cluster *c) {
    uint32_t chosen = choice_take(c->choices, CHOICE_CLIENT_TARGET, 0, c->config.nodes + 1);
    return chosen != 0 ? (node_id)chosen : c->client.leader;
}

static node_id after(const struct cluster *c, node_id id) {
    return (node_id)(id % c->config.nodes + 1);
}

void client_propose(struct cluster *c) {
    struct client *client = &c->client;
    if (client->is_done) return;
    node_id target = choose_target(c);
    const struct process *p = &c->processes[target];
    uint64_t command = ++client->proposed;
    bool is_reachable = c->core >> target & 1;
    if (!is_reachable || !p->is_alive || p->resume_us > c->clock_us) {
        c->counts[SOMETIMES_UNHEARD]++;
        client->leader = after(c, target);
        return;
    }
    struct node_event propose = {.type = NODE_PROPOSE, .now_us = c->clock_us};
    propose.u.command = command;
    process_step(c, target, &propose);
    client->leader = target;
    if (!c->effects.refused) return;
    c->counts[SOMETIMES_REFUSED]++;
    client->leader = c->effects.leader != 0 ? c->effects.leader : after(c, target);
}

uint64_t client_delay_us(struct cluster *c) {
    uint32_t more = choice_take(c->choices, CHOICE_CLIENT_TIME, 0, c->config.client_us + 1);
    return (uint64_t)c->config.client_us + more;
}
