/* check_client.c - what clients saw: client-order, exactly-once (D 6.3), linearizable-reads
 * (8, D 6.4). */
#include <assert.h>

#include "client.h"
#include "shadow.h"

/* ---- commands ---- */

enum { WINDOW = 64 }; /* So far back it is known which commands were executed. */

/* Also of those too far back to tell. */
static bool may_be_executed(const struct client_shadow *s, uint64_t number) {
    if (number > s->number) return false;
    uint64_t back = s->number - number;
    return back >= WINDOW || (s->executed >> back & 1);
}

static void note_executed(struct client_shadow *s, uint64_t number) {
    if (number > s->number) {
        uint64_t more = number - s->number;
        s->executed = more < WINDOW ? s->executed << more : 0;
        s->number = number;
    }
    uint64_t back = s->number - number;
    if (back < WINDOW) s->executed |= (uint64_t)1 << back;
}

/* The order holds in every log, also for a client that does not wait, and for what it has given up:
 * when a leader appends an entry, all that comes before it in any log that will ever have it is
 * there already (5.3), so that every log has its entries in the order in which they were proposed.
 * A client proposes in the order of its numbers, and copies of a command only before the next. */
static void check_executed(struct checks *k, const struct cluster *c, const struct fact *fact) {
    uint64_t command = fact->u.applied.entry.command, number = number_of(command);
    struct client_shadow *s = &k->clients[client_of(command)];
    bool is_old = number <= s->number, is_again = may_be_executed(s, number);
    bool is_far = is_old && s->number - number >= WINDOW;
    if (is_old && (is_far || !is_again))
        check_fail(k, c, CHECK_CLIENT_ORDER,
                   "n%u executes command %llu of client %u at %llu, after its command %llu",
                   fact->node, (ull)number, client_of(command), (ull)fact->u.applied.index,
                   (ull)s->number);
    if (is_again)
        check_fail(k, c, CHECK_EXACTLY_ONCE,
                   "n%u executes command %llu of client %u at %llu, which was executed before",
                   fact->node, (ull)number, client_of(command), (ull)fact->u.applied.index);
    note_executed(s, number);
}

void check_client_apply(struct checks *k, const struct cluster *c, const struct fact *fact) {
    uint64_t command = fact->u.applied.entry.command;
    if (fact->u.applied.entry.type != NODE_COMMAND || client_of(command) > CONFIG_CLIENTS_MAX)
        return;
    switch (fact->u.applied.verdict) {
    case NODE_EXECUTED: check_executed(k, c, fact); return;
    case NODE_DUPLICATE:
        if (may_be_executed(&k->clients[client_of(command)], number_of(command))) return;
        check_fail(k, c, CHECK_EXACTLY_ONCE,
                   "n%u takes command %llu of client %u at %llu for one that was executed before",
                   fact->node, (ull)number_of(command), client_of(command),
                   (ull)fact->u.applied.index);
        return;
    case NODE_EXPIRED: return;
    }
    assert(false);
}

/* ---- reads ---- */

static void show(struct checks *k, uint64_t index) {
    if (k->shown < index) k->shown = index;
}

/* A client has one read under way: the last that it has begun. */
static void begin_read(struct checks *k, uint64_t handle) {
    if (client_of(handle) > CONFIG_CLIENTS_MAX) return;
    struct client_shadow *s = &k->clients[client_of(handle)];
    s->read = handle;
    s->floor = k->shown;
}

/* "Linearizability requires the results of a read to reflect a state of the system sometime after
 * the read was initiated" (D 6.4). What nobody waits for is shown to nobody. */
static void end_read(struct checks *k, const struct cluster *c, const struct fact *fact) {
    uint64_t handle = fact->u.read.handle, index = fact->u.read.index;
    if (handle == 0 || client_of(handle) > CONFIG_CLIENTS_MAX) return;
    struct client_shadow *s = &k->clients[client_of(handle)];
    if (s->read != handle) return;
    s->read = 0;
    show(k, index);
    if (index >= s->floor) return;
    check_fail(k, c, CHECK_LINEARIZABLE_READS,
               "n%u serves a read of client %u at %llu, but %llu had been shown before it began",
               fact->node, client_of(handle), (ull)index, (ull)s->floor);
}

void check_client_fact(struct checks *k, const struct cluster *c, const struct fact *fact) {
    switch (fact->type) {
    case FACT_READ: begin_read(k, fact->u.read.handle); return;
    case FACT_SERVE: end_read(k, c, fact); return;
    case FACT_ANSWER:
        if (fact->u.applied.verdict != NODE_EXPIRED) show(k, fact->u.applied.index);
        return;
    case FACT_START:
    case FACT_STEP:
    case FACT_WRITE:
    case FACT_DURABLE:
    case FACT_LEAVE:
    case FACT_PREVOTE:
    case FACT_RESTORE:
    case FACT_APPLY:
    case FACT_CRASH:
    case FACT_WIPE:
    case FACT_CONTRACT: break;
    }
    assert(false);
}
