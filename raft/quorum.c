/* quorum.c - majorities. */
#include "quorum.h"

#include <assert.h>

static bool is_majority(raft_set voters, raft_set set) {
    return __builtin_popcountll(voters & set) * 2 > __builtin_popcountll(voters);
}

bool raft_quorum(const struct raft_members *m, raft_set set) {
    if (!is_majority(m->voters, set)) return false;
    return m->outgoing == 0 || is_majority(m->outgoing, set);
}

/* Sorts the voters' indexes, the highest first: the one in the middle is reached by a majority. */
static raft_index majority_index(raft_set voters, const raft_index *match) {
    raft_index sorted[RAFT_NODES_MAX];
    uint32_t count = 0;
    assert(!(voters & 1));
    for (raft_set rest = voters; rest != 0; rest &= rest - 1) {
        raft_index index = match[__builtin_ctzll(rest)];
        uint32_t i = count++;
        for (; i > 0 && sorted[i - 1] < index; i--) sorted[i] = sorted[i - 1];
        sorted[i] = index;
    }
    return count > 0 ? sorted[count / 2] : 0;
}

raft_index raft_quorum_index(const struct raft_members *m, const raft_index *match) {
    raft_index index = majority_index(m->voters, match);
    if (m->outgoing == 0) return index;
    raft_index old = majority_index(m->outgoing, match);
    return old < index ? old : index;
}
