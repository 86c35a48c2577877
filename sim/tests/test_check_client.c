/* test_check_client.c - the checks of what clients saw (story.h). */
#include <criterion/criterion.h>

#include "client.h"
#include "story.h"

/* A committed entry of n1, which leads term 1 and has so many: it is applied with that verdict. */
static void does(struct world *w, uint64_t index, struct node_entry entry,
                 enum node_verdict verdict) {
    entry.term = 1;
    for (node_id id = 1; id <= 2; id++) {
        saves_command(w, id, index, entry);
        puppet(w, id)->verdicts[index % NODE_LOG_MAX] = (uint8_t)verdict;
        steps(w, id);
        syncs(w, id);
    }
    learns(w, 1, 2, index);
    answers(w, 1, index);
}

static struct node_entry command(uint32_t client, uint64_t number) {
    return (struct node_entry){.type = NODE_COMMAND, .command = command_of(client, number)};
}

static void executes(struct world *w, uint64_t index, uint32_t client, uint64_t number) {
    does(w, index, command(client, number), NODE_EXECUTED);
}

/* ---- client-order, exactly-once ---- */

TestSuite(client_order, .init = open_world, .fini = close_world);

static void tell_order(struct world *w, uint32_t variant) {
    uint32_t client = variant <= FORGED ? 1 : 0;
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, client, 3);
    executes(w, 2, 2, 2); /* Of another client. */
    if (variant == LEGAL) {
        does(w, 3, command(client, 2), NODE_EXPIRED);
        struct node_entry session = {.type = NODE_SESSION, .command = command_of(client, 1)};
        does(w, 4, session, NODE_EXECUTED);
        executes(w, 5, client, 5); /* 4 was a read. */
        executes(w, 6, 0, 1);
    } else if (variant == FORGED_3) {
        executes(w, 3, client, 100);
        executes(w, 4, client, 20); /* Too far back to know whether it was there before. */
    } else {
        executes(w, 3, client, 2);
    }
}

/* The commands of a client are executed in the order of their numbers (D 6.3), also of the client
 * that has no session; what has expired is not executed, and a session is no command. */
Test(client_order, rising) { judge(CHECK_CLIENT_ORDER, 3, tell_order, FORGED_3); }

TestSuite(exactly_once, .init = open_world, .fini = close_world);

static void tell_retry(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, 1, 1);
    executes(w, 2, 1, 3);
    executes(w, 3, 2, 2);
    enum node_verdict verdict = variant == LEGAL ? NODE_DUPLICATE : NODE_EXECUTED;
    if (variant != FORGED_2) does(w, 4, command(1, 3), verdict);
    else does(w, 4, command(1, 1), verdict);
    if (variant == LEGAL) does(w, 5, command(1, 1), verdict);
}

/* A retry is not executed again: of the last command, or of one before it (D 6.3). */
Test(exactly_once, retry) { judge(CHECK_EXACTLY_ONCE, 3, tell_retry, FORGED_2); }

static void tell_late_retry(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, 0, 1);
    executes(w, 2, 0, 2);
    executes(w, 3, 0, variant == FORGED ? 2 : 65);
    if (variant == FORGED) return;
    executes(w, 4, 0, variant == LEGAL ? 66 : variant == FORGED_2 ? 2 : 1);
}

/* The client that has no session retries nothing: a node must not do it for it. However late. */
Test(exactly_once, without_a_session) { judge(CHECK_EXACTLY_ONCE, 3, tell_late_retry, FORGED_3); }

static void tell_lost_command(struct world *w, uint32_t variant) {
    const struct node_entry last[] = {command(1, 2), command(1, 1), command(1, 3), command(2, 2)};
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, 1, 2);
    does(w, 2, last[variant], NODE_DUPLICATE);
}

/* A command is taken for a duplicate, so that its client hears that it is done, and was not
 * executed: not by that client, at least (D 6.3). */
Test(exactly_once, lost) { judge(CHECK_EXACTLY_ONCE, 3, tell_lost_command, FORGED_3); }

static void tell_unknown_client(struct world *w, uint32_t variant) {
    (void)variant;
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, CONFIG_CLIENTS_MAX + 1, 2);
    executes(w, 2, CONFIG_CLIENTS_MAX + 1, 1);
    executes(w, 3, UINT16_MAX, 1);
    executes(w, 4, UINT16_MAX, 1);
    begins_read(w, command_of(UINT16_MAX, 1));
    serves(w, 2, command_of(UINT16_MAX, 1));
    steps(w, 2);
}

/* Of clients that do not exist, nothing is known. */
Test(exactly_once, unknown_client) { silent(3, tell_unknown_client, LEGAL); }

static void tell_verdicts(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, 1, 1);
    does(w, 2, command(1, 1), NODE_DUPLICATE);
    executes(w, 3, 1, 2);
    if (variant == FORGED) puppet(w, 2)->verdicts[2] = NODE_EXPIRED;
    if (variant == FORGED_2) puppet(w, 2)->verdicts[3] = NODE_DUPLICATE;
    commits(w, 2, 3);
    if (variant != LEGAL) return;
    cr_assert_eq(w->cluster->processes[1].state, w->cluster->processes[2].state);
    compacts(w, 2);
}

/* What becomes of an entry is a function of the log, on all nodes the same (D 6.3). */
Test(exactly_once, same_on_all_nodes) {
    judge(CHECK_STATE_MACHINE_SAFETY, 3, tell_verdicts, FORGED_2);
    cr_assert_str_eq(speaks(&world),
                     "n2 applies entry 3 as duplicate, another node before it as executed");
}

