/* shadow.h - what the checks remember between steps. Part of the checks: only their files use it.
 */
#ifndef SHADOW_H
#define SHADOW_H

#include "check.h"
#include "history.h"

typedef unsigned long long ull; /* For printf. */

/* A log, as its declared changes have made it. */
struct log_shadow {
    uint64_t base; /* The snapshot's index. */
    uint64_t last;
    history_id base_record;
    history_id records[NODE_LOG_MAX]; /* By index modulo NODE_LOG_MAX. */
};

/* True for the entries of the log and for the last one that its snapshot covers. */
static inline bool shadow_holds(const struct log_shadow *s, uint64_t index) {
    return index >= s->base && index <= s->last;
}
/* REQUIRES: shadow_holds. */
static inline history_id shadow_at(const struct log_shadow *s, uint64_t index) {
    return index == s->base ? s->base_record : s->records[index % NODE_LOG_MAX];
}

/* A write that is not durable yet. */
struct pending_write {
    uint64_t sequence, term;
    bool has_vote, has_snapshot;
    node_id vote;
    uint32_t count;
    uint64_t from; /* 0: the log is unchanged. */
    struct node_snapshot snapshot;
    history_id snapshot_record;
    history_id records[NODE_WRITE_MAX];
};

/* How up-to-date a log is (5.4.1). */
struct log_key {
    uint64_t term, index; /* Of its last entry. */
};

static inline bool is_below(struct log_key a, struct log_key b) {
    return a.term != b.term ? a.term < b.term : a.index < b.index;
}

/* Pre-votes (D 9.6), of three kinds: those that the node asked for, in the latest term in which it
 * did; its latest campaign; and the last one that it granted. */
struct prevote_shadow {
    uint64_t term;        /* The highest in which it was a pre-candidate. */
    struct log_key best;  /* Its most up-to-date log as a pre-candidate of that term. */
    node_set granted;     /* They granted it a pre-vote in that term, and it was right to. */
    node_set received;    /* Their grants have come, in this incarnation. */
    uint64_t campaign;    /* The term of its latest campaign. */
    struct log_key entry; /* Its log in that campaign. */
    bool is_weaker;       /* It may have been granted pre-votes for a better log than that. */
    bool is_bound;        /* Nothing has changed since it granted a pre-vote to `asker`. */
    node_id asker;
    uint64_t asked; /* The asker's term. */
};

struct node_shadow {
    bool is_alive;
    bool is_wiped; /* Its disk was emptied: what it knows of members is what it was told since. */
    uint64_t applied;
    struct prevote_shadow prevote;
    struct log_shadow memory;
    /* What is durable; and what is pending, the oldest at `first` of a ring. */
    uint64_t term;
    node_id vote;
    struct node_snapshot snapshot;
    uint64_t promised_term; /* The last vote that left. */
    node_id promised_candidate;
    struct log_shadow disk;
    uint32_t first, pending;
    struct pending_write writes[DISK_WRITES_MAX];
    uint64_t match[NODE_MAX + 1]; /* While it leads: what it last knew of its peers. */
};

/* An entry of the committed chain, which only leaders extend. */
struct chain_entry {
    history_id record;
    uint8_t verdict; /* Up to chain_applied: of whoever applied it first. */
    uint64_t term;   /* In which it was committed. It counts for all entries before it, too. */
    uint64_t state;  /* Up to chain_applied: of a state machine that has applied it. */
};

/* What a client did and was shown. */
struct client_shadow {
    uint64_t number;   /* The highest of its commands that were executed; 0: none yet. */
    uint64_t executed; /* Bit i: its command `number` - i was executed. */
    uint64_t read;     /* The handle of its read under way; 0: none. */
    uint64_t floor;    /* What had been shown to any client when that read began. */
};

/* Who led a term, with the log that it had when elected. */
struct leader_record {
    uint64_t term, last;
    history_id record; /* Of the entry at `last`. */
    node_id leader;
};

enum { CHECK_TERMS_MAX = 4096 };

struct checks {
    uint32_t enabled;
    struct violation violation;
    const char *undecided;
    uint64_t compare_at; /* The step of the next comparison of all logs. */
    node_id node_count;
    node_id first_count; /* The first members are those up to here. */
    uint64_t chain_last;
    uint64_t chain_applied;   /* What some state machine has applied of it. */
    uint64_t term_max;        /* The highest term that had a leader. */
    struct log_key electable; /* No log below it could win an election in the configuration
                               * `electable_in` now. May be out of date, and then is too low. */
    struct node_members electable_in;
    uint64_t shown; /* The highest index that an acknowledgement or a read has shown. */
    struct client_shadow clients[CONFIG_CLIENTS_MAX + 1];
    struct history history;
    struct chain_entry chain[HISTORY_INDEXES_MAX];
    struct leader_record leaders[CHECK_TERMS_MAX]; /* By term modulo CHECK_TERMS_MAX. */
    struct node_shadow nodes[NODE_MAX + 1];
};

