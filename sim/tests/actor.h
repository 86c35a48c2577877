/* actor.h - the world with an actor for each node, which does just what the test has ordered, and
 * with choices that the test has made. Every test of the suite `cluster` gets a new world; at its
 * end all lives must have been given back.
 *
 *     stage_begin(quiet(3));
 *     order_packet(1, 2, 5, 0);
 *     cr_assert_str_eq(facts(poke(1)), "step leave:5");
 *     run_for(LATENCY_US);
 *     cr_assert_str_eq(heard_by(2), "receive:5");
 */
#ifndef ACTOR_H
#define ACTOR_H

#include "cluster.h"

/* ---- The actors. ---- */

enum { ACTOR_ENTRIES_MAX = 4 };

/* The script of one of them. */
struct stage {
    struct node_effects effects; /* What the next step orders. The one after orders nothing. */
    struct node_view view;
    uint64_t words[NODE_MAX]; /* The packets of `effects`: one word each. */
    struct node_config config;
    struct node_image image; /* Of its snapshot; at the start, from the disk. */
    /* Entries of its log that are not as actor_entry() says, in order; the rest has index 0. */
    struct {
        uint64_t index;
        struct node_entry entry;
    } entries[ACTOR_ENTRIES_MAX];
    enum node_verdict verdict;    /* All that it applies gets this one. */
    uint64_t match[NODE_MAX + 1]; /* Its knowledge of its peers when it leads. */
    struct node_event event;      /* The last one that it was told. */
    bool is_forged; /* It answers just what is ordered, even where that breaks the contract. */
    /* Forges the effects of its starts; NULL: they set an election timer. */
    void (*at_start)(struct stage *s, struct node_effects *out);
};

/* An event that an actor was told. */
struct heard {
    enum node_event_type type;
    node_id node;
    uint64_t value, at_us;
};

/* The world of the test. */
extern struct cluster *world;
/* By node. */
extern struct stage stages[NODE_MAX + 1];
/* What all of them were told since the run began, or since the test set the count to 0. */
extern struct heard heard[];
extern uint32_t heard_count;
/* Lives that have begun, in all runs. */
extern uint32_t actor_start_count;

/* Every fifth entry is a no-op, of no client, the others are commands of client 0, unless the stage
 * says otherwise. */
struct node_entry actor_entry(const void *node, uint64_t index);

/* ---- The choices. ---- */

/* The source of the run; the test may put another one in its place. */
extern struct choices stage_choices;
/* By label: the answer, or the most that it may be; how often it was asked for; the last bound. */
extern uint32_t forced[CHOICE_LABEL_COUNT], asked[CHOICE_LABEL_COUNT];
extern uint32_t bound_asked[CHOICE_LABEL_COUNT];
/* The answers to CHOICE_CORE. */
extern node_set outside;

/* ---- The stage. ---- */

/* Nothing happens for ten seconds but what the test orders. */
enum {
    QUIET_US = 10 * 1000 * 1000,
    LATENCY_US = 1000,
    SYNC_US = 100,
    HEARTBEAT_US = 500,
    DOWN_US = 1000,
    RETRY_US = 20000
};
/* The configuration for that. */
struct cluster_config quiet(uint32_t nodes);

/* Begins a run; all choices are 0 until the test says otherwise. */
void stage_begin(struct cluster_config config);

/* When that event is due, of which there is one at most; 0: never. */
uint64_t pending(enum event_type type, uint32_t id);
/* When the next event of all is due. */
uint64_t next_due(void);
/* Lets all happen that is due in that time. */
void run_for(uint64_t us);
/* The event happens now, before all that is pending: it is long overdue. */
const struct change *happen_now(enum event_type type, node_id id);
/* The node takes a step now, with the effects that were ordered. */
const struct change *poke(node_id id);
/* A fault occurs now, as the choices say. */
const struct change *fault_now(void);
/* The node crashes, now and at once. */
void crash_now(node_id id);
/* Client 0 proposes now; tells what the node was told then, as heard_by does. */
const char *ask_client(node_id id);
/* That client may ask now: tells what all nodes were told then, with the node in front: "2 read:7".
 */
const char *ask_as(uint32_t client);

/* The next step of the node writes its term, which is that number, as its write of that number. */
void order_write(node_id id, uint64_t sequence);
/* It sends that word, which leaves when the write `after` is durable. */
void order_packet(node_id id, node_id target, uint64_t word, uint64_t after);
/* Its log ends with that entry at `index`. */
void order_entry(node_id id, uint64_t index, struct node_entry entry);
/* ... with that configuration, and the next step writes it, with all before it that is new. */
void order_change(node_id id, uint64_t index, struct node_members members);
/* It applies the entries `from` to `to`. */
void order_apply(node_id id, uint64_t from, uint64_t to);

/* ---- What happened, as a line. ---- */

/* A line of words such as "write:1 leave:7", to compare what happened with a story. */
struct text {
    char line[6000];
    size_t length;
};
/* One word more, with its value unless that is 0. */
void tell(struct text *t, const char *word, uint64_t value);
/* The facts of a change; good until the next call. */
const char *facts(const struct change *change);
/* All that the node was told since the run began, or the count was set to 0; likewise. */
const char *heard_by(node_id id);
/* Packets that are under way or held. */
uint32_t slots_in_use(const struct network *n);

#endif
