/* progress.h - how a leader sends to one peer (5.3). Pure functions on struct raft_progress.
 *
 *     probe --(accepted)--> replicate        one message at a time | as many as the window holds
 *       ^--(rejected, or nothing confirmed)--/
 *     either --(the log was compacted)--> install --(all chunks are there)--> replicate */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "raft.h"

/* Nothing is known; `next` is a guess. */
void raft_progress_reset(struct raft_progress *p, raft_index next);
/* So many entries may be sent now, of any number that there are. */
uint32_t raft_progress_room(const struct raft_progress *p, uint32_t window);
/* A message with `count` entries from `next` on was sent. */
void raft_progress_sent(struct raft_progress *p, uint32_t count);
/* A heartbeat is due: what was sent before it and not confirmed for long counts as lost. */
void raft_progress_heartbeat(struct raft_progress *p);
/* The peer holds all up to `index`. True if that is news. */
bool raft_progress_accepted(struct raft_progress *p, raft_index index);
/* True if a rejection of the message whose previous entry was `index` is not a late one. */
bool raft_progress_is_rejected(const struct raft_progress *p, raft_index index);
/* It may share the log up to `hint`. REQUIRES: the rejection is not a late one. */
void raft_progress_back_off(struct raft_progress *p, raft_index hint);
/* The snapshot of that index is to be sent, from its beginning. */
void raft_progress_install(struct raft_progress *p, raft_index snapshot);
/* The peer wants the chunk at `offset` of that snapshot next. */
void raft_progress_wants(struct raft_progress *p, raft_index snapshot, uint64_t offset);

#endif