static inline struct chain_entry *chain_at(struct checks *k, uint64_t index) {
    return &k->chain[index % HISTORY_INDEXES_MAX];
}
static inline const struct history_record *record_of(const struct checks *k, history_id id) {
    return &k->history.records[id];
}

/* The configuration in force at an index of a log: a function of the log. Who joins knows none
 * until its log or a snapshot tells. */
static inline const struct node_members *shadow_members_at(const struct checks *k, node_id id,
                                                           const struct log_shadow *log,
                                                           uint64_t index) {
    static const struct node_members none = {0};
    const struct history_record *r = record_of(k, shadow_at(log, index));
    bool is_told = id <= k->first_count && !k->nodes[id].is_wiped;
    bool is_unknown = !is_told && log->base == 0 && r->members_index == 0;
    return is_unknown ? &none : &r->members;
}
/* At its end: the one that the node acts on. */
static inline const struct node_members *shadow_members(const struct checks *k, node_id id,
                                                        const struct log_shadow *log) {
    return shadow_members_at(k, id, log, log->last);
}
static inline bool same_members(const struct node_members *a, const struct node_members *b) {
    return a->voters == b->voters && a->outgoing == b->outgoing && a->learners == b->learners;
}

/* Notes a violation, unless that check is off or one of a check before it is noted. */
void check_fail(struct checks *k, const struct cluster *c, enum check_id check, const char *format,
                ...) __attribute__((cold, format(printf, 4, 5)));

/* check_log.c */
void check_log_step(struct checks *k, const struct cluster *c, const struct change *change,
                    node_id id);
void check_log_start(struct checks *k, const struct cluster *c, node_id id);
void check_log_compare(struct checks *k, const struct cluster *c, node_id id);
/* True if the record is of that entry. */
bool check_same_entry(const struct checks *k, history_id record, const struct node_entry *entry);

/* check_election.c */
void check_election_step(struct checks *k, const struct cluster *c, const struct node_view *before,
                         node_id id);
/* A commit up to `index` was decided in `term`, by `id`. */
void check_election_commit(struct checks *k, const struct cluster *c, node_id id, uint64_t index,
                           uint64_t term);

/* check_prevote.c */
/* After the log of the step. Quiet: nothing changes that a check looks at. */
void check_prevote_step(struct checks *k, const struct cluster *c, const struct change *change,
                        node_id id, bool is_quiet);
void check_prevote_grant(struct checks *k, const struct cluster *c, const struct fact *fact);
void check_prevote_start(struct checks *k, node_id id);

/* check_commit.c */
void check_commit_step(struct checks *k, const struct cluster *c, const struct change *change,
                       node_id id);
void check_commit_fact(struct checks *k, const struct cluster *c, const struct fact *fact);
/* True if the log is a prefix of the committed chain, or longer, up to `index`. */
bool check_holds_chain(struct checks *k, const struct log_shadow *log, uint64_t index);
/* committed-durability: after the memory log, the durable log of one node, or the chain changed. */
void check_durability_memory(struct checks *k, const struct cluster *c, node_id id);
void check_durability_disk(struct checks *k, const struct cluster *c, node_id id,
                           struct log_key before);
void check_durability_all(struct checks *k, const struct cluster *c);
struct log_key check_log_key(const struct checks *k, const struct log_shadow *log);

/* check_config.c */
void check_config_step(struct checks *k, const struct cluster *c, const struct change *change,
                       node_id id);
void check_config_compare(struct checks *k, const struct cluster *c, node_id id);

/* check_goal.c */
void check_goal_step(struct checks *k, const struct cluster *c, node_id id);
/* The leader has not handed over in time. */
void check_goal_late(struct checks *k, const struct cluster *c);

/* check_client.c */
/* An entry of the chain is applied for the first time. */
void check_client_apply(struct checks *k, const struct cluster *c, const struct fact *fact);
/* An answer; or a read begins or is served. */
void check_client_fact(struct checks *k, const struct cluster *c, const struct fact *fact);

/* check_disk.c */
void check_disk_fact(struct checks *k, const struct cluster *c, const struct change *change,
                     const struct fact *fact);
void check_disk_compare(struct checks *k, const struct cluster *c, node_id id);
/* match-truth of what the leader `id` knows of `peer`. */
void check_match(struct checks *k, const struct cluster *c, node_id id, node_id peer,
                 uint64_t match);

#endif
