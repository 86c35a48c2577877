/* node_naive.c - a second Raft, deliberately naive, behind the door of node.h.
 *
 * It keeps the door honest: it shares no code with raft/, speaks in other packets, and lives on the
 * heap, so that the cluster can neither copy it nor look inside.
 *
 *     the cluster's memory --> struct naive --> log, reallocated for every entry
 *                                           --> sent[], the packets of the last call
 *
 * Where raft/ is thrifty, this one is plain. A proposal makes it send to everybody at once, from
 * the first entry that they have not confirmed. A follower that refuses is brought up from its
 * commit index, below which all logs agree. A promise waits for the newest write, whatever that one
 * holds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "node.h"

enum { BATCH_MAX = NODE_WRITE_MAX / 2, LOG_MAX = 512, TAIL_MAX = LOG_MAX / 4 };

/* No counter gets here by counting; a packet that says more would make one wrap around. */
static const uint64_t NUMBER_MAX = UINT64_MAX / 2;

enum letter_kind { LETTER_VOTE = 1, LETTER_BALLOT, LETTER_APPEND, LETTER_SNAPSHOT, LETTER_REPLY };

/* What a packet says, all in words: it ends after `count` entries. What its kind has no use for is
 * 0. A ballot answers a vote; a reply, an append or a snapshot. */
struct letter {
    uint64_t kind, term;
    uint64_t agreed; /* Ballot, reply: 1; 0 is a refusal. */
    union {
        uint64_t candidate; /* Vote, ballot. */
        uint64_t size;      /* Snapshot. */
    };
    uint64_t index, index_term; /* Vote: the last entry. Append: the one before `entries`. Snapshot:
                                 * the last one covered. Reply: the last one shared with the leader,
                                 * as far as known; with a refusal, that is what is committed. */
    union {
        uint64_t commit; /* Append. */
        uint64_t state;  /* Snapshot. */
    };
    uint64_t count; /* Append. */
    struct node_entry entries[BATCH_MAX];
};
enum { LETTER_HEAD = offsetof(struct letter, entries) };

static_assert(sizeof(struct letter) == 8 * 8 + BATCH_MAX * 40, "a letter has no padding");
static_assert(sizeof(struct letter) <= NODE_PACKET_MAX, "a packet holds a letter");
static_assert((int)LOG_MAX <= (int)NODE_LOG_MAX, "the disk holds any log");

struct item {
    struct node_entry entry;
    uint64_t write; /* That holds it, and not an equal one before it. Never falls along the log. */
};

struct naive {
    struct node_config config;
    node_set voters; /* From the disk: a spare node finds none there, and takes no part. */
    enum node_role role;
    node_id vote, leader;
    node_set granted; /* Candidate: who votes for it. Itself only when its own vote is durable. */
    uint64_t term, last;
    uint64_t commit;         /* Invariant: snapshot.index <= commit <= last. Never falls. */
    uint64_t written, saved; /* The newest write asked for; the newest one reported. */
    uint64_t vote_write;     /* That holds term and vote. */
    struct node_snapshot snapshot;
    uint64_t size;                            /* Of the snapshot. */
    struct item *log;                         /* From snapshot.index + 1 to last. */
    struct node_progress peers[NODE_MAX + 1]; /* Leader: by id. Invariant: match < next. */
    struct node_effects *out;                 /* Of the call under way. */
    uint32_t sent_count;
    void *sent[NODE_MAX];
};

static struct naive *open_node(const void *node) { return *(struct naive *const *)node; }

static bool is_peer(const struct naive *n, node_id id) {
    return id <= NODE_MAX && id != n->config.self && (n->voters >> id & 1);
}

/* ---- the log, and what is to be saved ---- */

/* The write of this step. */
static uint64_t open_write(struct naive *n) {
    if (n->out->write == 0) n->out->write = ++n->written;
    return n->out->write;
}

static void save_vote(struct naive *n, node_id vote) {
    n->vote = vote;
    n->vote_write = open_write(n);
    n->out->save_vote = true;
}

static void save_snapshot(struct naive *n, struct node_snapshot snapshot, uint64_t size) {
    assert(snapshot.index > n->snapshot.index);
    n->snapshot = snapshot;
    n->size = size;
    open_write(n);
    n->out->save_snapshot = true;
}

