/* test_artefact.c - artefacts: what is written is read, and anything else is refused with a
 * position. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "artefact.h"
#include "profile.h"

static char path[64];

static void begin(void) { snprintf(path, sizeof path, "artefact-test.%ld", (long)getpid()); }
static void end(void) { unlink(path); }

static struct choice three[] = {
    {CHOICE_EVENT, 0, 7, 3},
    {CHOICE_LATENCY, 1 << 8 | 63, UINT32_MAX, UINT32_MAX - 1},
    {CHOICE_CORE, 3, 2, 0},
};

static struct artefact sample(void) {
    struct artefact a = {.build = "abc-log256",
                         .node = "raft",
                         .origin = "seed 42, profile swarm",
                         .enabled = 1u << CHECK_RECOVERY | 1u << CHECK_PROGRESS,
                         .outcome = "violation recovery",
                         .text = "n1 reads back what it had not saved",
                         .at_step = UINT64_MAX,
                         .digest = 0x0123456789abcdefu,
                         .choices = {three, 3, 3}};
    struct profile_request request = {PROFILE_SWARM, 3, 7, 500, 256};
    struct choice_odds odds;
    profile_draw(&request, 42, &a.config, &odds);
    return a;
}

static char *slurp(size_t *size) {
    gzFile file = gzopen(path, "rb");
    static char text[1 << 16];
    int count = gzread(file, text, sizeof text);
    cr_assert_gt(count, 0);
    gzclose(file);
    *size = (size_t)count;
    return text;
}

static void write_plain(const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static bool load(struct artefact_error *error) {
    struct artefact a;
    bool is_good = artefact_load(path, &a, error);
    if (is_good) artefact_free(&a);
    return is_good;
}

TestSuite(artefact, .init = begin, .fini = end);

/* Goal: parse(write(x)) = x. */
Test(artefact, what_is_saved_is_loaded) {
    struct artefact a = sample(), b;
    struct artefact_error error;
    cr_assert(artefact_save(path, &a, &error), "%s", error.text);
    cr_assert(artefact_load(path, &b, &error), "%s", error.text);
    cr_expect_str_eq(a.build, b.build);
    cr_expect_str_eq(a.node, b.node);
    cr_expect_str_eq(a.origin, b.origin);
    cr_expect_str_eq(a.outcome, b.outcome);
    cr_expect_str_eq(a.text, b.text);
    cr_expect_eq(a.enabled, b.enabled);
    cr_expect_eq(a.at_step, b.at_step);
    cr_expect_eq(a.digest, b.digest);
    cr_expect_eq(memcmp(&a.config, &b.config, sizeof a.config), 0);
    cr_assert_eq(b.choices.count, 3);
    cr_expect_eq(memcmp(a.choices.items, b.choices.items, sizeof three), 0);
    artefact_free(&b);
}

/* Goal: every truncation is refused, plain or compressed, with the file's name in front. */
Test(artefact, every_truncation_is_refused) {
    struct artefact a = sample();
    struct artefact_error error;
    cr_assert(artefact_save(path, &a, &error));
    size_t size;
    char *text = slurp(&size);
    for (size_t n = 0; n < size; n++) {
        write_plain(text, n);
        cr_expect(!load(&error), "%zu of %zu bytes were accepted", n, size);
        cr_expect_eq(strncmp(error.text, path, strlen(path)), 0);
    }
    write_plain(text, size);
    cr_expect(load(&error), "%s", error.text);
}

Test(artefact, every_truncation_of_the_compressed_file_is_refused) {
    struct artefact a = sample();
    struct artefact_error error;
    cr_assert(artefact_save(path, &a, &error));
    static char packed[1 << 14];
    FILE *file = fopen(path, "rb");
    size_t size = fread(packed, 1, sizeof packed, file);
    fclose(file);
    for (size_t n = 0; n < size; n++) {
        write_plain(packed, n);
        cr_expect(!load(&error), "%zu of %zu bytes were accepted", n, size);
    }
}

