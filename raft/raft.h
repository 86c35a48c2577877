/* raft.h - one Raft node as a plain value: an event goes in, effects come out.
 *
 *     event --> raft_step() --> effects: save | send | timer | apply | answer
 *
 * The same node and the same event give the same effects everywhere: there is no clock, no
 * randomness, no I/O and no allocation behind this interface. The caller owns all memory. `struct
 * raft` holds no pointers and may be copied with memcpy. Sections ("5.4.1") are those of Ongaro and
 * Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version, 2014). */
#ifndef RAFT_H
#define RAFT_H

#include <stdbool.h>
#include <stdint.h>

#ifndef RAFT_LOG_MAX
#define RAFT_LOG_MAX 256 /* Entries kept above the snapshot; meson option raft_log_max. */
#endif

enum {
    RAFT_NODES_MAX = 63, /* Ids run from 1 to 63, so that a set of nodes is one 64-bit word. */
    RAFT_BATCH_MAX = 8,  /* Entries in one message. */
    RAFT_TAIL_MAX = RAFT_LOG_MAX / 8 /* A leader refuses commands beyond this many uncommitted
                                      * entries: the rest of the log is kept for the no-ops of
                                      * later leaders, without which nothing could be committed. A
                                      * longer series of leaders that fall before they commit fills
                                      * it for good: then the node campaigns no more. */
};

typedef uint8_t raft_id;     /* 0: none. */
typedef uint64_t raft_set;   /* Bit i: the node with id i. */
typedef uint64_t raft_term;  /* 0: before the first election. */
typedef uint64_t raft_index; /* Of a log entry, from 1; 0: none. */
typedef uint64_t raft_write; /* Sequence number of a write to stable storage, from 1; 0: none. */

enum { RAFT_NOOP = 0 }; /* The command of the entry that a leader appends when elected (8). */

struct raft_entry {
    raft_term term;
    uint64_t command; /* A handle: the caller knows what it stands for. */
};

/* The state machine after all entries up to `index`, which has the term `term` (7). */
struct raft_snapshot {
    raft_index index;
    raft_term term;
    uint64_t state; /* A handle, like a command. */
};

enum raft_message_type {
    RAFT_VOTE, /* RequestVote (5.2). */
    RAFT_VOTE_REPLY,
    RAFT_APPEND, /* AppendEntries; without entries a heartbeat (5.2, 5.3). */
    RAFT_APPEND_REPLY,
    RAFT_SNAPSHOT, /* InstallSnapshot, the whole in one message (7). */
    RAFT_SNAPSHOT_REPLY
};

/* Flat and without padding: the first RAFT_MESSAGE_HEAD bytes and `entry_count` entries are the
 * message. A caller may send those bytes, or encode the fields as it likes. */
struct raft_message {
    uint8_t type; /* enum raft_message_type */
    raft_id source, target;
    uint8_t accepted;     /* Replies: vote granted, entries or snapshot accepted. */
    uint8_t entry_count;  /* Append. */
    uint8_t reserved[3];  /* 0 */
    raft_term term;       /* Of the sender. */
    raft_index index;     /* Vote: last log entry. Append: the entry before the first of `entries`.
                           * Snapshot: last entry included. Accepted: last entry known to match.
                           * Rejected append: the `index` of the message that is answered. */
    raft_term index_term; /* Of the entry at `index`; rejected append: of the entry at `hint`. */
    raft_index commit;    /* Append: commit index of the leader. */
    raft_index hint;      /* Rejected append: the highest entry that may still match. */
    uint64_t state;       /* Snapshot. */
    struct raft_entry entries[RAFT_BATCH_MAX];
};
enum {
    RAFT_MESSAGE_HEAD = sizeof(struct raft_message) - sizeof(struct raft_entry) * RAFT_BATCH_MAX
};

enum raft_timer { RAFT_TIMER_KEEP, RAFT_TIMER_ELECTION, RAFT_TIMER_HEARTBEAT };

enum raft_event_type {
    RAFT_RECEIVE, /* A message arrived. Whatever it says, it does no harm: a wrong one is ignored.
                   */
    RAFT_TIMEOUT, /* The timer that was set last ran out. */
    RAFT_PROPOSE, /* A client asks for a command to be replicated. */
    RAFT_SAVED,   /* The write with this number, and all before it, are durable. */
    RAFT_COMPACT /* The caller has stored the state machine as of `index`, which it has applied: the
                  * log may drop what it covers. Ignored unless that is durable here. */
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now_us; /* The node's own, perhaps wrong, clock. */
    union {
        const struct raft_message *message; /* Borrowed for the call. */
        uint64_t command;                   /* Not RAFT_NOOP. */
        raft_write saved;
        struct {
            raft_index index;
            uint64_t state;
        } compact;
    } u;
};

