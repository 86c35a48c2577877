/* test_choice.c - the sources of choices: what each one promises about its answers. */
#include "choice.h"

#include <criterion/criterion.h>
#include <string.h>

static uint32_t roll(uint64_t *random, uint32_t bound) {
    return (uint32_t)((random_next(random) >> 32) * bound >> 32);
}

/* All labels alike. */
static struct choice_odds all_odds(uint32_t odds) {
    struct choice_odds result;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) result.odds[i] = odds;
    return result;
}

/* A third of the labels never, a third uniform, a third with odds of their own. */
static struct choice_odds mixed_odds(uint64_t *random) {
    struct choice_odds result;
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) {
        uint32_t kind = roll(random, 3), fraction = 1 + roll(random, UINT32_MAX - 1);
        result.odds[i] = kind == 0 ? CHOICE_NEVER : kind == 1 ? CHOICE_UNIFORM : fraction;
    }
    return result;
}

/* Something to ask; bounds of 0 and 1 too. */
static struct choice any_question(uint64_t *random) {
    static const uint32_t bounds[] = {0,   1,   2,     3,     7,     33,        255,
                                      256, 257, 65535, 65536, 65537, UINT32_MAX};
    return (struct choice){
        .label = (uint16_t)roll(random, CHOICE_LABEL_COUNT),
        .subject = (uint16_t)roll(random, 4096),
        .bound = bounds[roll(random, sizeof bounds / sizeof bounds[0])],
    };
}

static uint32_t ask(struct choices *c, const struct choice *question) {
    return choice_take(c, (enum choice_label)question->label, question->subject, question->bound);
}

static bool is_same(const struct choice *a, const struct choice *b) {
    return a->label == b->label && a->subject == b->subject && a->bound == b->bound &&
           a->value == b->value;
}

/* A source that only counts who asks it. */
static uint32_t times_asked;
static uint32_t next_counted(struct choices *c, enum choice_label label, uint16_t subject,
                             uint32_t bound) {
    (void)c, (void)label, (void)subject;
    times_asked++;
    return bound - 1;
}

/* ---- names, the stream ---- */

/* Goal: a choice list is readable. Method: every label has a name that no other one has. */
Test(choice, labels_have_names_of_their_own) {
    for (uint32_t i = 0; i < CHOICE_LABEL_COUNT; i++) {
        const char *name = choice_label_name((enum choice_label)i);
        cr_assert(name != NULL && name[0] != '\0', "label %u", i);
        for (uint32_t j = 0; j < i; j++)
            cr_assert(strcmp(name, choice_label_name((enum choice_label)j)) != 0, "%s", name);
    }
}

/* Goal: a seed means the same on every machine and build. Method: the published first outputs of
 * SplitMix64 for the seed 1234567. */
Test(choice, stream_is_splitmix64) {
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u,
                                        9817491932198370423u, 4593380528125082431u,
                                        16408922859458223821u};
    uint64_t state = 1234567;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        cr_assert(random_next(&state) == expected[i], "output %zu", i);
}

/* ---- random ---- */

enum { DRAWS = 200000 };

/* Within five standard deviations of what the fraction num / 2^32 gives: |d|^2 <= 25 n p (1 - p).
 */
static bool is_near(uint64_t hits, uint64_t draws, uint64_t num) {
    uint64_t expected = draws * num >> 32;
    uint64_t difference = hits > expected ? hits - expected : expected - hits;
    uint64_t variance = (expected * (((uint64_t)1 << 32) - num) >> 32) + 1;
    return difference * difference <= 25 * variance;
}

static uint64_t count_hits(uint64_t seed, uint32_t odds, uint32_t bound) {
    struct choice_odds table = all_odds(odds);
    struct choices c;
    choices_random(&c, seed, &table, NULL);
    uint64_t hits = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t value =
            choice_take(&c, (enum choice_label)(i % CHOICE_LABEL_COUNT), (uint16_t)i, bound);
        cr_assert(value < bound, "%u of %u", value, bound);
        hits += value != 0;
    }
    return hits;
}

/* Goal: a fault is as frequent as the profile says. Method: count the answers above 0 for odds from
 * never to nearly always, over all labels; five standard deviations either way, in integers. */