static struct item *item_at(const struct naive *n, uint64_t index) {
    assert(index > n->snapshot.index && index <= n->last);
    return &n->log[index - n->snapshot.index - 1];
}

static uint64_t term_at(const struct naive *n, uint64_t index) {
    return index == n->snapshot.index ? n->snapshot.term : item_at(n, index)->entry.term;
}

/* True if the log has that entry. What a snapshot covers is committed: every leader has it. */
static bool holds(const struct naive *n, uint64_t index, uint64_t term) {
    return index < n->snapshot.index || (index <= n->last && term_at(n, index) == term);
}

static bool is_full(const struct naive *n) { return n->last - n->snapshot.index == LOG_MAX; }

/* Makes `item` the last one of the log, at `index`. */
static void cut_and_put(struct naive *n, uint64_t index, struct item item) {
    assert(index > n->commit && index <= n->last + 1 && index - n->snapshot.index <= LOG_MAX);
    struct item *log = realloc(n->log, (index - n->snapshot.index) * sizeof item);
    assert(log != NULL);
    n->log = log;
    n->last = index;
    *item_at(n, index) = item;
}

static void put(struct naive *n, uint64_t index, struct node_entry entry) {
    if (index <= n->last) assert(n->role != NODE_LEADER); /* Leader Append-Only (5.3). */
    cut_and_put(n, index, (struct item){entry, open_write(n)});
    if (n->out->save_from == 0) n->out->save_from = index;
}

static void commit_to(struct naive *n, uint64_t index) {
    assert(index <= n->last);
    if (index <= n->commit) return;
    n->out->apply_from = n->commit + 1;
    n->out->apply_to = index;
    n->commit = index;
}

/* Drops what the state machine has stored, as long as that is durable here. */
static void compact(struct naive *n, uint64_t index, uint64_t state, uint64_t size) {
    if (index <= n->snapshot.index || index > n->commit) return;
    if (item_at(n, index)->write > n->saved) return;
    struct node_snapshot snapshot = {index, term_at(n, index), state};
    memmove(n->log, item_at(n, index) + 1, (n->last - index) * sizeof n->log[0]);
    save_snapshot(n, snapshot, size);
}

/* Puts a received snapshot, which is all in one chunk, in place of the whole log. */
static void install(struct naive *n, struct node_snapshot snapshot, uint64_t size) {
    assert(snapshot.index > n->commit);
    n->out->save_chunk = true;
    n->out->chunk.state = snapshot.state;
    n->out->chunk.size = n->out->chunk.length = size;
    n->out->chunk.offset = 0;
    free(n->log);
    n->log = NULL;
    n->last = n->commit = snapshot.index;
    save_snapshot(n, snapshot, size);
    n->out->save_from = snapshot.index + 1;
    n->out->apply_snapshot = true;
}

/* ---- letters ---- */

static bool is_promise(const struct letter *l) {
    return l->kind == LETTER_VOTE || l->kind == LETTER_BALLOT || l->kind == LETTER_REPLY;
}

static void post(struct naive *n, node_id target, struct letter letter) {
    assert(n->sent_count < NODE_MAX && letter.count <= BATCH_MAX);
    letter.term = n->term;
    size_t size = LETTER_HEAD + letter.count * sizeof letter.entries[0];
    void *bytes = malloc(size);
    assert(bytes != NULL);
    memcpy(bytes, &letter, size);
    n->sent[n->sent_count++] = bytes;
    uint64_t after = is_promise(&letter) && n->written > n->saved ? n->written : 0;
    n->out->packets[n->out->packet_count++] =
        (struct node_packet){bytes, (uint16_t)size, target, after};
}

static void free_sent(struct naive *n) {
    while (n->sent_count > 0) free(n->sent[--n->sent_count]);
}

static bool read_letter(const void *bytes, size_t size, struct letter *out) {
    if (size < LETTER_HEAD || size > sizeof *out) return false;
    memcpy(out, bytes, size);
    if (out->kind < LETTER_VOTE || out->kind > LETTER_REPLY || out->count > BATCH_MAX) return false;
    if (size != LETTER_HEAD + out->count * sizeof out->entries[0]) return false;
    return out->term >= 1 && out->term <= NUMBER_MAX && out->index <= NUMBER_MAX;
}

/* ---- the leader (5.3) ---- */

