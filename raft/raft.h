/* raft.h - one Raft node as a plain value: an event goes in, effects come out.
 *
 *     event --> raft_step() --> effects: save | send | timer | apply | answer
 *
 * The same node and the same event give the same effects everywhere: there is no clock, no
 * randomness, no I/O and no allocation behind this interface. The caller owns all memory. `struct
 * raft` holds no pointers and may be copied with memcpy. How a server embeds it: README.md.
 *
 * Sections ("5.4.1") are those of Ongaro and Ousterhout, "In Search of an Understandable Consensus
 * Algorithm" (extended version, 2014); with a D before ("D 4.3"), those of Ongaro's dissertation,
 * "Consensus: Bridging Theory and Practice" (2014). */
#ifndef RAFT_H
#define RAFT_H

#include <stdbool.h>
#include <stdint.h>

#ifndef RAFT_LOG_MAX
#define RAFT_LOG_MAX 256 /* Entries kept above the snapshot; meson option raft_log_max. */
#endif
#ifndef RAFT_SESSIONS_MAX
#define RAFT_SESSIONS_MAX 8 /* Client sessions. The same on all nodes, or they disagree. */
#endif

enum {
    RAFT_NODES_MAX = 63, /* Ids run from 1 to 63, so that a set of nodes is one 64-bit word. */
    RAFT_BATCH_MAX = 8,  /* Entries in one message. */
    RAFT_READS_MAX = 16, /* Reads that wait at a node. */
    RAFT_MESSAGES_MAX = 2 * RAFT_NODES_MAX + RAFT_READS_MAX + 1, /* Of one step. */
    RAFT_TAIL_MAX = RAFT_LOG_MAX / 8 /* A leader refuses commands beyond this many uncommitted
                                      * entries: the rest of the log is kept for the no-ops of
                                      * later leaders, without which nothing could be committed. A
                                      * longer series of leaders that fall before they commit fills
                                      * it for good: then the node campaigns no more. */
};

typedef uint8_t raft_id;     /* 0: none. */
typedef uint64_t raft_set;   /* Bit i: the node with id i. Bit 0 is never set. */
typedef uint64_t raft_term;  /* 0: before the first election. */
typedef uint64_t raft_index; /* Of a log entry, from 1; 0: none. */
typedef uint64_t raft_write; /* Sequence number of a write to stable storage, from 1; 0: none. */

/* A configuration: who takes part (6, D 4). */
struct raft_members {
    raft_set voters;   /* Elections and commitment need a majority of them ... */
    raft_set outgoing; /* ... and, in a joint configuration (D 4.3), one of these; else empty. */
    raft_set learners; /* Get the log, but count for nothing (D 4.2.1). May be in `outgoing`. One
                        * that refused a vote, since its log is better, may lead for a moment. */
};

enum raft_entry_type {
    RAFT_NOOP,    /* The leader's first (8). */
    RAFT_COMMAND, /* For the state machine. */
    RAFT_SESSION, /* Opens a client session, whose id is the index of this entry (D 6.3). */
    RAFT_MEMBERS  /* The configuration from here on, in force as soon as it is in the log (6). */
};

/* A fixed size, without padding. What its type has no use for is 0. */
struct raft_entry {
    raft_term term;
    uint64_t type; /* enum raft_entry_type */
    union {
        struct {
            uint64_t command; /* A handle: the caller knows what it stands for. */
            uint64_t session; /* Of the client; 0: none, a retry is then executed twice. */
            uint64_t serial;  /* From 1; rises with each command of a session. A retry keeps it. */
        };
        struct raft_members members;
    };
};

/* What the cluster remembers of a client (D 6.3). */
struct raft_session {
    raft_index id;     /* 0: the place is free. */
    uint64_t serial;   /* Of the last command that was executed; 0: none yet. */
    raft_index reply;  /* Where that was: the caller keeps the reply of this entry for a retry. */
    raft_index active; /* The session's last entry. Where there is no room, the session that was
                        * quiet for longest expires. */
};

/* The state machine after all entries up to `index`, which has the term `term` (7). */
struct raft_snapshot {
    raft_index index;
    raft_term term;
    uint64_t state; /* A handle of its bytes: equal handles, equal bytes. */
    uint64_t size;  /* In bytes. */
    struct raft_members members;
    struct raft_session sessions[RAFT_SESSIONS_MAX];
};

