/* session.c - client sessions. */
#include "session.h"

#include <assert.h>
#include <stddef.h>

static struct raft_session *find(struct raft_session *sessions, raft_index id) {
    for (uint32_t i = 0; i < RAFT_SESSIONS_MAX; i++)
        if (sessions[i].id == id) return &sessions[i];
    return NULL;
}

/* A free place was never active. */
static struct raft_session *quietest(struct raft_session *sessions) {
    struct raft_session *s = &sessions[0];
    for (uint32_t i = 1; i < RAFT_SESSIONS_MAX; i++)
        if (sessions[i].active < s->active) s = &sessions[i];
    return s;
}

static enum raft_verdict execute(struct raft_session *s, uint64_t serial, raft_index index) {
    if (s == NULL) return RAFT_EXPIRED;
    s->active = index;
    if (serial <= s->serial) return RAFT_DUPLICATE;
    s->serial = serial;
    s->reply = index;
    return RAFT_EXECUTED;
}

enum raft_verdict raft_session_apply(struct raft_session *sessions, const struct raft_entry *entry,
                                     raft_index index) {
    assert(index > 0);
    switch ((enum raft_entry_type)entry->type) {
    case RAFT_COMMAND:
        if (entry->session == 0) return RAFT_EXECUTED;
        return execute(find(sessions, entry->session), entry->serial, index);
    case RAFT_SESSION:
        *quietest(sessions) = (struct raft_session){.id = index, .active = index};
        return RAFT_EXECUTED;
    case RAFT_NOOP:
    case RAFT_MEMBERS: return RAFT_EXECUTED;
    }
    assert(false);
    return RAFT_EXECUTED;
}