/* ---- against the definition ---- */

enum { NUMBERS = 200, STEPS = 150 };

/* What the checks say of these numbers, executed one after the other: when, and which. */
static bool is_judged(const uint64_t *numbers, uint32_t count, enum check_id check) {
    world_reset(&world, 3, 1u << check);
    elects(&world, 1, 1, nodes(1, 2));
    for (uint32_t i = 0; i < count; i++) executes(&world, i + 1, 1, numbers[i]);
    cr_assert_eq(world.ignored, 0, "not at the last one: %s", speaks(&world));
    return world.is_over;
}

/* Goal: the window of what was executed slides as it should. Method: numbers that rise by jumps of
 * all sizes, and then one more, anywhere: it is in order, or was there, or neither, or too far back
 * to tell, which is wrong in either way. */
Test(client_order, does_as_the_definition) {
    uint64_t random = 1;
    for (uint32_t round = 0; round < 300; round++) {
        uint64_t numbers[STEPS];
        bool was_there[NUMBERS] = {false};
        uint64_t number = 0;
        uint32_t count = 0;
        while (count < 20) {
            number += 1 + (random_next(&random) >> 32) % (round % 3 == 0 ? 70 : 4);
            if (number >= NUMBERS) break;
            was_there[number] = true;
            numbers[count++] = number;
        }
        uint64_t last = 1 + (random_next(&random) >> 32) % (NUMBERS - 1);
        uint64_t top = numbers[count - 1];
        bool is_far = last + 64 <= top;
        numbers[count++] = last;
        cr_assert_eq(is_judged(numbers, count, CHECK_EXACTLY_ONCE), was_there[last] || is_far);
        cr_assert_eq(is_judged(numbers, count, CHECK_CLIENT_ORDER),
                     last < top && (!was_there[last] || is_far));
    }
}

/* ---- linearizable-reads ---- */

TestSuite(linearizable_reads, .init = open_world, .fini = close_world);

static const uint64_t READ_A = (uint64_t)1 << 48 | 7, READ_B = (uint64_t)1 << 48 | 8,
                      READ_OF_2 = (uint64_t)2 << 48 | 7;

static void serve(struct world *w, node_id id, uint64_t handle) {
    serves(w, id, handle);
    steps(w, id);
}

/* n1 acknowledges 1/1 and has applied 2/1, n2 nothing. */
static void tell_stale_read(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    if (variant == LEGAL) begins_read(w, READ_A);
    executes(w, 1, 1, 1);
    if (variant != LEGAL) begins_read(w, READ_A);
    replicates(w, nodes(1, 2), 2, 1);
    learns(w, 1, 2, 2);
    commits(w, 1, 2);
    serve(w, 2, READ_A); /* In the legal case it had begun before. */
    if (variant == FORGED) return;
    begins_read(w, READ_B);
    commits(w, 2, 1); /* As far as was acknowledged. */
    serve(w, 2, READ_B);
}

/* A read that begins after an acknowledgement sees it (8, D 6.4). */
Test(linearizable_reads, after_an_acknowledgement) {
    judge(CHECK_LINEARIZABLE_READS, 3, tell_stale_read, FORGED);
}

static void tell_stale_after_read(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    begins_read(w, READ_A);
    if (variant == LEGAL) begins_read(w, READ_OF_2);
    serve(w, 1, READ_A);
    if (variant != LEGAL) begins_read(w, variant == FORGED ? READ_OF_2 : READ_B);
    serve(w, 2, variant == FORGED_2 ? READ_B : READ_OF_2);
}

/* ... and what another read has seen before it began, of the same client or of another one. */
Test(linearizable_reads, after_a_read) {
    judge(CHECK_LINEARIZABLE_READS, 3, tell_stale_after_read, FORGED_2);
}

static void tell_expired(struct world *w, uint32_t variant) {
    elects(w, 1, 1, nodes(1, 2));
    executes(w, 1, 1, 1);
    does(w, 2, command(1, 1), variant == LEGAL ? NODE_EXPIRED : NODE_DUPLICATE);
    commits(w, 2, 1);
    begins_read(w, READ_A);
    serve(w, 2, READ_A);
}

/* An answer that a session has expired shows nothing; that a command was done, whenever, does. */
Test(linearizable_reads, after_an_expiry) {
    judge(CHECK_LINEARIZABLE_READS, 3, tell_expired, FORGED);
}

static void tell_given_up(struct world *w, uint32_t variant) {
    agree(w, 2);
    commits(w, 2, 1);
    begins_read(w, READ_A);
    begins_read(w, READ_B);
    serve(w, 1, variant == LEGAL ? READ_A : READ_B);
    begins_read(w, READ_OF_2);
    if (variant == LEGAL) serve(w, 2, READ_A);
    serve(w, 2, READ_OF_2);
    if (variant == LEGAL) serve(w, 3, 0);
}

/* What a client has given up, or has got already, is shown to nobody; nor is a read that nobody has
 * begun. */
Test(linearizable_reads, given_up) { judge(CHECK_LINEARIZABLE_READS, 3, tell_given_up, FORGED); }

static void tell_served_with_the_apply(struct world *w, uint32_t variant) {
    agree(w, 2);
    begins_read(w, READ_A);
    serve(w, 1, READ_A);
    begins_read(w, READ_B);
    serves(w, 2, READ_B);
    commits(w, 2, variant == LEGAL ? 2 : 1);
}

/* A read sees what its own step has applied (8). */
Test(linearizable_reads, served_with_the_apply) {
    judge(CHECK_LINEARIZABLE_READS, 3, tell_served_with_the_apply, FORGED);
}