enum raft_message_type {
    RAFT_PREVOTE, /* Would you vote for me? (D 9.6) */
    RAFT_PREVOTE_REPLY,
    RAFT_VOTE, /* RequestVote (5.2). */
    RAFT_VOTE_REPLY,
    RAFT_APPEND, /* AppendEntries; without entries a heartbeat (5.2, 5.3). */
    RAFT_APPEND_REPLY,
    RAFT_CHUNK, /* InstallSnapshot: a part of the snapshot (7). */
    RAFT_CHUNK_REPLY,
    RAFT_TIMEOUT_NOW,  /* The leader's wish that the receiver succeeds it (D 3.10). */
    RAFT_READ_REQUEST, /* A follower asks the leader up to where it must have applied (D 6.4). */
    RAFT_READ_REPLY
};

/* Flat and without padding: the first raft_message_size() bytes are the message. A caller may send
 * those bytes, or encode the fields as it likes. With a chunk go the bytes of the snapshot. */
struct raft_message {
    uint8_t type; /* enum raft_message_type */
    raft_id source, target;
    uint8_t accepted;     /* Replies: vote granted, entries or snapshot accepted, read allowed. */
    uint8_t entry_count;  /* Append. */
    uint8_t transfer;     /* Vote: the leader has asked for this election. */
    uint8_t reserved[2];  /* 0 */
    raft_term term;       /* Of the sender. */
    raft_index index;     /* Vote, pre-vote: last log entry. Append: the entry before the first of
                           * `entries`. Chunk and its reply: last entry included. Accepted append:
                           * last entry known to match. Rejected: the `index` that is answered.
                           * Read reply: the state machine must have got so far. */
    raft_term index_term; /* Of the entry at `index`; rejected append: of the entry at `hint`. */
    raft_index commit;    /* Append: commit index of the leader. */
    uint64_t hint; /* Rejected append: the highest entry that may still match. Reply to a chunk
                    * that did not complete the snapshot: the offset of the next one. */
    uint64_t tag;  /* Append, chunk: the leader's round. Pre-vote: the term. Read: its handle. The
                    * reply repeats it, but for a round of an older term: 0. */
    union {
        struct raft_entry entries[RAFT_BATCH_MAX]; /* Append. */
        struct {
            uint64_t offset, length; /* Of the snapshot's bytes, which the caller attaches. */
            struct raft_snapshot snapshot;
        } chunk;
    };
};

enum raft_timer { RAFT_TIMER_KEEP, RAFT_TIMER_ELECTION, RAFT_TIMER_HEARTBEAT };

enum raft_event_type {
    RAFT_RECEIVE,  /* A message arrived. Whatever it says, it does no harm: a wrong one is ignored.
                    * Of a chunk, the bytes are stored if the effects say so. */
    RAFT_TIMEOUT,  /* The timer that was set last ran out. */
    RAFT_PROPOSE,  /* A client asks for a command to be replicated, or for a session. */
    RAFT_READ,     /* A client asks to read the state machine (8, D 6.4). A follower's message to
                    * the leader may be lost, and a leader cut off: then the read may not end before
                    * the term does. The caller gives it up when it likes, and asks anew. */
    RAFT_CHANGE,   /* The operator asks for another configuration (6, D 4). */
    RAFT_TRANSFER, /* The operator asks that another node leads (D 3.10). */
    RAFT_SAVED,    /* The write with this number, and all before it, are durable. */
    RAFT_COMPACT /* The caller has stored the state machine as of `index`, which it has applied: the
                  * log may drop what it covers. Ignored unless that is durable here; while the node
                  * knows no members; and while a snapshot is under way to a peer, unless the log is
                  * half full. */
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now_us; /* The node's own, perhaps wrong, clock, read when the event has come. Only
                        leases look at it. */
    union {
        const struct raft_message *message; /* Borrowed for the call. */
        struct {
            enum raft_entry_type type; /* RAFT_COMMAND or RAFT_SESSION. */
            uint64_t command, session, serial;
        } propose;
        uint64_t read; /* A handle, another one for each read, also after a restart. */
        struct {
            raft_set voters, learners; /* Wanted. Where more than one voter differs from now, it
                                        * goes through a joint configuration. */
            bool is_joint;             /* It does so anyway. */
        } change;
        raft_id target; /* Of a transfer. */
        raft_write saved;
        struct {
            raft_index index;
            uint64_t state, size; /* size >= 1 */
        } compact;
    } u;
};

