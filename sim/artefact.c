/* artefact.c - writes and reads runs as files. The reader believes nothing. */
#include "artefact.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "profile.h"
#include "store.h"
#include "text.h"

static const char magic_run[] = "raftsim-run ";
static const char magic_bytes[] = "raftsim-bytes ";

/* ---- writing ---- */

static void write_checks(gzFile file, uint32_t enabled) {
    if (enabled == CHECK_ALL) {
        gzputs(file, "check all\n");
        return;
    }
    for (int i = 0; i < CHECK_COUNT; i++)
        if (enabled >> i & 1) gzprintf(file, "check %s\n", check_table[i].name);
}

static void write_all(gzFile file, const struct artefact *a) {
    gzprintf(file, "%s%d\nbuild %s\nnode %s\n", magic_run, ARTEFACT_VERSION, a->build, a->node);
    write_checks(file, a->enabled);
    gzprintf(file, "origin %s\n", a->origin);
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++)
        gzprintf(file, "%s %u\n", config_fields[i].name, config_get(&a->config, &config_fields[i]));
    gzprintf(file, "outcome %s\ntext %s\nat-step %" PRIu64 "\ndigest %016" PRIx64 "\n", a->outcome,
             a->text, a->at_step, a->digest);
    gzprintf(file, "choices %zu\n", a->choices.count);
    for (size_t i = 0; i < a->choices.count; i++) {
        const struct choice *c = &a->choices.items[i];
        gzprintf(file, "%s %u %u %u\n", choice_label_name((enum choice_label)c->label), c->subject,
                 c->bound, c->value);
    }
    gzputs(file, "end\n");
}

/* All of it to the file, which stays open. False: errno tells why, or is 0. */
static bool write_packed(int fd, const struct artefact *a) {
    errno = 0;
    int copy = dup(fd);
    gzFile file = copy >= 0 ? gzdopen(copy, "wb") : NULL;
    if (file == NULL) {
        if (copy >= 0) close(copy);
        return false;
    }
    write_all(file, a);
    int status = Z_OK;
    gzerror(file, &status);
    return gzclose(file) == Z_OK && status == Z_OK;
}

bool artefact_save(const char *path, const struct artefact *a, struct artefact_error *error) {
    assert(!a->is_bytes);
    struct store s;
    struct store_error why;
    bool is_good = store_begin(&s, path, &why);
    if (is_good && !write_packed(s.fd, a)) {
        store_abandon(&s, errno, &why);
        is_good = false;
    } else if (is_good) {
        is_good = store_commit(&s, &why);
    }
    if (!is_good) snprintf(error->text, sizeof error->text, "%s", why.text);
    return is_good;
}

/* The file holds a run of the same command, even if another build gave another end to it. */
static bool is_same_run(const char *path, const struct artefact *a) {
    struct artefact other;
    struct artefact_error error;
    if (!artefact_load(path, &other, &error)) return false;
    bool is_same = !other.is_bytes && strcmp(other.node, a->node) == 0 &&
                   strcmp(other.origin, a->origin) == 0 && other.enabled == a->enabled &&
                   memcmp(&other.config, &a->config, sizeof a->config) == 0;
    artefact_free(&other);
    return is_same;
}

bool artefact_path(const char *directory, const char *stem, const struct artefact *a, char *path,
                   size_t size, struct artefact_error *error) {
    enum { TRIES_MAX = 1000 };
    for (int i = 1; i <= TRIES_MAX; i++) {
        struct text t = text_begin(path, size);
        text_add(&t, "%s/%s", directory, stem);
        if (i > 1) text_add(&t, "-%d", i);
        text_add(&t, ".run");
        struct stat status;
        if (t.is_cut) break;
        if (lstat(path, &status) != 0 || is_same_run(path, a)) return true;
    }
    snprintf(error->text, sizeof error->text, "%.200s: no name is left for '%.80s'", directory,
             stem);
    return false;
}

/* ---- reading ---- */

struct reader {
    const char *path;
    char *text; /* All of it, with a 0 behind. */
    size_t size, position;
    unsigned line;
    char *start, *word; /* Of the line under way: its begin, and how far it is read. */
    struct artefact_error *error;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct reader *r, const char *format, ...) {
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    unsigned column = r->word != NULL ? (unsigned)(r->word - r->start) + 1 : 1;
    snprintf(r->error->text, sizeof r->error->text, "%s:%u:%u: %s", r->path, r->line, column, what);
    return false;
}

