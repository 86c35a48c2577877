/* story.h - how the checks are tested: every check of check.h fires on a forged wrong state, and is
 * silent on the nearest legal one.
 *
 * A test tells a story in two or more variants, which differ in as little as possible. LEGAL is
 * watched by all checks, and none may speak. In each of the others the check under test runs alone
 * and must fire at the very last event; then all run, and none may speak earlier. */
#ifndef STORY_H
#define STORY_H

#include "puppet.h"

enum { LEGAL, FORGED, FORGED_2, FORGED_3, FORGED_4, FORGED_5, FORGED_6 };
typedef void story(struct world *w, uint32_t variant);

/* All stories of a test happen in one world, one after the other: what a run leaves in the checks,
 * the next must not feel. */
extern struct world world;
void open_world(void);
/* With two nodes that may join. */
void open_world_with_spares(void);
void close_world(void);

static inline node_set three(node_id a, node_id b, node_id c) { return nodes(a, b) | node_bit(c); }

static inline struct node_members voters(node_set set) {
    return (struct node_members){.voters = set};
}
static inline struct node_members joint(node_set set, node_set outgoing) {
    return (struct node_members){.voters = set, .outgoing = outgoing};
}

/* What the checks say. */
const char *speaks(const struct world *w);

/* ---- How a story is judged. ---- */

/* That check has fired, or one before it in the table, and not early. */
void expect_violation(const struct world *w, enum check_id check, uint32_t variant);
/* Not even in the comparison at the end of a run. */
void expect_none(struct world *w, uint32_t variant);
/* Tells it; no check speaks: none of those, or none at all. */
void silent_with(uint32_t enabled, uint32_t node_count, story *tell, uint32_t variant);
void silent(uint32_t node_count, story *tell, uint32_t variant);
/* Tells it; the check fires: among those, or alone. */
void fires_with(uint32_t enabled, enum check_id check, uint32_t node_count, story *tell,
                uint32_t variant);
void fires_alone(enum check_id check, uint32_t node_count, story *tell, uint32_t variant);
/* The forged variants up to `last` fire, the legal one does not. */
void judge(enum check_id check, uint32_t node_count, story *tell, uint32_t last);

/* ---- How stories begin, and go on. ---- */

/* n1 leads term 1, and its log is 1/1 ... last/1, which n2 has, too. */
void share(struct world *w, uint64_t last);
/* ... and n1 has committed it. */
void agree(struct world *w, uint64_t last);
/* n1 leads term 1 and has committed 2/1; its log ends with a configuration, at 3/1, durable. */
void begin_change(struct world *w, struct node_members members);
/* They have all that n1 has; durable. */
void catch_up(struct world *w, node_set targets);
/* Without a word to the state machine. */
void shows_commit(struct world *w, node_id id, uint64_t commit);
/* In its next step. */
void becomes_follower(struct world *w, node_id id, uint64_t term);
/* NODE_WRITE_MAX entries; durable. */
void write_batch(struct world *w, node_id id, uint64_t from, uint64_t term);

#endif