enum raft_refusal { RAFT_ACCEPTED, RAFT_NOT_LEADER, RAFT_LOG_FULL };

struct raft_outgoing {
    raft_write after; /* Must not leave before this write is durable; 0: at once. */
    struct raft_message message;
};

/* What the caller must do, in the order of the fields. It may crash between any two of them. Only
 * what the counts and flags announce is written; the rest of the batch is garbage. */
struct raft_effects {
    /* 1. Save, as one atomic write. Writes become durable in the order of their numbers. */
    raft_write write;     /* 0: nothing to save. */
    bool save_vote;       /* Term and vote. */
    bool save_snapshot;   /* The snapshot, which replaces all entries up to its index. */
    raft_index save_from; /* The log from here on, replacing all that is there; 0: unchanged. */
    /* 2. Send, each when its write is durable. */
    uint8_t message_count;
    struct raft_outgoing messages[RAFT_NODES_MAX];
    /* 3. Restart this timer. The caller draws the length: election timeouts must be random (5.2).
     */
    enum raft_timer timer;
    /* 4. Apply: first replace the state machine by the snapshot, then the entries of the range. */
    bool apply_snapshot;
    raft_index apply_from, apply_to; /* 0, 0: nothing. */
    /* 5. Answer: of the entries applied, those from `answer_from` on were proposed here and their
     * clients wait here; 0: none. `refusal` answers RAFT_PROPOSE; `leader` is the one to ask. */
    raft_index answer_from;
    enum raft_refusal refusal;
    raft_id leader; /* 0: unknown. */
};

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER };

/* What a leader knows of a peer. Invariant: match < next. Within a term, match only rises. */
struct raft_progress {
    raft_index next;  /* The next entry to send. */
    raft_index match; /* All entries up to here are durable on the peer and equal ours. */
};

/* Complete so that callers can embed and copy it. Read it freely; only raft_*() may write it. */
struct raft {
    raft_id self;
    raft_id vote;   /* In `term`; 0: none. */
    raft_id leader; /* Of `term`, as far as known; 0: unknown. */
    uint8_t batch_max;
    uint8_t quorum; /* So many of the voters are a majority. */
    enum raft_role role;
    raft_set voters;
    raft_set granted; /* Candidate: who voted for it. Itself only when its own vote is durable. */
    raft_term term;
    raft_index commit; /* Invariant: snapshot.index <= commit <= last. Never falls. */
    raft_index last;   /* Of the log. Invariant: last - snapshot.index <= RAFT_LOG_MAX. */
    raft_index saved;  /* Entries up to here are durable, and no pending write rewrites them. */
    struct raft_snapshot snapshot;
    raft_write written;                             /* The newest write asked for. */
    raft_write durable;                             /* The newest write reported. */
    raft_write vote_write;                          /* The write that holds `term` and `vote`. */
    raft_write snapshot_write;                      /* The write that holds `snapshot`. */
    struct raft_progress peers[RAFT_NODES_MAX + 1]; /* Leader: by id. */
    struct raft_entry log[RAFT_LOG_MAX]; /* log[i] has the index snapshot.index + 1 + i. */
    raft_write log_write[RAFT_LOG_MAX];  /* The write that holds log[i]. Never falls with i. */
};

struct raft_config {
    raft_id self;
    raft_set voters;   /* Not empty, without bit 0. */
    uint8_t batch_max; /* 1..RAFT_BATCH_MAX: entries in a message. */
};

/* What stable storage holds; all zero for a node that starts for the first time. */
struct raft_durable {
    raft_term term;
    raft_id vote;
    struct raft_snapshot snapshot;
    uint32_t entry_count;             /* 0..RAFT_LOG_MAX */
    const struct raft_entry *entries; /* From snapshot.index + 1 on. Borrowed for the call. */
};

/* Starts a node from what its storage holds. REQUIRES: `durable` was saved by such a node. The
 * state machine starts from the snapshot. The effects only set a timer. */
void raft_init(struct raft *r, const struct raft_config *config, const struct raft_durable *durable,
               struct raft_effects *out);

/* Handles one event. REQUIRES: the effects of the events before it were carried out, or are being
 * carried out in order; RAFT_SAVED comes for writes that were asked for, in order. */
void raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out);

/* The entry at `index`. REQUIRES: snapshot.index < index <= last. */
const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index);

#endif
