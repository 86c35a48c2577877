/* puppet.h - nodes that do what the test says, in a real cluster with real disks, watched by the
 * checks: forged wrong states, and the legal ones next to them.
 *
 *     elects(w, 1, 1, nodes(1, 2));     // each verb is one event of the cluster, or a few
 *     appends(w, 1, 1, 1);
 *     puppet(w, 1)->view.commit = 7;    // or: write what you like ...
 *     steps(w, 1);                      // ... and show it
 */
#ifndef PUPPET_H
#define PUPPET_H

#include "check.h"

/* The node: what it shows, and what its next step asks the world to do. */
struct puppet {
    struct node_view view; /* But for last_term, which follows from the log. */
    struct node_image image;
    struct node_progress peers[NODE_MAX + 1];
    struct node_entry log[NODE_LOG_MAX]; /* By index modulo NODE_LOG_MAX. */
    uint8_t verdicts[NODE_LOG_MAX];      /* Likewise: enum node_verdict. */
    bool is_forged; /* It acts on `forged`, not on the configuration that its log says. */
    struct node_members forged;
    uint64_t written; /* Sequence number of its newest write. */
    struct node_effects next;
    struct promise promises[NODE_MAX]; /* The packets of `next`, verbatim. */
    /* What its next life claims; 0: what the disk says. */
    uint64_t start_term, start_commit;
};
extern const struct node_impl node_puppet;

struct world {
    struct choices choices; /* First: the source is found through it. */
    uint32_t answers[CHOICE_LABEL_COUNT];
    uint32_t spares; /* Nodes beyond the first members. */
    struct cluster *cluster;
    struct checks *checks;
    bool is_over;     /* A check has spoken: as in a run, nothing happens any more. */
    uint32_t ignored; /* Events that should have happened after that. */
};

void world_open(struct world *w);
void world_close(struct world *w);
/* Begins a run of so many puppets, watched by those checks. */
void world_reset(struct world *w, uint32_t node_count, uint32_t enabled);
struct puppet *puppet(struct world *w, node_id id);
static inline node_set nodes(node_id a, node_id b) { return node_bit(a) | node_bit(b); }

/* ---- What the next step of a node will declare. ---- */

/* Its write has that number. */
uint64_t saves(struct world *w, node_id id);
void saves_vote(struct world *w, node_id id, uint64_t term, node_id vote);
/* The entry at `index`, which ends the log. An index and a term always mean the same command. */
void saves_entry(struct world *w, node_id id, uint64_t index, uint64_t term);
void saves_command(struct world *w, node_id id, uint64_t index, struct node_entry entry);
/* ... which holds that configuration. */
void saves_members(struct world *w, node_id id, uint64_t index, uint64_t term,
                   struct node_members members);
/* Nothing above `last` any more. */
void truncates(struct world *w, node_id id, uint64_t last);
/* A packet that leaves when the write `after` is durable. */
void promises(struct world *w, node_id id, struct promise promise, uint64_t after);
void promises_vote(struct world *w, node_id id, node_id candidate, uint64_t term, uint64_t after);
void promises_prevote(struct world *w, node_id id, node_id candidate, uint64_t term);
void promises_append(struct world *w, node_id id, uint64_t index, uint64_t term, uint64_t after);

/* It gets all chunks of the snapshot of `source`, and installs it in place of its own. */
void receives_snapshot(struct world *w, node_id id, node_id source);
/* It serves that read. */
void serves(struct world *w, node_id id, uint64_t handle);

/* ---- What happens: events of the cluster. ---- */

void steps(struct world *w, node_id id);
/* The same, on a packet of that peer. */
void hears(struct world *w, node_id id, node_id peer);
/* The same, where the packet makes that promise. */
void hears_promise(struct world *w, node_id id, node_id peer, struct promise promise);
/* All its pending writes become durable; or all but the last `left` of them. */
void syncs(struct world *w, node_id id);
void syncs_but(struct world *w, node_id id, uint32_t left);
/* Of its pending writes the first `kept` survive. */
void crashes(struct world *w, node_id id, uint32_t kept);
/* It crashes, and its disk is empty then. */
void wipes(struct world *w, node_id id);
/* In its next step, before that effect, counted from 1. */
void crashes_before(struct world *w, node_id id, uint32_t effect);
void restarts(struct world *w, node_id id);
/* A client begins a read; of no node. */
void begins_read(struct world *w, uint64_t handle);

/* ---- Whole moves of Raft, all legal in themselves. ---- */

/* It goes on to that term, as a follower without a vote; durable. */
void follows(struct world *w, node_id id, uint64_t term);
/* It votes, saves that, and tells the candidate once that is durable. */
void votes(struct world *w, node_id id, node_id candidate, uint64_t term);
void leads(struct world *w, node_id id, uint64_t term);
/* The voters vote for it, durably, and it leads. */
void elects(struct world *w, node_id id, uint64_t term, node_set voters);
/* The entry is its last from now on; pending. */
void appends(struct world *w, node_id id, uint64_t index, uint64_t term);
/* ... and a configuration. */
void reconfigures(struct world *w, node_id id, uint64_t index, uint64_t term,
                  struct node_members members);
/* On each of them; durable. */
void replicates(struct world *w, node_set targets, uint64_t index, uint64_t term);
void replicates_members(struct world *w, node_set targets, uint64_t index, uint64_t term,
                        struct node_members members);
/* The entry that `source` has there; durable. */
void copies(struct world *w, node_id id, node_id source, uint64_t index);
/* A leader hears how far the log of a peer is durable. */
void learns(struct world *w, node_id id, node_id peer, uint64_t match);
/* It commits, and applies all up to there. */
void commits(struct world *w, node_id id, uint64_t index);
/* ... and tells the clients. */
void answers(struct world *w, node_id id, uint64_t index);
/* Compacts to what it is told; pending. The image is what its log says, or what it has received. */
void takes_snapshot(struct world *w, node_id id, struct node_snapshot snapshot);
/* A snapshot of all that it has applied; pending. */
void compacts(struct world *w, node_id id);
/* It takes over the snapshot of `source` in place of its log; pending. */
void installs(struct world *w, node_id id, node_id source);

#endif