/* The whole file, unpacked. The limit is far above what a run can need. */
static bool slurp(struct reader *r) {
    const size_t limit = (size_t)1 << 31;
    errno = 0;
    gzFile file = gzopen(r->path, "rb");
    if (file == NULL) {
        snprintf(r->error->text, sizeof r->error->text, "%s: %s", r->path, strerror(errno));
        return false;
    }
    size_t capacity = 1 << 16;
    r->text = malloc(capacity);
    int count = 0;
    while (r->text != NULL && r->size < limit) {
        count = gzread(file, r->text + r->size, (unsigned)(capacity - r->size - 1));
        if (count <= 0) break;
        r->size += (size_t)count;
        if (capacity - r->size > 1) continue;
        char *bigger = realloc(r->text, capacity *= 2);
        if (bigger == NULL) free(r->text);
        r->text = bigger;
    }
    int status = Z_OK;
    gzerror(file, &status);
    bool is_whole = gzclose(file) == Z_OK && count == 0 && status == Z_OK && r->text != NULL;
    if (is_whole) {
        r->text[r->size] = 0;
        return true;
    }
    snprintf(r->error->text, sizeof r->error->text, "%s: cannot be read: %s", r->path,
             r->text == NULL || r->size >= limit ? "it is too large"
             : errno == EISDIR                   ? "it is a directory"
                                                 : "damaged or truncated");
    free(r->text);
    return false;
}

static bool next_line(struct reader *r) {
    if (r->position >= r->size) {
        r->line++;
        r->word = NULL;
        return fail(r, "the file is truncated; expected more lines up to 'end'");
    }
    r->start = r->word = r->text + r->position;
    r->line++;
    char *end = memchr(r->start, '\n', r->size - r->position);
    if (end == NULL) return fail(r, "the file is truncated; expected the end of the line");
    *end = 0;
    r->position = (size_t)(end - r->text) + 1;
    if (strlen(r->start) == (size_t)(end - r->start)) return true;
    return fail(r, "the line has a zero byte; expected text");
}

static bool next_word(struct reader *r, const char *what, char **out) {
    char *at = r->word;
    size_t length = strcspn(at, " ");
    *out = at;
    if (length == 0) return fail(r, "nothing here; expected %s", what);
    r->word = at + length;
    if (*r->word == ' ') *r->word++ = 0;
    return true;
}

static bool next_number(struct reader *r, const char *what, uint64_t max, int base, uint64_t *out) {
    char *word = NULL, *end;
    if (!next_word(r, what, &word)) return false;
    errno = 0;
    unsigned long long value = strtoull(word, &end, base);
    if (isxdigit((unsigned char)*word) && *end == 0 && errno == 0 && value <= max) {
        *out = value;
        return true;
    }
    r->word = word;
    return fail(r, "'%.40s' is not %s; expected a number up to %" PRIu64, word, what, max);
}

static bool expect_word(struct reader *r, const char *expected) {
    char *word = NULL;
    if (!next_word(r, expected, &word)) return false;
    if (strcmp(word, expected) == 0) return true;
    r->word = word;
    return fail(r, "'%.40s' is out of place; expected '%s'", word, expected);
}

static bool end_of_line(struct reader *r) {
    return *r->word == 0 || fail(r, "'%.40s' is too much; expected the end of the line", r->word);
}

/* A line "KEY rest of the line". */
static bool read_text(struct reader *r, const char *key, char *out, size_t size) {
    if (!next_line(r) || !expect_word(r, key)) return false;
    if (strlen(r->word) >= size)
        return fail(r, "the text is too long; expected less than %zu characters", size);
    memcpy(out, r->word, strlen(r->word) + 1);
    return true;
}

static bool read_number(struct reader *r, const char *key, uint64_t max, int base, uint64_t *out) {
    return next_line(r) && expect_word(r, key) && next_number(r, key, max, base, out) &&
           end_of_line(r);
}

static bool read_version(struct reader *r) {
    uint64_t version = 0;
    if (!next_line(r)) return false;
    r->word += strlen(magic_run);
    char *at = r->word;
    if (!next_number(r, "a version", UINT32_MAX, 10, &version) || !end_of_line(r)) return false;
    r->word = at;
    return version == ARTEFACT_VERSION ||
           fail(r, "the artefact has version %" PRIu64 "; expected %d", version, ARTEFACT_VERSION);
}

/* Lines "check NAME", up to the line "origin ...". */
static bool read_checks(struct reader *r, struct artefact *a) {
    a->enabled = 0;
    while (strncmp(r->text + r->position, "check ", 6) == 0) {
        char *name = NULL;
        enum check_id check;
        if (!next_line(r) || !expect_word(r, "check") || !next_word(r, "a check", &name))
            return false;
        if (strcmp(name, "all") == 0) a->enabled = CHECK_ALL;
        else if (check_find(name, &check)) a->enabled |= 1u << check;
        else return fail(r, "no check '%.40s'; expected one of 'raftsim list checks'", name);
    }
    return true;
}