/* Goal: each wrong line is refused at its place. Method: replace one piece of a good file. */
Test(artefact, wrong_lines_are_refused_with_their_position) {
    static const struct {
        const char *good, *bad, *expected;
    } cases[] = {
        {"raftsim-run 1", "raftsim-run 2", ":1:13: the artefact has version 2; expected 1"},
        {"raftsim-run 1", "raftsim-run x", ":1:13:"},
        {"raftsim-run 1", "something 1", ":1:1: not an artefact"},
        {"build abc", "built abc", ":2:1: 'built' is out of place; expected 'build'"},
        {"check recovery", "check recovered", "no check 'recovered'"},
        {"nodes ", "nodes -", "is not nodes"},
        {"nodes ", "nodes 99", "expected 1..63"},
        {"event 0 7 3", "event 0 7 7", "is not a value below its bound"},
        {"event 0 7 3", "event 0 1 0", "expected a choice"},
        {"event 0 7 3", "event 65536 7 3", "is not a subject"},
        {"event 0 7 3", "event 0 7", "nothing here; expected a value"},
        {"event 0 7 3", "event 0 7 3 9", "is too much"},
        {"event 0 7 3", "dream 0 7 3", "no choice 'dream'"},
        {"choices 3", "choices 4", "no choice 'end'"},
        {"choices 3", "choices 2", "is out of place; expected 'end'"},
        {"choices 3", "choices 99999999999", "expected a number up to"},
        {"end\n", "end\nmore\n", "expected the end of the file"},
        {"digest 0123", "digest zzzz", "is not digest"},
    };
    struct artefact a = sample();
    struct artefact_error error;
    cr_assert(artefact_save(path, &a, &error));
    size_t size;
    char *text = slurp(&size);
    text[size] = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static char changed[1 << 16];
        const char *at = strstr(text, cases[i].good);
        cr_assert_not_null(at, "%s", cases[i].good);
        int n = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, cases[i].bad,
                         at + strlen(cases[i].good));
        write_plain(changed, (size_t)n);
        cr_expect(!load(&error), "'%s' was accepted", cases[i].bad);
        cr_expect(strstr(error.text, cases[i].expected) != NULL, "'%s': %s", cases[i].bad,
                  error.text);
    }
}

/* Goal: no change of one byte crashes the reader. */
Test(artefact, any_changed_byte_is_read_or_refused) {
    struct artefact a = sample();
    struct artefact_error error;
    cr_assert(artefact_save(path, &a, &error));
    size_t size;
    char *text = slurp(&size);
    static const char bytes[] = {0, ' ', '\n', '9', 'x', (char)0xff};
    for (size_t i = 0; i < size; i++) {
        char kept = text[i];
        for (size_t b = 0; b < sizeof bytes; b++) {
            text[i] = bytes[b];
            write_plain(text, size);
            load(&error);
        }
        text[i] = kept;
    }
}

/* Goal: an input of the fuzzer is an artefact; its line must be right. */
Test(artefact, fuzzer_inputs_are_artefacts) {
    struct artefact a;
    struct artefact_error error;
    write_plain("raftsim-bytes 1 mutant:C01\nab\0c", 31);
    cr_assert(artefact_load(path, &a, &error), "%s", error.text);
    cr_expect(a.is_bytes);
    cr_expect_str_eq(a.node, "mutant:C01");
    cr_expect_eq(a.size, 4);
    cr_expect_eq(memcmp(a.bytes, "ab\0c", 4), 0);
    artefact_free(&a);
    static const char *const wrong[] = {"raftsim-bytes 2 raft\nab", "raftsim-bytes 1 \nab",
                                        "raftsim-bytes 1 raft"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_plain(wrong[i], strlen(wrong[i]));
        cr_expect(!load(&error), "'%s' was accepted", wrong[i]);
    }
}

/* Goal: every input of the fuzzer means a configuration that is valid, and may mean any field's
 * values. Method: random bytes, inputs of all lengths. */
Test(artefact, any_bytes_give_a_valid_configuration) {
    uint64_t random = 1;
    uint32_t changes[CONFIG_FIELD_COUNT] = {0};
    struct cluster_config first, config;
    artefact_bytes_config(NULL, 0, 256, &first);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bytes[8];
        for (unsigned k = 0; k < 8; k++) bytes[k] = random_next(&random);
        size_t size = i % (sizeof bytes + 1);
        size_t head = artefact_bytes_config((uint8_t *)bytes, size, i % 2 ? 256 : 16, &config);
        cr_assert(head <= size);
        cr_assert_null(config_problem(&config));
        for (uint32_t k = 0; k < CONFIG_FIELD_COUNT; k++)
            changes[k] += config_get(&config, &config_fields[k]) !=
                          config_get(&first, &config_fields[k]);
    }
    static const char *const fixed[] = {"latency-min", "sync-min",  "sync-max",    "heartbeat",
                                        "down-max",    "pause-max", "wipe-same-id"};
    for (uint32_t k = 0; k < CONFIG_FIELD_COUNT; k++) {
        bool is_fixed = false;
        for (size_t n = 0; n < sizeof fixed / sizeof fixed[0]; n++)
            is_fixed |= strcmp(fixed[n], config_fields[k].name) == 0;
        cr_expect(is_fixed || changes[k] > 100, "%s: %u", config_fields[k].name, changes[k]);
    }
}

/* Goal: what cannot be opened or written is an error, and half a file does not stay. */
Test(artefact, files_that_cannot_be_are_errors) {
    struct artefact a = sample(), b;
    struct artefact_error error;
    cr_expect(!artefact_load("no/such/file", &b, &error));
    cr_expect_str_eq(error.text, "no/such/file: No such file or directory");
    cr_expect(!artefact_load(".", &b, &error));
    cr_expect(!artefact_save("no/such/dir/x", &a, &error));
    if (access("/dev/full", W_OK) == 0) cr_expect(!artefact_save("/dev/full", &a, &error));
}