static void send_append(struct naive *n, node_id target) {
    uint64_t next = n->peers[target].next;
    assert(next > n->snapshot.index && next <= n->last + 1);
    struct letter letter = {.kind = LETTER_APPEND, .index = next - 1, .commit = n->commit};
    letter.index_term = term_at(n, next - 1);
    while (letter.count < n->config.batch_max && next + letter.count <= n->last) {
        letter.entries[letter.count] = item_at(n, next + letter.count)->entry;
        letter.count++;
    }
    post(n, target, letter);
}

/* Sends what the peer has not confirmed, or the snapshot where the log does not reach back. */
static void send(struct naive *n, node_id target) {
    const struct node_snapshot *s = &n->snapshot;
    if (n->peers[target].next > s->index) {
        send_append(n, target);
        return;
    }
    struct letter letter = {.kind = LETTER_SNAPSHOT, .index = s->index, .state = s->state};
    letter.index_term = s->term;
    letter.size = n->size;
    post(n, target, letter);
}

static void send_all(struct naive *n) {
    for (node_id id = 1; id <= NODE_MAX; id++)
        if (is_peer(n, id)) send(n, id);
}

/* A quorum holds the entry at `index`, durably. */
static bool is_replicated(const struct naive *n, uint64_t index) {
    node_set holders = item_at(n, index)->write <= n->saved ? node_bit(n->config.self) : 0;
    for (node_id id = 1; id <= NODE_MAX; id++)
        if (is_peer(n, id) && n->peers[id].match >= index) holders |= node_bit(id);
    return node_is_majority(n->voters, holders);
}

/* Counts replicas only of entries of its own term, the last ones of its log (5.4.2). */
static void advance(struct naive *n) {
    uint64_t index = n->last;
    while (index > n->commit && !is_replicated(n, index)) index--;
    if (index == n->commit || term_at(n, index) != n->term) return;
    uint64_t from = n->commit + 1;
    while (term_at(n, from) != n->term) from++; /* Nobody waits here for those. */
    commit_to(n, index);
    n->out->answer_from = from;
}

static void lead(struct naive *n) {
    n->role = NODE_LEADER;
    n->leader = n->config.self;
    for (node_id id = 1; id <= NODE_MAX; id++)
        n->peers[id] = (struct node_progress){.match = 0, .next = n->last + 1};
    put(n, n->last + 1, (struct node_entry){.term = n->term, .type = NODE_NOOP});
    send_all(n);
    n->out->timer = NODE_TIMER_HEARTBEAT;
}

static void receive_reply(struct naive *n, node_id source, const struct letter *l) {
    struct node_progress *peer = &n->peers[source];
    if (l->term < n->term || n->role != NODE_LEADER || l->index > n->last) return;
    bool is_news =
        l->agreed ? l->index > peer->match : l->index >= peer->match && l->index + 1 < peer->next;
    if (!is_news) return; /* It answers what was sent long ago. */
    peer->next = l->index + 1;
    if (l->agreed) {
        peer->match = l->index;
        advance(n);
    }
    if (peer->next <= n->last) send(n, source);
}

/* ---- the follower (5.3, 7) ---- */

static void follow(struct naive *n, uint64_t term) {
    assert(term > n->term);
    if (n->role == NODE_LEADER) n->out->timer = NODE_TIMER_ELECTION;
    n->role = NODE_FOLLOWER;
    n->leader = 0;
    n->term = term;
    save_vote(n, 0);
}

static void reply(struct naive *n, node_id target, bool agreed, uint64_t index) {
    if (index < n->snapshot.index) index = n->snapshot.index; /* Shared, too. */
    struct letter letter = {.kind = LETTER_REPLY, .agreed = agreed, .index = index};
    letter.index_term = term_at(n, index);
    post(n, target, letter);
}

/* Takes what the log lacks, and drops of its own only what conflicts. Returns the last index that
 * is shared with the leader: it stops where the log is full, or where the letter contradicts what
 * is committed, as no leader's does. */
static uint64_t take_entries(struct naive *n, const struct letter *l) {
    uint64_t index = l->index;
    for (uint64_t i = 0; i < l->count; i++, index++) {
        if (holds(n, index + 1, l->entries[i].term)) continue;
        if (index < n->commit || (index == n->last && is_full(n))) break;
        put(n, index + 1, l->entries[i]);
    }
    return index;
}