static bool read_config(struct reader *r, struct cluster_config *config) {
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        uint64_t value = 0;
        if (!read_number(r, config_fields[i].name, UINT32_MAX, 10, &value)) return false;
        config_set(config, &config_fields[i], (uint32_t)value);
    }
    const char *problem = config_problem(config);
    return problem == NULL || fail(r, "%s", problem);
}

static bool find_label(const char *name, uint16_t *out) {
    for (uint16_t i = 0; i < CHOICE_LABEL_COUNT; i++) {
        if (strcmp(choice_label_name((enum choice_label)i), name) != 0) continue;
        *out = i;
        return true;
    }
    return false;
}

static bool read_choice(struct reader *r, struct choice *out) {
    char *name = NULL;
    uint64_t subject = 0, bound = 0, value = 0;
    if (!next_line(r) || !next_word(r, "the label of a choice", &name)) return false;
    if (!find_label(name, &out->label)) {
        r->word = name;
        return fail(r, "no choice '%.40s'; expected a label", name);
    }
    if (!next_number(r, "a subject", UINT16_MAX, 10, &subject)) return false;
    if (!next_number(r, "a bound", UINT32_MAX, 10, &bound)) return false;
    if (bound < 2) return fail(r, "the bound is below 2; expected a choice");
    if (!next_number(r, "a value below its bound", bound - 1, 10, &value)) return false;
    out->subject = (uint16_t)subject;
    out->bound = (uint32_t)bound;
    out->value = (uint32_t)value;
    return end_of_line(r);
}

static bool read_choices(struct reader *r, struct artefact *a) {
    uint64_t count = 0;
    if (!read_number(r, "choices", r->size, 10, &count)) return false;
    a->choices.items = malloc((count + 1) * sizeof a->choices.items[0]);
    if (a->choices.items == NULL) return fail(r, "no memory for %" PRIu64 " choices", count);
    a->choices.count = a->choices.capacity = (size_t)count;
    for (size_t i = 0; i < count; i++)
        if (!read_choice(r, &a->choices.items[i])) return false;
    return next_line(r) && expect_word(r, "end") && end_of_line(r) &&
           (r->position == r->size || fail(r, "something follows; expected the end of the file"));
}

static bool read_run(struct reader *r, struct artefact *a) {
    return read_version(r) && read_text(r, "build", a->build, sizeof a->build) &&
           read_text(r, "node", a->node, sizeof a->node) && read_checks(r, a) &&
           read_text(r, "origin", a->origin, sizeof a->origin) && read_config(r, &a->config) &&
           read_text(r, "outcome", a->outcome, sizeof a->outcome) &&
           read_text(r, "text", a->text, sizeof a->text) &&
           read_number(r, "at-step", UINT64_MAX, 10, &a->at_step) &&
           read_number(r, "digest", UINT64_MAX, 16, &a->digest) && read_choices(r, a);
}

static bool starts_with(const struct reader *r, const char *magic) {
    return r->size >= strlen(magic) && memcmp(r->text, magic, strlen(magic)) == 0;
}

static bool read_bytes(struct reader *r, struct artefact *a) {
    size_t head = artefact_bytes_head((uint8_t *)r->text, r->size, a->node, sizeof a->node);
    r->line = 1;
    if (head == 0) return fail(r, "not a line of the fuzzer; expected 'raftsim-bytes 1 NODE'");
    a->is_bytes = true;
    a->enabled = CHECK_ALL;
    a->size = r->size - head;
    a->bytes = malloc(a->size + 1);
    if (a->bytes == NULL) return fail(r, "no memory");
    memcpy(a->bytes, r->text + head, a->size);
    return true;
}

bool artefact_load(const char *path, struct artefact *a, struct artefact_error *error) {
    struct reader r = {.path = path, .error = error};
    *a = (struct artefact){0};
    if (!slurp(&r)) return false;
    bool is_good = false;
    if (starts_with(&r, magic_bytes)) is_good = read_bytes(&r, a);
    else if (starts_with(&r, magic_run)) is_good = read_run(&r, a);
    else
        snprintf(error->text, sizeof error->text,
                 "%s:1:1: not an artefact; expected '%s%d' or '%s%d NODE'", path, magic_run,
                 ARTEFACT_VERSION, magic_bytes, ARTEFACT_VERSION);
    free(r.text);
    if (!is_good) artefact_free(a);
    return is_good;
}

void artefact_free(struct artefact *a) {
    free(a->choices.items);
    free(a->bytes);
    *a = (struct artefact){0};
}

