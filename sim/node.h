/* node.h - what the simulator asks of any Raft implementation.
 *
 * What a node answers must be what the fields below say. Before the world relies on an answer it
 * checks it (contract.c): one that breaks a rule ends the run as a finding of the check `contract`.
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
    NODE_PACKET_MAX = 384,   /* Bytes; a packet's size is a multiple of 8. */
    NODE_PACKETS_MAX = 160,  /* Packets of one step. */
    NODE_READS_MAX = 32,     /* Reads that end in one step. */
    NODE_EXTRA_MAX = 32,     /* Words that a node stores with a snapshot. */
    NODE_SCRATCH_MAX = 65536 /* Bytes in a batch of effects that the node may use as it likes. */
};

typedef uint8_t node_id;   /* 0: none. */
typedef uint64_t node_set; /* Bit i: the node with id i. */

static inline node_set node_bit(node_id id) { return (node_set)1 << id; }

/* A configuration (6). */
struct node_members { /* Bit 0 of each set is 0. */
    node_set voters;
    node_set outgoing; /* Joint: the old voters, of whom a majority is needed, too. */
    node_set learners; /* Have no vote, unless they are in `outgoing`. */
};

static inline node_set node_members_all(const struct node_members *m) {
    return m->voters | m->outgoing | m->learners;
}
static inline bool node_is_majority(node_set voters, node_set set) {
    return __builtin_popcountll(voters & set) * 2 > __builtin_popcountll(voters);
}
/* The set decides elections and commitment. */
static inline bool node_is_quorum(const struct node_members *m, node_set set) {
    return node_is_majority(m->voters, set) &&
           (m->outgoing == 0 || node_is_majority(m->outgoing, set));
}

enum node_entry_type {
    NODE_NOOP,    /* Of no client. */
    NODE_COMMAND, /* For the state machine. */
    NODE_SESSION, /* Opens a client session; its id is the index of the entry. */
    NODE_MEMBERS  /* The configuration from here on. */
};

/* What its type has no use for is 0. */
struct node_entry {
    uint64_t term, type;
    union {
        struct {
            uint64_t command;         /* Another one for each operation of a client. */
            uint64_t session, serial; /* Of the client; 0: it has no session. */
        };
        struct node_members members;
    };
};

/* What became of an entry that is applied. */
enum node_verdict { NODE_EXECUTED, NODE_DUPLICATE, NODE_EXPIRED };

struct node_snapshot {
    uint64_t index, term, state; /* State: a handle for the state machine at `index`. */
};

/* What else is stored with a snapshot. */
struct node_image {
    uint64_t size; /* Of the state machine, in bytes. */
    struct node_members members;
    uint64_t extra[NODE_EXTRA_MAX]; /* Whatever the node wants to find again. */
};

struct node_config {
    node_id self;
    node_set voters;    /* Of the first configuration: the disks of its members hold it, too, in a
                         * snapshot of index 0. The disk of a node that joins later is empty. */
    uint32_t batch_max; /* Entries in a message; at most NODE_WRITE_MAX / 2. */
    uint32_t window;    /* Entries under way to a peer. */
    uint32_t chunk_max; /* Bytes in a chunk of a snapshot. */
    uint32_t patience;  /* Heartbeats in the shortest election timeout. */
    bool pre_vote, check_quorum;
    uint64_t lease_us; /* 0: no lease reads. */
};

enum node_event_type {
    NODE_RECEIVE,
    NODE_TIMEOUT,
    NODE_PROPOSE,
    NODE_READ,
    NODE_CHANGE,
    NODE_TRANSFER,
    NODE_SAVED,
    NODE_COMPACT
};

struct node_event {
    enum node_event_type type;
    uint64_t now_us; /* The node's own clock. */
    union {
        struct {
            node_id source;
            uint16_t size;
            const void *bytes; /* Aligned to 8. Borrowed for the call. */
        } packet;
        struct {
            enum node_entry_type type; /* NODE_COMMAND, NODE_SESSION */
            uint64_t command, session, serial;
        } propose;
        uint64_t read; /* Another one for each read. */
        struct {
            node_set voters, learners; /* The configuration that is wanted. */
            bool is_joint;             /* Through a joint one, even if it need not be. */
        } change;
        node_id target; /* Of a transfer. */
        uint64_t saved; /* This write and all before it are durable. */
        struct {
            uint64_t index, state, size; /* The state machine is stored as of this index. */
        } compact;
    } u;
};

/* What the receiver of a packet will rely on. */
enum promise_type {
    PROMISE_VOTE,   /* The sender votes for `candidate` in `term`. */
    PROMISE_APPEND, /* The sender, in `term`, holds all up to `index`, an entry of `index_term`. */
    PROMISE_PREVOTE /* The sender would vote for `candidate`, which asked in `term`, in the next
                     * term. Nothing need be durable for it (D 9.6). */
};
struct promise {
    enum promise_type type;
    node_id candidate;
    uint64_t term, index, index_term;
};

struct node_packet {
    const void *bytes; /* Borrowed until the next call for this node. */
    uint16_t size;     /* From 8 to NODE_PACKET_MAX, a multiple of 8. */
    node_id target;    /* Another node. */
    uint64_t after;    /* Held back until this write is durable; 0: leaves at once. A write of this
                        * step or of an earlier one of this life. */
};

enum node_timer { NODE_TIMER_KEEP, NODE_TIMER_ELECTION, NODE_TIMER_HEARTBEAT };