Test(choice, random_respects_odds) {
    static const uint32_t odds[] = {1u << 22, 1u << 26, 1u << 30, 1u << 31, 0xf0000000u};
    static const uint32_t bounds[] = {2, 3, 64, UINT32_MAX};
    for (uint32_t b = 0; b < 4; b++) {
        cr_assert(count_hits(b, CHOICE_NEVER, bounds[b]) == 0);
        for (uint32_t i = 0; i < 5; i++) {
            uint64_t hits = count_hits(100 * b + i, odds[i], bounds[b]);
            cr_assert(is_near(hits, DRAWS, odds[i]), "%u hits for odds %u of 2^32, bound %u",
                      (unsigned)hits, odds[i], bounds[b]);
        }
    }
}

/* Goal: no answer is favoured. Method: count each one; with uniform odds 0 is one of them, with a
 * fraction it stands apart and the others share what is left. */
Test(choice, random_covers_all_answers_alike) {
    for (uint32_t bound = 2; bound <= 40; bound++) {
        struct choice_odds uniform = all_odds(CHOICE_UNIFORM), half = all_odds(1u << 31);
        uint64_t uniform_hits[40] = {0}, half_hits[40] = {0};
        struct choices a, b;
        choices_random(&a, bound, &uniform, NULL);
        choices_random(&b, bound, &half, NULL);
        for (uint32_t i = 0; i < DRAWS; i++) {
            uniform_hits[choice_take(&a, CHOICE_EVENT, 0, bound)]++;
            half_hits[choice_take(&b, CHOICE_EVENT, 0, bound)]++;
        }
        for (uint32_t v = 0; v < bound; v++) {
            uint64_t share = v == 0 ? (uint64_t)1 << 31 : ((uint64_t)1 << 31) / (bound - 1);
            cr_assert(is_near(uniform_hits[v], DRAWS, ((uint64_t)1 << 32) / bound), "%u", v);
            cr_assert(is_near(half_hits[v], DRAWS, share), "%u of %u", v, bound);
        }
    }
}

/* Goal: a seed is a run. Method: two sources of one seed answer alike, those of two seeds do not.
 */
Test(choice, random_same_seed_same_stream) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t random = seed;
        struct choice_odds odds = mixed_odds(&random);
        odds.odds[CHOICE_LATENCY] = CHOICE_UNIFORM;
        struct choices a, b, other;
        choices_random(&a, seed, &odds, NULL);
        choices_random(&b, seed, &odds, NULL);
        choices_random(&other, seed + 1, &odds, NULL);
        uint32_t equal = 0;
        for (uint32_t i = 0; i < 500; i++) {
            struct choice question = any_question(&random);
            if (i < 16) question = (struct choice){.label = CHOICE_LATENCY, .bound = UINT32_MAX};
            uint32_t value = ask(&a, &question);
            cr_assert(value == ask(&b, &question), "draw %u", i);
            equal += i < 16 && value == ask(&other, &question);
        }
        cr_assert(equal < 16, "seeds %u and the next", (unsigned)seed);
    }
}

/* ---- recording ---- */

/* Goal: a failing seed that is run again with recording fails again. Method: the same questions to
 * a source that records and one that does not; the record then holds each choice there was, those
 * that are never chosen too, and nothing that was none. */
Test(choice, recording_changes_no_answer) {
    enum { QUESTIONS = 2000 };
    static struct choice items[QUESTIONS];
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t random = seed;
        struct choice_odds odds = mixed_odds(&random);
        struct choice_list list = {.items = items, .capacity = QUESTIONS};
        struct choices silent, recorded;
        choices_random(&silent, seed, &odds, NULL);
        choices_random(&recorded, seed, &odds, &list);
        size_t expected = 0;
        for (uint32_t i = 0; i < QUESTIONS; i++) {
            struct choice question = any_question(&random);
            question.value = ask(&silent, &question);
            cr_assert(ask(&recorded, &question) == question.value, "draw %u", i);
            if (question.bound <= 1) continue;
            cr_assert(list.count == expected + 1, "draw %u of label %u", i, question.label);
            cr_assert(is_same(&items[expected++], &question), "draw %u", i);
        }
        cr_assert(list.count == expected);
    }
}

/* Goal: a list that is full stays within its array and says what it missed. Method: canaries behind
 * every capacity. */
Test(choice, full_list_counts_what_it_does_not_keep) {
    enum { QUESTIONS = 40 };
    for (size_t capacity = 0; capacity < QUESTIONS; capacity++) {
        struct choice items[QUESTIONS];
        memset(items, 0xee, sizeof items);
        struct choice canary = items[0];
        struct choice_list list = {.items = items, .capacity = capacity};
        struct choice_odds odds = all_odds(CHOICE_UNIFORM);
        struct choices c;
        choices_random(&c, capacity, &odds, &list);
        for (uint16_t i = 0; i < QUESTIONS; i++) choice_take(&c, CHOICE_LOSS, i, 2);
        cr_assert(list.count == QUESTIONS);
        for (uint32_t i = 0; i < QUESTIONS; i++)
            if (i < capacity) cr_assert(items[i].subject == i && items[i].bound == 2);
            else cr_assert(is_same(&items[i], &canary), "item %u of %zu", i, capacity);
    }
}