static void receive_append(struct naive *n, node_id source, const struct letter *l) {
    bool agreed = holds(n, l->index, l->index_term);
    uint64_t shared = agreed ? take_entries(n, l) : n->commit;
    if (agreed) commit_to(n, l->commit < shared ? l->commit : shared);
    reply(n, source, agreed, shared);
}

/* What the log holds already is thereby committed, and stays, with all that follows (figure 13). */
static void receive_snapshot(struct naive *n, node_id source, const struct letter *l) {
    struct node_snapshot snapshot = {l->index, l->index_term, l->state};
    if (holds(n, l->index, l->index_term)) commit_to(n, l->index);
    else if (l->index > n->commit) install(n, snapshot, l->size);
    else return; /* It contradicts what is committed: no leader's does. */
    reply(n, source, true, l->index);
}

static void receive_leader(struct naive *n, node_id source, const struct letter *l) {
    if (l->term < n->term) {
        reply(n, source, false, n->commit); /* The term is the answer. */
        return;
    }
    if (n->role == NODE_LEADER) return; /* There is one leader a term, and it is this one. */
    n->role = NODE_FOLLOWER;
    n->leader = source;
    n->out->timer = NODE_TIMER_ELECTION;
    if (l->kind == LETTER_APPEND) receive_append(n, source, l);
    else receive_snapshot(n, source, l);
}

/* ---- elections (5.2, 5.4.1) ---- */

/* A node without room for a leader's no-op leaves the election to others, as a spare one does. */
static void campaign(struct naive *n) {
    n->out->timer = NODE_TIMER_ELECTION;
    if (is_full(n) || n->voters == 0) return;
    follow(n, n->term + 1);
    save_vote(n, n->config.self);
    n->role = NODE_CANDIDATE;
    n->granted = 0;
    struct letter letter = {.kind = LETTER_VOTE, .candidate = n->config.self};
    letter.index = n->last;
    letter.index_term = term_at(n, n->last);
    for (node_id id = 1; id <= NODE_MAX; id++)
        if (is_peer(n, id)) post(n, id, letter);
}

static void count_vote(struct naive *n, node_id voter) {
    n->granted |= node_bit(voter);
    if (node_is_majority(n->voters, n->granted)) lead(n);
}

static bool is_up_to_date(const struct naive *n, const struct letter *l) {
    uint64_t own = term_at(n, n->last);
    return l->index_term > own || (l->index_term == own && l->index >= n->last);
}

static void receive_vote(struct naive *n, node_id source, const struct letter *l) {
    bool agreed = l->term == n->term && (n->vote == 0 || n->vote == source) && is_up_to_date(n, l);
    if (agreed) {
        save_vote(n, source);
        n->out->timer = NODE_TIMER_ELECTION;
    }
    post(n, source, (struct letter){.kind = LETTER_BALLOT, .agreed = agreed, .candidate = source});
}

static void receive_ballot(struct naive *n, node_id source, const struct letter *l) {
    if (l->term == n->term && n->role == NODE_CANDIDATE && l->agreed) count_vote(n, source);
}

/* ---- events ---- */

static void receive(struct naive *n, node_id source, const void *bytes, size_t size) {
    struct letter l;
    if (!is_peer(n, source) || !read_letter(bytes, size, &l)) return;
    if (l.term > n->term) follow(n, l.term);
    switch ((enum letter_kind)l.kind) {
    case LETTER_VOTE: receive_vote(n, source, &l); return;
    case LETTER_BALLOT: receive_ballot(n, source, &l); return;
    case LETTER_APPEND:
    case LETTER_SNAPSHOT: receive_leader(n, source, &l); return;
    case LETTER_REPLY: receive_reply(n, source, &l); return;
    }
    assert(false);
}

static void timeout(struct naive *n) {
    if (n->role != NODE_LEADER) {
        campaign(n);
        return;
    }
    send_all(n);
    n->out->timer = NODE_TIMER_HEARTBEAT;
}

static void propose(struct naive *n, const struct node_event *event) {
    assert(event->u.propose.command != 0);
    n->out->leader = n->leader;
    n->out->refused = n->role != NODE_LEADER || is_full(n) || n->last - n->commit >= TAIL_MAX;
    if (n->out->refused) return;
    struct node_entry entry = {.term = n->term, .type = event->u.propose.type};
    entry.command = event->u.propose.command;
    entry.session = event->u.propose.session;
    entry.serial = event->u.propose.serial;
    put(n, n->last + 1, entry);
    send_all(n);
}