/* A read that ends. Served: the client reads the state machine as it is after this step. */
struct node_read {
    uint64_t handle;
    bool is_served, is_lease; /* By a lease. */
};

/* What the world does for the node, in the order of the fields; it may crash it between any two.
 * Each call of start or step writes every flag, number and count, and what they announce. The
 * batch arrives with undefined content, and what is not announced may stay so. */
struct node_effects {
    /* 1. Save. A part of a snapshot, which is used when all of it is there. All else as one atomic
     * write: term, vote, snapshot, image and entries are read from the node. */
    bool save_chunk;
    struct {
        uint64_t state, size;    /* Of the snapshot. */
        uint64_t offset, length; /* The part lies within the snapshot. At offset 0 it
                                  * takes the place of what came before. */
    } chunk;
    uint64_t write; /* Sequence number, from 1 on and rising by 1 within a life; 0: nothing is
                     * saved, the three fields below are 0. */
    bool save_vote, save_snapshot;
    /* The log from here to its end, replacing what is there; 0: unchanged. The first entry is above
     * the snapshot and at most 1 above the end of the log, as it is and as it was before the step;
     * there are at most NODE_WRITE_MAX. */
    uint64_t save_from;
    /* 2. Send. */
    uint32_t packet_count; /* At most NODE_PACKETS_MAX. */
    struct node_packet packets[NODE_PACKETS_MAX];
    /* 3. Restart the timer. A step on NODE_TIMEOUT sets it again. */
    enum node_timer timer;
    /* 4. Apply. */
    bool apply_snapshot;           /* The snapshot takes the place of the state machine. */
    uint64_t apply_from, apply_to; /* snapshot.index < apply_from <= apply_to <= commit, last. If
                                    * apply_to is 0: nothing. */
    /* 5. Answer. */
    uint64_t answer_from; /* Clients of the applied entries from here on wait here: apply_from <=
                           * answer_from <= apply_to; 0: none. */
    uint32_t read_count;  /* At most NODE_READS_MAX. */
    struct node_read reads[NODE_READS_MAX];
    bool refused;   /* Answers NODE_PROPOSE, NODE_CHANGE, NODE_TRANSFER; else undefined. */
    node_id leader; /* If refused: whom to ask; 0: unknown. */
    /* 6. Tell the operator. Nothing in the world follows from it. */
    node_id lost_peer; /* The node leads, and this peer has lost what it acknowledged; 0: none. */

    alignas(16) unsigned char scratch[NODE_SCRATCH_MAX]; /* For packets under way. */
};

enum node_role { NODE_FOLLOWER, NODE_PRECANDIDATE, NODE_CANDIDATE, NODE_LEADER };

/* The checks may know this of a node. Ids are those of nodes that exist, or 0. */
struct node_view {
    enum node_role role;
    node_id vote, leader;
    node_id transfer; /* Leader: to whom it hands over; 0: to nobody, or it does not lead. */
    uint64_t term;    /* At most 1 above the highest term that any node has had. */
    uint64_t commit;
    uint64_t last, last_term; /* snapshot.index <= last <= snapshot.index + log_max. */
    struct node_snapshot snapshot;
};

/* A leader knows this of a peer: all up to `match` is durable there, and `next` is what it sends.
 */
struct node_progress {
    uint64_t match, next;
};

/* What an implementation can do beyond the basic Raft; the world asks for nothing else. */
enum node_support {
    NODE_HAS_CHANGES = 1,
    NODE_HAS_TRANSFERS = 2,
    NODE_HAS_READS = 4,
    NODE_HAS_SESSIONS = 8,
    NODE_HAS_PRE_VOTE = 16,     /* It heeds the option of that name ... */
    NODE_HAS_CHECK_QUORUM = 32, /* ... and that one. */
    NODE_HAS_NEXT = 64,         /* Its next is always above its match: no demand of Raft. */
    NODE_HAS_ALL = 127
};

struct node_impl {
    const char *name;
    size_t size;       /* Bytes that the cluster reserves for a node, aligned to 16. */
    uint32_t log_max;  /* Entries that it keeps above the snapshot; 8..NODE_LOG_MAX. */
    uint32_t supports; /* enum node_support */
    bool is_flat;      /* No pointers inside: the node may be copied and hashed as bytes. */
    /* The node starts, or starts again, from what the disk holds. The effects set a timer, and
     * announce nothing else. */
    void (*start)(void *node, const struct node_config *, const struct disk *,
                  struct node_effects *out);
    void (*step)(void *node, const struct node_event *, struct node_effects *out);
    void (*stop)(void *node); /* Gives back what it allocated. */
    void (*view)(const void *node, struct node_view *out);
    /* REQUIRES: snapshot.index < index <= last. */
    struct node_entry (*entry)(const void *node, uint64_t index);
    /* REQUIRES: snapshot.index < index <= commit. */
    enum node_verdict (*verdict)(const void *node, uint64_t index);
    /* The configuration that it acts on. All sets empty: it knows none yet. */
    void (*members)(const void *node, struct node_members *out);
    /* What belongs to its snapshot. */
    void (*image)(const void *node, struct node_image *out);
    /* REQUIRES: the node leads, and the peer is one of its members. */
    struct node_progress (*progress)(const void *node, node_id peer);
    /* The promise of a packet, asked when it is sent; false: none. Fields that the type has no
     * use for are undefined. */
    bool (*promise)(const void *bytes, size_t size, struct promise *out);
};

extern const struct node_impl node_raft;  /* raft/ */
extern const struct node_impl node_naive; /* node_naive.c */

#endif
