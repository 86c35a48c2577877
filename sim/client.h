/* client.h - the clients of the cluster. Part of the cluster; all may read what a command says.
 *
 * Client 0 proposes at every occasion, without a session: it does not wait, and never asks again,
 * or its command could be executed twice. The others open a session, do one operation after the
 * other, and repeat each at other nodes until it is answered (D 6.3). */
#ifndef CLIENT_H
#define CLIENT_H

#include "cluster.h"

/* The name of an operation: its client, and its number, counted from 1. */
static inline uint64_t command_of(uint32_t client, uint64_t number) {
    return (uint64_t)client << 48 | number;
}
static inline uint32_t client_of(uint64_t command) { return (uint32_t)(command >> 48); }
static inline uint64_t number_of(uint64_t command) { return command & (((uint64_t)1 << 48) - 1); }

/* Begins the run of all clients. */
void client_begin(struct cluster *c);
/* The client may ask for something, or ask again. The next occasion follows by itself. */
void client_occasion(struct cluster *c, uint32_t number);
/* It is told what became of an entry, as that fact says. */
void client_answer(struct cluster *c, const struct fact *answer);
void client_read_end(struct cluster *c, node_id id, const struct node_read *read);
/* In the calm phase: it has written once and, where that is supported, read once. */
bool client_is_done(const struct cluster *c, uint32_t number);
bool client_all_are_done(const struct cluster *c);
/* Clients are numbered from 0 to this. */
uint32_t client_last(const struct cluster *c);

#endif