/* ---- inputs of the fuzzer ---- */

size_t artefact_bytes_head(const uint8_t *bytes, size_t size, char *node, size_t node_size) {
    char head[96];
    int length = snprintf(head, sizeof head, "%s%d ", magic_bytes, ARTEFACT_VERSION);
    const uint8_t *end = memchr(bytes, '\n', size < sizeof head ? size : sizeof head);
    if (end == NULL || (size_t)(end - bytes) < (size_t)length) return 0;
    if (memcmp(bytes, head, (size_t)length) != 0) return 0;
    size_t name = (size_t)(end - bytes) - (size_t)length;
    if (name == 0 || name >= node_size || memchr(bytes, 0, (size_t)(end - bytes)) != NULL) return 0;
    memcpy(node, bytes + length, name);
    node[name] = 0;
    return (size_t)(end - bytes) + 1;
}

/* Each byte of the head chooses one field of the configuration; what is missing counts as 0. */
enum { HEAD_VALUES = 8 };
struct head_field {
    const char *name;
    uint32_t values[HEAD_VALUES];
};
static const struct head_field head_fields[] = {
    {"nodes", {3, 5, 4, 3, 2, 1, 6, 7}},
    {"spares", {0, 1, 2, 3, 0, 1, 2, 3}},
    {"reserve", {0, 0, 1, 1, 2, 2, 3, 3}},
    {"slack", {0, UINT32_MAX, 20000, 1000, 200000, UINT32_MAX, 0, UINT32_MAX}},
    {"batch-max", {1, 2, 4, 8, 1, 2, 4, 8}},
    {"window", {32, 1, 2, 4, 8, 16, 64, 512}},
    {"compact-after", {32, 1, 2, 4, 8, 16, 32, 32}},
    {"chunk", {1000, 1, 10, 100, 500, 1000, 1000, 1000}},
    {"snapshot", {1000, 10, 100, 2000, 3000, 1000, 1000, 1000}},
    {"clients", {2, 0, 1, 3, 4, 8, 2, 2}},
    {"operator", {0, 20000, 5000, 100000, 20000, 5000, 20000, 100000}},
    {"client", {20000, 1000, 5000, 60000, 20000, 1000, 5000, 60000}},
    {"fault", {20000, 5000, 50000, 100000, 20000, 5000, 50000, 100000}},
    {"retry", {300000, 50000, 100000, 800000, 300000, 50000, 100000, 800000}},
    {"delay-max", {300000, 20000, 2000000, 20000000, 300000, 20000, 2000000, 20000000}},
    {"latency-max", {10000, 1000, 2000, 40000, 10000, 1000, 2000, 40000}},
    {"hang-max", {1000000, 20000, 100000, 4000000, 1000000, 20000, 100000, 4000000}},
    {"election-min", {150000, 150000, 200000, 150000, 150000, 150000, 200000, 150000}},
    {"election-max", {300000, 400000, 600000, 250000, 300000, 400000, 600000, 250000}},
    {"drift", {0, 100, 10, 50, 0, 100, 10, 50}},
    {"pre-vote", {255, 0, 85, 240, 255, 0, 255, 0}},
    {"check-quorum", {255, 0, 85, 240, 255, 255, 255, 0}},
    {"lease", {0, 120000, 60000, 130000, 0, 0, 0, 0}},
};
enum { HEAD_SIZE = sizeof head_fields / sizeof head_fields[0] };

static void apply_head(const uint8_t *bytes, size_t size, struct cluster_config *config) {
    for (size_t i = 0; i < HEAD_SIZE; i++) {
        const struct head_field *f = &head_fields[i];
        uint8_t byte = i < size ? bytes[i] : 0;
        config_set(config, config_find(f->name), f->values[byte % HEAD_VALUES]);
    }
    if (config->reserve > config->spares) config->reserve = config->spares;
    if (config->check_quorum != CONFIG_OPTION_ALL) config->lease_us = 0;
}

size_t artefact_bytes_config(const uint8_t *bytes, size_t size, uint32_t log_max,
                             struct cluster_config *config) {
    struct profile_request request = {
        .profile = PROFILE_CALM,
        .nodes_min = 3,
        .nodes_max = 3,
        .steps = 50 + (uint32_t)(size < 4096 ? size : 4096),
        .log_max = log_max,
    };
    struct choice_odds odds;
    profile_draw(&request, 0, config, &odds);
    uint32_t compact_max = config->compact_after;
    apply_head(bytes, size, config);
    if (config->compact_after > compact_max) config->compact_after = compact_max;
    assert(config_problem(config) == NULL);
    return size < HEAD_SIZE ? size : HEAD_SIZE;
}