/* Goal: a choice with one answer is none. Method: a source that counts is not asked, the record
 * stays empty, the answer is 0. */
Test(choice, one_answer_is_no_choice) {
    struct choice items[4];
    struct choice_list list = {.items = items, .capacity = 4};
    struct choices c = {.next = next_counted, .record = &list};
    for (uint32_t label = 0; label < CHOICE_LABEL_COUNT; label++)
        for (uint32_t bound = 0; bound <= 1; bound++)
            cr_assert(choice_take(&c, (enum choice_label)label, 7, bound) == 0);
    cr_assert(times_asked == 0 && list.count == 0);
    cr_assert(choice_take(&c, CHOICE_LOSS, 7, 2) == 1);
    cr_assert(times_asked == 1 && list.count == 1);
}

/* Goal: no source can fake a stall in the calm phase. Method: once calm, a source that always
 * answers the most is not asked any more; a set of dull labels silences exactly those. */
Test(choice, calm_and_dull_labels_are_not_asked) {
    struct choice items[4];
    struct choice_list list = {.items = items, .capacity = 4};
    struct choices calm = {.next = next_counted, .record = &list};
    choice_calm(&calm);
    for (uint32_t label = 0; label < CHOICE_LABEL_COUNT; label++) {
        cr_assert(choice_take(&calm, (enum choice_label)label, 0, 9) == 0, "label %u", label);
        struct choices c = {.next = next_counted, .dull = (uint64_t)1 << label};
        for (uint32_t other = 0; other < CHOICE_LABEL_COUNT; other++)
            cr_assert(choice_take(&c, (enum choice_label)other, 0, 9) == (other == label ? 0 : 8));
    }
    cr_assert(times_asked == CHOICE_LABEL_COUNT * (CHOICE_LABEL_COUNT - 1) && list.count == 0);
}

/* ---- replay ---- */

enum { REPLAYED = 300 };

/* Takes choices at random from a source, recording them. All have two answers at least. */
static void record_some(struct choices *c, uint64_t seed, struct choice *items) {
    struct choice_list list = {.items = items, .capacity = REPLAYED};
    c->record = &list;
    while (list.count < REPLAYED) {
        struct choice question = any_question(&seed);
        ask(c, &question);
    }
    c->record = NULL;
}

static void check_replay(const struct choice *items, const char *source) {
    struct choices c;
    choices_replay(&c, items, REPLAYED);
    for (uint32_t i = 0; i < REPLAYED; i++) {
        cr_assert(ask(&c, &items[i]) == items[i].value, "%s, choice %u", source, i);
        cr_assert(!c.is_exhausted && !c.has_diverged, "%s, choice %u", source, i);
    }
    cr_assert(choice_take(&c, CHOICE_LOSS, 0, 2) == 0);
    cr_assert(c.is_exhausted && !c.has_diverged, "%s", source);
}

/* Goal: whatever the source, its record is a run. Method: records of the random, bytes and all
 * sources answer alike when replayed; past their end the answer is 0, and that is no divergence. */
Test(choice, replay_answers_as_recorded) {
    struct choice items[REPLAYED];
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint64_t random = seed;
        struct choice_odds odds = mixed_odds(&random);
        uint8_t bytes[REPLAYED];
        for (uint32_t i = 0; i < REPLAYED; i++) bytes[i] = (uint8_t)roll(&random, 256);
        struct choices c;
        choices_random(&c, seed, &odds, NULL);
        c.dull = 0; /* As a source that records. */
        record_some(&c, seed, items);
        check_replay(items, "random");
        choices_bytes(&c, bytes, sizeof bytes);
        record_some(&c, seed, items);
        check_replay(items, "bytes");
        choices_all(&c, CHOICE_ALL_DEPTH_MAX);
        record_some(&c, seed, items);
        check_replay(items, "all");
    }
}

/* Goal: a replay of another run is noticed. Method: at every position, ask for another label,
 * subject or bound; from there on all answers are 0, though everything recorded is above 0. */
