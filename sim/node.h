/* node.h - what the simulator asks of any Raft implementation.
 *
 * Ours fits through node_raft.c; another one needs one such file. The network carries packets that
 * it cannot read; the disk stores what an entry of any Raft has, so that checks read it there and
 * not from the node's word. */
#ifndef NODE_H
#define NODE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

enum {
    NODE_MAX = 63,           /* Ids run from 1. */
    NODE_LOG_MAX = 1024,     /* Entries above the snapshot, in memory and on disk. */
    NODE_WRITE_MAX = 16,     /* Entries in one write. */
    NODE_PACKET_MAX = 256,   /* Bytes; a packet's size is a multiple of 8. */
    NODE_SCRATCH_MAX = 16384 /* Bytes in a batch of effects that the node may use as it likes. */
};

typedef uint8_t node_id;   /* 0: none. */
typedef uint64_t node_set; /* Bit i: the node with id i. */

static inline node_set node_bit(node_id id) { return (node_set)1 << id; }

struct node_entry {
    uint64_t term, command; /* Command 0: a no-op, of no client. */
};

struct node_snapshot {
    uint64_t index, term, state; /* State: a handle for the state machine at `index`. */
};

struct node_config {
    node_id self;
    node_set voters;
    uint32_t batch_max; /* Entries in a message; at most NODE_WRITE_MAX / 2. */
};

enum node_event_type { NODE_RECEIVE, NODE_TIMEOUT, NODE_PROPOSE, NODE_SAVED, NODE_COMPACT };

struct node_event {
    enum node_event_type type;
    uint64_t now_us; /* The node's own clock. */
    union {
        struct {
            node_id source;
            uint16_t size;
            const void *bytes; /* Aligned to 8. Borrowed for the call. */
        } packet;
        uint64_t command;
        uint64_t saved; /* This write and all before it are durable. */
        struct {
            uint64_t index, state; /* The state machine is stored as of this index. */
        } compact;
    } u;
};

/* What the receiver of a packet will rely on. */
enum promise_type {
    PROMISE_VOTE,  /* The sender votes for `candidate` in `term`. */
    PROMISE_APPEND /* The sender, in `term`, holds all up to `index`, an entry of `index_term`. */
};
struct promise {
    enum promise_type type;
    node_id candidate;
    uint64_t term, index, index_term;
};

struct node_packet {
    const void *bytes; /* Borrowed until the next call for this node. */
    uint16_t size;
    node_id target;
    uint64_t after; /* Held back until this write is durable; 0: leaves at once. */
};

enum node_timer { NODE_TIMER_KEEP, NODE_TIMER_ELECTION, NODE_TIMER_HEARTBEAT };

/* What the world does for the node, in the order of the fields; it may crash it between any two. */
struct node_effects {
    /* 1. Save, as one atomic write. Term, vote, snapshot and entries are read from the node. */
    uint64_t write; /* Sequence number, rising by 1 within a life; 0: nothing. */
    bool save_vote, save_snapshot;
    uint64_t save_from; /* The log from here to its end, replacing what is there; 0: unchanged. */
    /* 2. Send. */
    uint32_t packet_count;
    struct node_packet packets[NODE_MAX];
    /* 3. Restart the timer. */
    enum node_timer timer;
    /* 4. Apply. */
    bool apply_snapshot;
    uint64_t apply_from, apply_to;
    /* 5. Answer. */
    uint64_t answer_from; /* Clients of the applied entries from here on wait here; 0: none. */
    bool refused;         /* Answers NODE_PROPOSE. */
    node_id leader;       /* Then: whom to ask; 0: unknown. */

    alignas(16) unsigned char scratch[NODE_SCRATCH_MAX]; /* For packets under way. */
};

enum node_role { NODE_FOLLOWER, NODE_CANDIDATE, NODE_LEADER };

/* What checks may know of a node. */
struct node_view {
    enum node_role role;
    node_id vote, leader;
    uint64_t term, commit, last, last_term;
    struct node_snapshot snapshot;
};

/* What a leader knows of a peer. */
struct node_progress {
    uint64_t match, next;
};

struct node_impl {
    const char *name;
    size_t size;      /* Bytes that the cluster reserves for a node, aligned to 16. */
    uint32_t log_max; /* Entries that it keeps above the snapshot; at least 8. */
    bool is_flat;     /* No pointers inside: the node may be copied and hashed as bytes. */
    /* The node starts, or starts again, from what the disk holds. The effects only set a timer. */
    void (*start)(void *node, const struct node_config *, const struct disk *,
                  struct node_effects *out);
    void (*step)(void *node, const struct node_event *, struct node_effects *out);
    void (*stop)(void *node); /* Gives back what it allocated. */
    void (*view)(const void *node, struct node_view *out);
    /* REQUIRES: snapshot.index < index <= last. */
    struct node_entry (*entry)(const void *node, uint64_t index);
    /* REQUIRES: the node leads. */
    struct node_progress (*progress)(const void *node, node_id peer);
    /* What a packet promises; false: nothing. */
    bool (*promise)(const void *bytes, size_t size, struct promise *out);
};

extern const struct node_impl node_raft;  /* raft/ */
extern const struct node_impl node_naive; /* node_naive.c */

#endif