enum raft_refusal {
    RAFT_ACCEPTED,
    RAFT_NOT_LEADER,
    RAFT_LOG_FULL,     /* Too many entries wait to be committed, or compacted. */
    RAFT_TRANSFERRING, /* Another node is about to lead. */
    RAFT_NOT_READY,    /* Nothing of the leader's own term is committed yet: no change (D 4.1). */
    RAFT_BUSY,         /* Another change, or another transfer, is under way. */
    RAFT_NOT_VALID     /* No such configuration, no such target; or it is as asked already. */
};

struct raft_outgoing {
    raft_write after; /* Must not leave before this write is durable; 0: at once. */
    struct raft_message message;
};

/* A read that ends. Served: when the state machine has applied all up to `index`, which it has
 * after the effects of this step, it may be read. Else: the client asks again. */
struct raft_read {
    uint64_t handle;
    raft_index index;
    bool is_served, is_lease; /* By a lease. */
};

/* What the caller must do, in the order of the fields. It may crash between any two of them. Only
 * what the counts and flags announce is written; the rest of the batch is garbage. */
struct raft_effects {
    /* 1. Save. The chunk that was received: its bytes go behind those before it, or, at offset 0,
     * in place of them; they need not be durable before save_snapshot is. All else is one atomic
     * write; writes become durable in the order of their numbers. */
    bool save_chunk;
    raft_write write;     /* 0: nothing to save. */
    bool save_vote;       /* Term and vote. */
    bool save_snapshot;   /* The snapshot, which replaces all entries up to its index. */
    raft_index save_from; /* The log from here on, replacing all that is there; 0: unchanged. */
    /* 2. Send, each when its write is durable. */
    uint8_t message_count;
    struct raft_outgoing messages[RAFT_MESSAGES_MAX];
    /* 3. Restart this timer. The caller draws the length: election timeouts must be random (5.2).
     */
    enum raft_timer timer;
    /* 4. Apply: first replace the state machine by the snapshot, then the entries of the range, of
     * which only commands that are RAFT_EXECUTED change it. */
    bool apply_snapshot;
    raft_index apply_from, apply_to; /* 0, 0: nothing. */
    /* 5. Answer: of the entries applied, those from `answer_from` on were proposed here and their
     * clients wait here; 0: none. `refusal` answers RAFT_PROPOSE, RAFT_CHANGE and RAFT_TRANSFER;
     * `leader` is the one to ask. */
    raft_index answer_from;
    uint8_t read_count;
    struct raft_read reads[RAFT_READS_MAX + 1];
    enum raft_refusal refusal;
    raft_id leader; /* Also of RAFT_READ. 0: unknown. */
    /* 6. Tell the operator: the storage of this peer has lost entries; 0: of none. To a message
     * that this leader sent after the peer had acknowledged an entry, the peer has answered that it
     * lacks that entry. It is told with every such answer, and changes nothing else: the leader
     * still counts the peer's copy, and the peer gets no entries before it. Remove the peer, and
     * add it under another id. Its vote may have been lost, too. */
    raft_id lost_peer;
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* How a leader sends to a peer. */
enum raft_flow {
    RAFT_PROBE,     /* It looks for the last entry in common, with one message at a time. */
    RAFT_REPLICATE, /* Entries go out before those before them are confirmed. */
    RAFT_INSTALL    /* The log no longer reaches back so far: the snapshot, chunk by chunk. */
};

/* What a leader knows of a peer. Invariant: match < next. Within a term, match only rises. */
struct raft_progress {
    raft_index next;     /* The next entry to send. */
    raft_index match;    /* All entries up to here are durable on the peer and equal ours. */
    raft_index snapshot; /* Install: its index. */
    uint64_t round;      /* Of the leader, when match rose last: what is sent in a later one is sent
                          * after the acknowledgement. */
    uint64_t offset;     /* Install: of the chunk under way. */
    uint8_t flow;        /* enum raft_flow */
    bool is_paused;      /* Probe, install: a message is under way. */
    bool is_quiet;       /* Replicate: of what was under way at the last heartbeat, nothing was
                          * confirmed since then. */
};

/* The options of a node. With pre-vote and check_quorum on all nodes, nodes that can reach each
 * other and are a quorum make progress, also if some of them still hear from nodes outside. Without
 * check_quorum, pre-vote alone may hang while a leader keeps its links to a minority only:
 *   1. Five nodes, A to E; A leads. E is down, and A's link to B is all that A has left. B, C and D
 *      reach each other: they are a quorum.
 *   2. A appends a command, which only B gets. A and B are no quorum: it is never committed.
 *   3. A's heartbeats go on. B's timer never runs out, and B never campaigns.
 *   4. C and D ask for pre-votes. B's log is better than theirs: it refuses, and C and D are two of
 *      five. Nobody's term rises, so that A does not step down. 3 and 4 go on for ever.
 * With check_quorum, A steps down, since it hears from B alone; B's timer runs out, and B wins.
 * Without pre-vote, the terms of C and D would reach A through B, and depose it. */
struct raft_config {
    raft_id self;
    uint8_t batch_max;  /* 1..RAFT_BATCH_MAX: entries in a message. */
    uint8_t patience;   /* 1..: so many heartbeats make up the shortest election timeout. */
    bool pre_vote;      /* Ask before starting an election (D 9.6). */
    bool check_quorum;  /* A leader that does not hear from a quorum for `patience` heartbeats steps
                         * down (D 6.2), and nobody votes while a leader is live (D 4.2.3). A leader
                         * whose disk completes no write for `patience` heartbeats, though one is
                         * pending, steps down, too, and starts no election before that write is
                         * durable. Pre-vote may hang without it (above). */
    uint16_t window;    /* 1..: entries under way to a peer, before the first is confirmed. */
    uint32_t chunk_max; /* 1..: bytes in a chunk. */
    /* After a round that a quorum has answered, a leader serves reads for so long without asking (D
     * 6.4.1), by its own clock, counted from the start of the round; 0: never. REQUIRES:
     * check_quorum and a lease on all nodes, since a node that restarts with one refuses votes for
     * an election timeout; and lease_us * (1 + d) < the shortest election timeout, where no clock,
     * and no timer, is faster than another by more than the fraction d. */
    uint64_t lease_us;
};

/* Complete so that callers can embed and copy it. Read it freely; only raft_*() may write it. */
struct raft {
    struct raft_config config;
    uint64_t now_us; /* Of this step. */
    raft_id vote;    /* In `term`; 0: none. */
    raft_id leader;  /* Of `term`, as far as known; 0: unknown. */
    enum raft_role role;
    raft_term term;
    raft_index commit;     /* Invariant: snapshot.index <= commit <= last. Never falls. */
    raft_index last;       /* Of the log. Invariant: last - snapshot.index <= RAFT_LOG_MAX. */
    raft_index saved;      /* Entries up to here are durable, and no pending write rewrites them. */
    raft_write written;    /* The newest write asked for. */
    raft_write durable;    /* The newest write reported. */
    raft_write vote_write; /* The write that holds `term` and `vote`. */
    raft_write snapshot_write;   /* The write that holds `snapshot`. */
    raft_write hung;             /* The write whose delay ended its leadership; 0: none. While it is
                                  * pending, the node starts no election. */
    struct raft_members members; /* Of the last configuration in the log, or of the snapshot. */
    raft_index members_index;    /* Where that is. */
    bool has_live_leader;        /* It was heard of since the election timer ran out last. */
    bool has_better_log;         /* It refused a vote for that, since then and since a leader was
                                  * heard of. */
    /* Pre-candidate, candidate: who votes for it. Itself only when its own vote is durable. */
    raft_set granted;
    /* Leader. */
    bool is_news;           /* Something in this step may let it commit more. */
    bool is_lease_lost;     /* For this term: a transfer lets others vote in spite of it. */
    bool is_transfer_sent;  /* The target was told, since the last heartbeat. */
    uint8_t ticks;          /* Heartbeats since it last looked whether a quorum is there. */
    uint8_t transfer_ticks; /* Heartbeats since the transfer began. */
    raft_write awaited;     /* The oldest write that was pending when it last looked; 0: none. */
    raft_id transfer;       /* The node that shall lead; 0: none. */
    raft_set heard;         /* Peers that answered since it last looked. */
    raft_set due;           /* Peers that get a message at the end of this step ... */
    raft_set open;          /* ... and those that may: there are new entries, or room for more. */
    raft_set answered;      /* Peers that answered the round. */
    uint64_t round;         /* What is sent carries it: answers prove that no other leader had been
                             * elected when it began. */
    uint64_t round_us;      /* When it began. */
    uint64_t round_done;    /* The latest round that a quorum has answered; 0: none. */
    uint64_t lease_from_us; /* When that one began. */
    /* Reads that wait. Leader: the first `reads_sent` for the end of the round, to be served at
     * `reads_index`, the others for the next one. Others: for the leader's reply. */
    uint8_t read_count, reads_sent;
    raft_index reads_index;
    struct {
        uint64_t handle;
        raft_index index; /* Not leader: from the reply; 0: not there yet. */
        raft_id source;   /* Who asked: this node, or a follower. */
    } reads[RAFT_READS_MAX];
    /* Follower: the snapshot of which chunks have come. */
    struct {
        raft_index index; /* 0: none. */
        raft_term term;
        uint64_t state, size, offset; /* Received up to this offset. */
    } incoming;
    struct raft_snapshot snapshot;
    struct raft_session sessions[RAFT_SESSIONS_MAX]; /* As of `commit`. */
    struct raft_progress peers[RAFT_NODES_MAX + 1];  /* Leader: by id, of members. */
    struct raft_entry log[RAFT_LOG_MAX]; /* log[i] has the index snapshot.index + 1 + i. */
    raft_write log_write[RAFT_LOG_MAX];  /* The write that holds log[i]. Never falls with i. */
    uint8_t log_verdict[RAFT_LOG_MAX];   /* enum raft_verdict, of committed entries. */
};

/* What stable storage holds. All zero for a node that joins a running cluster: it knows no members
 * and waits until a leader sends it the log. The first members of a new cluster start with a
 * snapshot of index 0, which holds nothing but `members`: the same on all of them. An id belongs to
 * one storage for ever: a node that lost it, or whose storage was emptied after its removal, comes
 * back under an id that was never used. Else it may vote twice in a term. */
struct raft_durable {
    raft_term term;
    raft_id vote;
    const struct raft_snapshot *snapshot; /* NULL: none. Borrowed for the call. */
    uint32_t entry_count;                 /* 0..RAFT_LOG_MAX */
    const struct raft_entry *entries;     /* From snapshot.index + 1 on. Borrowed for the call. */
};

/* Starts a node from what its storage holds. REQUIRES: `durable` was saved by such a node, and the
 * config is valid. The state machine starts from the snapshot. The effects only set a timer. */
void raft_init(struct raft *r, const struct raft_config *config, const struct raft_durable *durable,
               struct raft_effects *out);

/* Handles one event. REQUIRES: the effects of the events before it were carried out, or are being
 * carried out in order; RAFT_SAVED comes for writes that were asked for, in order. */
void raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out);

/* The entry at `index`. REQUIRES: snapshot.index < index <= last. */
const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index);

/* What became of a committed entry (D 6.3). */
enum raft_verdict {
    RAFT_EXECUTED,  /* A command: it changes the state machine. Of other types: it took effect. */
    RAFT_DUPLICATE, /* A retry of what was executed before: its client gets that reply again. */
    RAFT_EXPIRED    /* Its session is gone: not executed, and nobody can tell whether it was before.
                     */
};
/* REQUIRES: snapshot.index < index <= commit. */
enum raft_verdict raft_verdict_at(const struct raft *r, raft_index index);

/* The bytes of a message that count. REQUIRES: entry_count <= RAFT_BATCH_MAX. */
uint32_t raft_message_size(const struct raft_message *m);

#endif