Test(choice, replay_notices_another_question) {
    enum { COUNT = 20 };
    struct choice items[COUNT];
    for (uint16_t i = 0; i < COUNT; i++)
        items[i] = (struct choice){.label = CHOICE_LOSS, .subject = i, .bound = 5, .value = 4};
    for (uint32_t at = 0; at < COUNT; at++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            struct choices c;
            choices_replay(&c, items, COUNT);
            for (uint32_t i = 0; i < COUNT; i++) {
                struct choice question = items[i];
                if (i == at && kind == 0) question.label = CHOICE_DUPLICATE;
                if (i == at && kind == 1) question.subject++;
                if (i == at && kind == 2) question.bound++;
                cr_assert(ask(&c, &question) == (i < at ? 4 : 0), "%u, %u, %u", at, kind, i);
                cr_assert(c.has_diverged == (i >= at), "%u, %u, %u", at, kind, i);
            }
        }
}

/* ---- bytes ---- */

/* Goal: no input of a fuzzer leaves the range. Method: a million questions to random bytes. */
Test(choice, bytes_stay_in_range) {
    uint64_t random = 1;
    static uint8_t data[4096];
    for (uint32_t round = 0; round < 500; round++) {
        for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)roll(&random, 256);
        struct choices c;
        choices_bytes(&c, data, roll(&random, sizeof data + 1));
        for (uint32_t i = 0; i < 2000; i++) {
            struct choice question = any_question(&random);
            uint32_t value = ask(&c, &question);
            cr_assert(question.bound == 0 ? value == 0 : value < question.bound, "%u of %u", value,
                      question.bound);
        }
    }
}

static uint32_t answer_to_byte(enum choice_label label, uint32_t bound, uint8_t byte) {
    uint8_t data[2] = {byte, byte};
    struct choices c;
    choices_bytes(&c, data, sizeof data);
    return choice_take(&c, label, 0, bound);
}

/* Goal: one byte reaches every answer, and faults stay rare enough that packets arrive. Method: all
 * 256 bytes for each label and bound; bounds that a fault's 32 bytes or a plain choice's 256 can
 * tell apart. */
Test(choice, bytes_reach_every_answer) {
    static const enum choice_label faults[] = {CHOICE_LOSS,
                                               CHOICE_DUPLICATE,
                                               CHOICE_DELAY,
                                               CHOICE_SYNC_LEFT,
                                               CHOICE_CRASH,
                                               CHOICE_PAUSE,
                                               CHOICE_PARTITION,
                                               CHOICE_HEAL,
                                               CHOICE_CLIENT_TARGET,
                                               CHOICE_CLIENT_FORGET,
                                               CHOICE_CHANGE,
                                               CHOICE_TRANSFER,
                                               CHOICE_OPERATOR_TARGET,
                                               CHOICE_MOMENT,
                                               CHOICE_LATE,
                                               CHOICE_HANG,
                                               CHOICE_STOP,
                                               CHOICE_RENEW,
                                               CHOICE_WIPE};
    bool is_fault[CHOICE_LABEL_COUNT] = {false};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) is_fault[faults[i]] = true;
    for (uint32_t label = 0; label < CHOICE_LABEL_COUNT; label++)
        for (uint32_t bound = 2; bound <= (is_fault[label] ? 33u : 256u); bound++) {
            uint32_t hits[256] = {0};
            for (uint32_t byte = 0; byte < 256; byte++)
                hits[answer_to_byte((enum choice_label)label, bound, (uint8_t)byte)]++;
            for (uint32_t v = 0; v < bound; v++)
                cr_assert(hits[v] > 0, "label %u never answers %u of %u", label, v, bound);
            if (is_fault[label]) cr_assert(hits[0] >= 192, "label %u: %u", label, hits[0]);
        }
}

/* Goal: an input that ends, ends dull. Method: for each length, every byte of it is used and
 * answers the most; only then the source is exhausted and answers 0. */
Test(choice, bytes_run_out_dull) {
    uint8_t data[64];
    memset(data, 0xff, sizeof data);
    for (size_t size = 0; size <= sizeof data; size++) {
        struct choices c;
        choices_bytes(&c, data, size);
        for (size_t i = 0; i < size; i++) {
            cr_assert(choice_take(&c, CHOICE_EVENT, 0, 256) == 255, "byte %zu of %zu", i, size);
            cr_assert(!c.is_exhausted);
        }
        for (uint32_t label = 0; label < CHOICE_LABEL_COUNT; label++) {
            cr_assert(choice_take(&c, (enum choice_label)label, 0, 1000) == 0);
            cr_assert(c.is_exhausted);
        }
    }
}

