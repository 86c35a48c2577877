/* example.c - how a server embeds raft/: three of them in one process, over a plain queue. Each
 * adds up the numbers that a client sends. The test runs it; README.md explains it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "raft.h"

enum { SERVERS = 3, QUEUE_MAX = 1024, HEARTBEAT_TICKS = 3, ELECTION_TICKS = 12, COMPACT_AFTER = 8 };

struct disk { /* What survives a crash. */
    raft_term term;
    raft_id vote;
    struct raft_snapshot snapshot;
    uint32_t entry_count;
    struct raft_entry entries[RAFT_LOG_MAX];
};

struct server {
    struct raft raft;
    struct raft_effects effects;
    struct disk disk;
    bool is_up;
    int ticks_left;   /* Of the timer. */
    uint64_t sum;     /* The state machine. Small enough to be its own handle in a snapshot. */
    raft_index reply; /* To the client that waits here: the entry that was executed. */
};

static struct server servers[SERVERS + 1]; /* By id. */
static struct raft_message queue[QUEUE_MAX];
static uint32_t head, tail;

/* 1. Save, all of it for brevity. A real server writes what save_vote, save_snapshot and save_from
 * name, as one atomic write; it may sync it in the background and go on. The bytes of a chunk
 * (save_chunk) are nothing here: the handle of the state is the state. */
static void save(struct server *s) {
    struct disk *d = &s->disk;
    if (s->effects.write == 0) return;
    d->term = s->raft.term;
    d->vote = s->raft.vote;
    d->snapshot = s->raft.snapshot;
    d->entry_count = (uint32_t)(s->raft.last - d->snapshot.index);
    for (uint32_t i = 0; i < d->entry_count; i++)
        d->entries[i] = *raft_entry_at(&s->raft, d->snapshot.index + 1 + i);
}

/* 4. Apply, each entry once. 5. Answer. */
static void apply(struct server *s) {
    const struct raft_effects *e = &s->effects;
    if (e->apply_snapshot) s->sum = s->raft.snapshot.state;
    for (raft_index i = e->apply_from; i != 0 && i <= e->apply_to; i++) {
        const struct raft_entry *entry = raft_entry_at(&s->raft, i);
        bool is_executed = raft_verdict_at(&s->raft, i) == RAFT_EXECUTED;
        if (entry->type == RAFT_COMMAND && is_executed) s->sum += entry->command;
        if (e->answer_from != 0 && i >= e->answer_from) s->reply = i;
    }
}

static enum raft_refusal step(struct server *s, struct raft_event event) {
    raft_step(&s->raft, &event, &s->effects);
    enum raft_refusal refusal = s->effects.refusal;
    const struct raft_effects *e = &s->effects;
    save(s);
    for (uint32_t i = 0; i < e->message_count; i++) /* 2. Send; here all is durable already. */
        queue[tail++ % QUEUE_MAX] = e->messages[i].message;
    if (e->timer == RAFT_TIMER_HEARTBEAT) s->ticks_left = HEARTBEAT_TICKS; /* 3. */
    if (e->timer == RAFT_TIMER_ELECTION) /* A real server draws it, from one to two of these. */
        s->ticks_left = ELECTION_TICKS + 4 * s->raft.config.self;
    apply(s);
    if (s->raft.durable < s->raft.written)
        step(s, (struct raft_event){.type = RAFT_SAVED, .u.saved = s->raft.written});
    if (s->raft.commit < s->raft.snapshot.index + COMPACT_AFTER) return refusal;
    struct raft_event compact = {.type = RAFT_COMPACT,
                                 .u.compact = {s->raft.commit, s->sum, sizeof s->sum}};
    step(s, compact);
    return refusal;
}

/* From what the disk holds: the same at the first start and after a crash. */
static void start(struct server *s, raft_id id) {
    struct raft_config config = {.self = id,
                                 .batch_max = RAFT_BATCH_MAX,
                                 .patience = ELECTION_TICKS / HEARTBEAT_TICKS,
                                 .pre_vote = true,
                                 .check_quorum = true,
                                 .window = 64,
                                 .chunk_max = 1 << 20};
    struct raft_durable durable = {.term = s->disk.term,
                                   .vote = s->disk.vote,
                                   .snapshot = &s->disk.snapshot,
                                   .entry_count = s->disk.entry_count,
                                   .entries = s->disk.entries};
    raft_init(&s->raft, &config, &durable, &s->effects);
    s->is_up = true;
    s->ticks_left = ELECTION_TICKS + 4 * id;
    s->sum = s->disk.snapshot.state;
}

/* Time passes: timers run out, and all that is under way arrives. */
static void run(int ticks) {
    for (; ticks > 0; ticks--) {
        for (raft_id id = 1; id <= SERVERS; id++)
            if (servers[id].is_up && --servers[id].ticks_left == 0)
                step(&servers[id], (struct raft_event){.type = RAFT_TIMEOUT});
        for (; head != tail; head++) {
            struct raft_message m = queue[head % QUEUE_MAX];
            if (servers[m.target].is_up)
                step(&servers[m.target],
                     (struct raft_event){.type = RAFT_RECEIVE, .u.message = &m});
        }
    }
}

/* Asks one after the other until one leads; its reply, or 0 if it did not come in time. */
static raft_index ask(enum raft_entry_type type, uint64_t command, raft_index session,
                      uint64_t serial) {
    for (raft_id id = 1; id <= SERVERS; id++) {
        struct server *s = &servers[id];
        if (!s->is_up || s->raft.role != RAFT_LEADER) continue;
        struct raft_event propose = {.type = RAFT_PROPOSE,
                                     .u.propose = {type, command, session, serial}};
        s->reply = 0;
        if (step(s, propose) != RAFT_ACCEPTED) continue;
        run(1);
        return s->reply;
    }
    return 0;
}

int main(void) {
    for (raft_id id = 1; id <= SERVERS; id++) {
        servers[id].disk.snapshot.members.voters = 1 << 1 | 1 << 2 | 1 << 3;
        start(&servers[id], id);
    }
    run(60);
    raft_index session = ask(RAFT_SESSION, 0, 0, 0);
    assert(session != 0);
    for (uint64_t serial = 1; serial <= 20; serial++) ask(RAFT_COMMAND, 5, session, serial);
    servers[1].is_up = false; /* It led: its timer was the shortest. */
    run(60);
    ask(RAFT_COMMAND, 5, session, 20); /* The reply may have been lost: the client asks again. */
    ask(RAFT_COMMAND, 7, session, 21);
    start(&servers[1], 1);
    run(60);
    for (raft_id id = 1; id <= SERVERS; id++) {
        printf("server %u: sum %llu\n", id, (unsigned long long)servers[id].sum);
        assert(servers[id].sum == 107);
    }
}
