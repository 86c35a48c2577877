/* test_artefact.c - artefacts: what is written is read, and anything else is refused with a
 * position. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "artefact.h"
#include "profile.h"

/* A folder of this test alone, and a file in it. */
static char folder[64], path[96];

static void begin(void) {
    snprintf(folder, sizeof folder, "artefact-test.XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.run", folder);
}

/* Calls with the path of each file in the folder; returns how many there are. */
static int each_file(int (*call)(const char *)) {
    DIR *dir = opendir(folder);
    cr_assert_not_null(dir);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char name[sizeof folder + sizeof entry->d_name];
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        if (call != NULL) cr_expect_eq(call(name), 0);
        count++;
    }
    closedir(dir);
    return count;
}

static void end(void) {
    each_file(remove);
    cr_expect_eq(rmdir(folder), 0);
}

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
            changes[k] +=
                config_get(&config, &config_fields[k]) != config_get(&first, &config_fields[k]);
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

/* Goal: what cannot be opened or written is an error, and is still there afterwards. */
Test(artefact, files_that_cannot_be_are_errors) {
    struct artefact a = sample(), b;
    struct artefact_error error;
    cr_expect(!artefact_load("no/such/file", &b, &error));
    cr_expect_str_eq(error.text, "no/such/file: No such file or directory");
    cr_expect(!artefact_load(folder, &b, &error));
    cr_expect(!artefact_save("no/such/dir/x", &a, &error));
    cr_assert_eq(mkdir(path, 0777), 0);
    cr_expect(!artefact_save(path, &a, &error));
    cr_expect(strstr(error.text, "it is a directory") != NULL, "%s", error.text);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(mkfifo(path, 0777), 0);
    cr_expect(!artefact_save(path, &a, &error));
    cr_expect(strstr(error.text, "no regular file") != NULL, "%s", error.text);
    struct stat status;
    cr_expect(stat(path, &status) == 0 && S_ISFIFO(status.st_mode));
    cr_expect_eq(each_file(NULL), 1);
}

/* Goal: a file without permission to write stays as it is. Method: root, who may write
 * everything, becomes somebody else, who owns the folder. */
Test(artefact, a_file_that_must_not_be_written_stays) {
    enum { NOBODY = 65534 };
    struct artefact a = sample();
    struct artefact_error error;
    write_plain("mine", 4);
    cr_assert_eq(chmod(path, 0444), 0);
    bool is_root = geteuid() == 0;
    if (is_root) cr_assert_eq(chown(folder, NOBODY, NOBODY), 0);
    if (is_root) cr_assert_eq(setresuid(NOBODY, NOBODY, 0), 0);
    cr_expect(!artefact_save(path, &a, &error));
    cr_expect(strstr(error.text, "Permission denied") != NULL, "%s", error.text);
    if (is_root) cr_assert_eq(setresuid(0, 0, 0), 0);
    size_t size;
    cr_expect_eq(strncmp(slurp(&size), "mine", 4), 0);
    cr_expect_eq(size, 4);
}

/* Goal: on a full disk an older artefact stays, and no part of the new one. Method: no file may
 * grow beyond a size, tried from nothing to all of it. */
Test(artefact, a_full_disk_loses_nothing) {
    struct artefact old = sample(), new = sample(), loaded;
    struct artefact_error error;
    new.at_step = 7;
    cr_assert(artefact_save(path, &old, &error), "%s", error.text);
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t size = 0; size + 20 < (rlim_t)status.st_size; size += 50) {
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){size, before.rlim_max}), 0);
        bool is_saved = artefact_save(path, &new, &error);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cr_expect(!is_saved, "saved in %d bytes", (int)size);
        cr_expect(strstr(error.text, "File too large") != NULL, "%s", error.text);
        cr_assert(artefact_load(path, &loaded, &error), "%s", error.text);
        cr_expect_eq(loaded.at_step, old.at_step);
        artefact_free(&loaded);
        cr_expect_eq(each_file(NULL), 1);
    }
    cr_assert(artefact_save(path, &new, &error), "%s", error.text);
    cr_assert(artefact_load(path, &loaded, &error), "%s", error.text);
    cr_expect_eq(loaded.at_step, 7);
    artefact_free(&loaded);
    cr_expect_eq(each_file(NULL), 1);
}

static const char *free_path(const struct artefact *a) {
    static char found[128];
    struct artefact_error error;
    cr_assert(artefact_path(folder, "a", a, found, sizeof found, &error), "%s", error.text);
    return found + strlen(folder) + 1;
}

/* Goal: an artefact takes the place of one of the same run, and of no other file. */
Test(artefact, only_the_same_run_is_replaced) {
    struct artefact a = sample(), other = sample();
    struct artefact_error error;
    cr_expect_str_eq(free_path(&a), "a.run");
    cr_assert(artefact_save(path, &a, &error));
    snprintf(a.build, sizeof a.build, "another build");
    cr_expect_str_eq(free_path(&a), "a.run");
    other.config.client_us++;
    cr_expect_str_eq(free_path(&other), "a-2.run");
    other = sample();
    other.enabled = CHECK_ALL;
    cr_expect_str_eq(free_path(&other), "a-2.run");
    other = sample();
    snprintf(other.node, sizeof other.node, "naive");
    cr_expect_str_eq(free_path(&other), "a-2.run");
    other = sample();
    snprintf(other.origin, sizeof other.origin, "seed 42, profile calm");
    cr_expect_str_eq(free_path(&other), "a-2.run");
    write_plain("something else", 14);
    cr_expect_str_eq(free_path(&a), "a-2.run");
}