/* Goal: lower bytes shrink towards the dullest run. Method: bytes of 0 answer 0 to everything. */
Test(choice, bytes_of_zero_are_dull) {
    static const uint8_t zeros[4000];
    struct choices c;
    choices_bytes(&c, zeros, sizeof zeros);
    uint64_t random = 5;
    for (uint32_t i = 0; i < 2000; i++) {
        struct choice question = any_question(&random);
        cr_assert(ask(&c, &question) == 0, "label %u of %u", question.label, question.bound);
        cr_assert(!c.is_exhausted);
    }
}

/* ---- all ---- */

/* A tree of questions: how many are asked, and the bound of each, depend on the answers before. */
struct tree {
    uint64_t seed;
    uint32_t depth_max; /* Of the odometer: choices beyond it answer 0. */
};
enum { TREE_QUESTIONS_MAX = 7, TREE_PATHS_MAX = 20000 };

struct path {
    uint32_t count, answers[TREE_QUESTIONS_MAX];
};

/* The bound of the next question, 0 and 1 too; false where the run ends. */
static bool tree_bound(const struct tree *tree, const struct path *path, uint32_t *bound) {
    uint64_t state = tree->seed;
    for (uint32_t i = 0; i < path->count; i++) state = random_next(&state) + path->answers[i];
    bool has_more = path->count < TREE_QUESTIONS_MAX && roll(&state, 8) != 0;
    *bound = roll(&state, 5);
    return has_more;
}

/* The naive twin: nested loops, as a recursion. `depth` counts the true choices. */
static void enumerate(const struct tree *tree, const struct path *path, uint32_t depth,
                      struct path *out, uint32_t *count) {
    uint32_t bound;
    if (!tree_bound(tree, path, &bound)) {
        cr_assert(*count < TREE_PATHS_MAX);
        out[(*count)++] = *path;
        return;
    }
    bool is_open = bound > 1 && depth < tree->depth_max;
    for (uint32_t value = 0; value < (is_open ? bound : 1); value++) {
        struct path longer = *path;
        longer.answers[longer.count++] = value;
        enumerate(tree, &longer, depth + (bound > 1), out, count);
    }
}

static struct path walk(const struct tree *tree, struct choices *c, uint32_t *true_choices) {
    struct path path = {0};
    *true_choices = 0;
    for (uint32_t bound; tree_bound(tree, &path, &bound);) {
        *true_choices += bound > 1;
        path.answers[path.count++] = choice_take(c, CHOICE_EVENT, 0, bound);
    }
    return path;
}

/* Goal: exhaustive search misses nothing and repeats nothing. Method: on random trees whose bounds
 * depend on the answers, the odometer gives the same paths in the same order as nested loops, and
 * ends when they do; it is exhausted just in runs that are deeper than it goes. */
Test(choice, all_enumerates_each_sequence_once) {
    static struct path expected[TREE_PATHS_MAX];
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct tree tree = {.seed = seed, .depth_max = 1 + (uint32_t)(seed % TREE_QUESTIONS_MAX)};
        uint32_t expected_count = 0, count = 0;
        enumerate(&tree, &(struct path){0}, 0, expected, &expected_count);
        struct choices c;
        choices_all(&c, tree.depth_max);
        do {
            uint32_t true_choices;
            struct path path = walk(&tree, &c, &true_choices);
            cr_assert(count < expected_count, "tree %u: too many", (unsigned)seed);
            cr_assert(path.count == expected[count].count &&
                          memcmp(path.answers, expected[count].answers,
                                 path.count * sizeof path.answers[0]) == 0,
                      "tree %u, path %u", (unsigned)seed, count);
            cr_assert(c.is_exhausted == (true_choices > tree.depth_max));
            count++;
        } while (choices_all_next(&c));
        cr_assert(count == expected_count, "tree %u: %u of %u", (unsigned)seed, count,
                  expected_count);
    }
}

/* Goal: the next sequence starts afresh, though the last run ended calm. Method: three binary
 * choices, calm after each run: eight runs. */
Test(choice, all_wakes_up_after_a_calm_end) {
    struct choices c;
    choices_all(&c, CHOICE_ALL_DEPTH_MAX);
    uint32_t seen = 0;
    do {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < 3; i++) bits = bits << 1 | choice_take(&c, CHOICE_LOSS, 0, 2);
        seen |= 1u << bits;
        choice_calm(&c);
    } while (choices_all_next(&c));
    cr_assert(seen == 0xff, "%x", seen);
}