/* Only now does the node count itself: a crash can no longer take back its vote or its entries. */
static void saved(struct naive *n, uint64_t write) {
    assert(write >= n->saved && write <= n->written);
    n->saved = write;
    if (n->role == NODE_LEADER) advance(n);
    if (n->role == NODE_CANDIDATE && n->vote_write <= write) count_vote(n, n->config.self);
}

/* ---- the door ---- */

static void begin(struct naive *n, struct node_effects *out) {
    free_sent(n);
    n->out = out;
    out->write = out->save_from = 0;
    out->save_chunk = out->save_vote = out->save_snapshot = false;
    out->packet_count = out->read_count = 0;
    out->timer = NODE_TIMER_KEEP;
    out->apply_snapshot = false;
    out->apply_from = out->apply_to = out->answer_from = 0;
    out->refused = false;
    out->leader = 0;
    out->lost_peer = 0;
}

static void start(void *node, const struct node_config *config, const struct disk *disk,
                  struct node_effects *out) {
    struct naive *n = calloc(1, sizeof *n);
    assert(n != NULL);
    *(struct naive **)node = n;
    n->config = *config;
    n->voters = disk->image.members.voters;
    n->size = disk->image.size;
    n->term = disk->term;
    n->vote = disk->vote;
    n->snapshot = disk->snapshot;
    n->commit = n->last = disk->snapshot.index;
    for (uint32_t i = 0; i < disk->entry_count; i++)
        cut_and_put(n, n->last + 1, (struct item){.entry = disk->entries[i]});
    begin(n, out);
    out->timer = NODE_TIMER_ELECTION;
}

static void step(void *node, const struct node_event *event, struct node_effects *out) {
    struct naive *n = open_node(node);
    begin(n, out);
    switch (event->type) {
    case NODE_RECEIVE:
        receive(n, event->u.packet.source, event->u.packet.bytes, event->u.packet.size);
        return;
    case NODE_TIMEOUT: timeout(n); return;
    case NODE_PROPOSE: propose(n, event); return;
    case NODE_SAVED: saved(n, event->u.saved); return;
    case NODE_COMPACT:
        compact(n, event->u.compact.index, event->u.compact.state, event->u.compact.size);
        return;
    case NODE_READ:
    case NODE_CHANGE:
    case NODE_TRANSFER: break; /* It supports none of these. */
    }
    assert(false);
}

static void stop(void *node) {
    struct naive *n = open_node(node);
    free_sent(n);
    free(n->log);
    free(n);
}

static void view(const void *node, struct node_view *out) {
    const struct naive *n = open_node(node);
    *out = (struct node_view){.role = n->role,
                              .vote = n->vote,
                              .leader = n->leader,
                              .term = n->term,
                              .commit = n->commit,
                              .last = n->last,
                              .last_term = term_at(n, n->last),
                              .snapshot = n->snapshot};
}

static struct node_entry entry(const void *node, uint64_t index) {
    return item_at(open_node(node), index)->entry;
}

static enum node_verdict verdict(const void *node, uint64_t index) {
    (void)node, (void)index;
    return NODE_EXECUTED;
}

static void members(const void *node, struct node_members *out) {
    *out = (struct node_members){.voters = open_node(node)->voters};
}

static void image(const void *node, struct node_image *out) {
    *out = (struct node_image){.size = open_node(node)->size};
    members(node, &out->members);
}

static struct node_progress progress(const void *node, node_id peer) {
    return open_node(node)->peers[peer];
}

static bool promise(const void *bytes, size_t size, struct promise *out) {
    struct letter l;
    if (!read_letter(bytes, size, &l) || !is_promise(&l)) return false;
    out->type = l.kind == LETTER_REPLY ? PROMISE_APPEND : PROMISE_VOTE;
    out->candidate = (node_id)l.candidate;
    out->term = l.term;
    out->index = l.index;
    out->index_term = l.index_term;
    return l.kind == LETTER_VOTE || l.agreed;
}

const struct node_impl node_naive = {
    .name = "naive",
    .size = sizeof(struct naive *),
    .log_max = LOG_MAX,
    .supports = NODE_HAS_NEXT,
    .is_flat = false,
    .start = start,
    .step = step,
    .stop = stop,
    .view = view,
    .entry = entry,
    .verdict = verdict,
    .members = members,
    .image = image,
    .progress = progress,
    .promise = promise,
};
