/* session.h - client sessions (D 6.3): a command is executed once, however often it is retried. A
 * pure function of the log, so that all nodes agree on what expires. */
#ifndef RAFT_SESSION_H
#define RAFT_SESSION_H

#include "raft.h"

/* What becomes of the entry at `index`, which is committed, and what the sessions are after it.
 * `sessions` has RAFT_SESSIONS_MAX places. */
enum raft_verdict raft_session_apply(struct raft_session *sessions, const struct raft_entry *entry,
                                     raft_index index);

#endif
