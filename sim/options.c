/* options.c - parses the command line and explains it. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "nodes.h"

static const char help_main[] =
    "raftsim - deterministic Raft simulator and fuzz harness\n"
    "\n"
    "usage: raftsim run [OPTION]...      seeded, faulty, fully checked cluster runs\n"
    "       raftsim replay FILE          a saved run, or an input of the fuzzer, again\n"
    "       raftsim bench                what a step costs, as ratios\n"
    "       raftsim list [WHAT]          checks, nodes, mutants, profiles and other names\n"
    "       raftsim COMMAND --help       more, with examples\n"
    "       raftsim --version\n"
    "\n"
    "exit: 0 all held; 1 an invariant was violated; 2 wrong usage or bad file; 3 the goal was not\n"
    "reached, or the run ended undecided; 4 the same run gave two digests; 5 internal or I/O "
    "error;\n"
    "130 interrupted, after the summary\n";

static const char help_run[] =
    "usage: raftsim run [OPTION]...\n"
    "\n"
    "Runs clusters under faults drawn from seeds, checks every step, and saves what it finds.\n"
    "\n"
    "  --seed S             one seed\n"
    "  --seeds A..B         these seeds (default 1..1000)\n"
    "  --time 60s           until the time is over (s, m or h), or the seeds that are named\n"
    "  -j, --jobs N         worker processes (default 1); results are the same for any N\n"
    "  --shard I/N          only the I-th of N parts of the seeds\n"
    "  --nodes 5, 3..7      voters; a range is drawn from the seed (default 5)\n"
    "  --steps N            steps of nodes before the calm phase (default 1000)\n"
    "  --profile NAME       calm, lossy, split, crashy or swarm (default swarm)\n"
    "  --node NAME          raft, naive or mutant:ID (default raft)\n"
    "  --check A,B  all,-A  only these checks, or all without some; several lists add up\n"
    "  --set NAME=VALUE     this instead of what is drawn; NAME of 'raftsim list config'\n"
    "  --check-determinism  run each seed twice and compare\n"
    "  --keep-going         do not stop at the first finding\n"
    "  --out DIR            where artefacts go (default raftsim-out)\n"
    "  --hang-after 30s     a run that does not move for so long hangs\n"
    "  --sometimes          what happened how often, even if something is found\n"
    "  --format text, json  json: one object a line\n"
    "\n"
    "examples:\n"
    "  raftsim run --seeds 1..5000 --nodes 3..7 -j 2\n"
    "  raftsim run --time 10m --profile crashy --nodes 5 -j 8\n"
    "  raftsim run --node mutant:C01 --keep-going --seeds 1..100\n"
    "  raftsim run --check all,-progress --set spares=0 --set clients=3\n";

static const char help_replay[] = "usage: raftsim replay FILE [--no-fork] [--format text|json]\n"
                                  "\n"
                                  "Runs a saved run, or an input of the fuzzer, again and compares "
                                  "what comes of it: the exit code\n"
                                  "is that of the run (1 for a violation); 4 if it comes out "
                                  "differently on the same build, 3 if it\n"
                                  "does on another one.\n"
                                  "\n"
                                  "  --no-fork            in this process, for a debugger: a node "
                                  "that dies takes it along\n"
                                  "\n"
                                  "examples:\n"
                                  "  raftsim replay raftsim-out/raft-seed-42-vote-once.run\n"
                                  "  raftsim replay crash-0f3a\n"
                                  "  gdb --args raftsim replay --no-fork FILE\n";

static const char help_bench[] = "usage: raftsim bench [--quick] [--format text|json]\n"
                                 "\n"
                                 "Measures a checked step against one pop and push of a plain "
                                 "binary heap, in one run, for 3 to 31\n"
                                 "nodes, and what a cluster costs to reset and to hold.\n"
                                 "\n"
                                 "  --quick              less exact, for a look\n";

static const char help_list[] =
    "usage: raftsim list [checks|nodes|mutants|profiles|choices|config|sometimes]\n";

/* NULL: there is no such topic. */
static const char *help_text(const char *topic) {
    static const struct {
        const char *name, *text;
    } topics[] = {
        {"run", help_run}, {"replay", help_replay}, {"bench", help_bench}, {"list", help_list}};
    if (topic == NULL) return help_main;
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        if (strcmp(topic, topics[i].name) == 0) return topics[i].text;
    return NULL;
}

void options_help(FILE *out, const char *topic) { fputs(help_text(topic), out); }

__attribute__((format(printf, 1, 2))) static bool fail(const char *format, ...) {
    va_list args;
    fputs("raftsim: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return false;
}

/* ---- values ---- */

static const char *parse_number(const char *text, uint64_t max, uint64_t *out) {
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)*text)) return NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || value > max) return NULL;
    *out = value;
    return end;
}

/* "A..B" or "A". */
static bool parse_range(const char *text, uint64_t max, uint64_t *first, uint64_t *last) {
    const char *end = parse_number(text, max, first);
    if (end == NULL) return false;
    *last = *first;
    if (*end == 0) return true;
    if (strncmp(end, "..", 2) != 0) return false;
    end = parse_number(end + 2, max, last);
    return end != NULL && *end == 0 && *first <= *last;
}

/* "60s", "5m", "2h", or seconds. */
static bool parse_duration(const char *text, uint32_t *seconds) {
    uint64_t value;
    enum { SECONDS_MAX = 1000000000 };
    const char *end = parse_number(text, SECONDS_MAX, &value);
    if (end == NULL) return false;
    if (strcmp(end, "m") == 0) value *= 60;
    else if (strcmp(end, "h") == 0) value *= 3600;
    else if (*end != 0 && strcmp(end, "s") != 0) return false;
    *seconds = (uint32_t)value;
    return value >= 1 && value <= SECONDS_MAX;
}

static bool parse_count(const char *text, uint64_t min, uint64_t max, uint32_t *out) {
    uint64_t value;
    const char *end = parse_number(text, max, &value);
    if (end == NULL || *end != 0 || value < min) return false;
    *out = (uint32_t)value;
    return true;
}

static bool parse_shard(const char *text, struct campaign *c) {
    uint64_t shard, shards;
    const char *end = parse_number(text, UINT32_MAX, &shard);
    if (end == NULL || *end != '/') return false;
    end = parse_number(end + 1, UINT32_MAX, &shards);
    if (end == NULL || *end != 0 || shard < 1 || shard > shards) return false;
    c->shard = (uint32_t)shard;
    c->shards = (uint32_t)shards;
    return true;
}

static bool parse_nodes(const char *text, struct campaign *c) {
    uint64_t min, max;
    if (!parse_range(text, NODE_MAX, &min, &max) || min < 1) return false;
    c->request.nodes_min = (uint32_t)min;
    c->request.nodes_max = (uint32_t)max;
    return true;
}

/* "NAME", "-NAME", "all" or "-all". */
static bool parse_check(const char *text, bool is_first, uint32_t *enabled) {
    bool is_without = *text == '-';
    enum check_id check;
    uint32_t bits = CHECK_ALL;
    if (strcmp(text + is_without, "all") != 0) {
        if (!check_find(text + is_without, &check)) return false;
        bits = 1u << check;
    }
    if (is_without && is_first) *enabled = CHECK_ALL;
    *enabled = is_without ? *enabled & ~bits : *enabled | bits;
    return true;
}

/* Several of them, with commas between. A list that begins without some means all others. */
static bool parse_checks(const char *text, struct options *o) {
    char name[64];
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length >= sizeof name) return false;
        memcpy(name, text, length);
        name[length] = 0;
        if (!parse_check(name, !o->has_checks, &o->campaign.enabled)) return false;
        o->has_checks = true;
        if (text[length] == 0) return true;
        text += length + 1;
    }
}

/* "NAME=VALUE"; the last one of a name counts. */
static bool parse_override(const char *text, struct campaign *c) {
    char name[64];
    size_t length = strcspn(text, "=");
    if (length >= sizeof name || text[length] == 0) return false;
    memcpy(name, text, length);
    name[length] = 0;
    const struct config_field *field = config_find(name);
    uint32_t value, i = 0;
    if (field == NULL || !parse_count(text + length + 1, field->min, field->max, &value))
        return false;
    while (i < c->override_count && c->overrides[i].field != field) i++;
    c->overrides[i] = (struct campaign_override){field, value};
    if (i == c->override_count) c->override_count++;
    return true;
}

static bool parse_format(const char *text, enum output_format *out) {
    *out = strcmp(text, "json") == 0 ? OUTPUT_JSON : OUTPUT_TEXT;
    return strcmp(text, "json") == 0 || strcmp(text, "text") == 0;
}

/* ---- commands ---- */

enum option_key {
    OPTION_HELP = 'h',
    OPTION_JOBS = 'j',
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_TIME,
    OPTION_SHARD,
    OPTION_NODES,
    OPTION_STEPS,
    OPTION_PROFILE,
    OPTION_NODE,
    OPTION_CHECK,
    OPTION_SET,
    OPTION_SOMETIMES,
    OPTION_NO_FORK,
    OPTION_DETERMINISM,
    OPTION_KEEP_GOING,
    OPTION_OUT,
    OPTION_HANG,
    OPTION_FORMAT,
    OPTION_QUICK
};

static const struct option_expected {
    enum option_key option;
    const char *name, *expected;
} expectations[] = {
    {OPTION_SEED, "--seed", "a number below 2^63"},
    {OPTION_SEEDS, "--seeds", "A..B with A <= B, both below 2^63"},
    {OPTION_TIME, "--time", "a time such as 60s, 5m or 2h"},
    {OPTION_JOBS, "--jobs", "1..256"},
    {OPTION_SHARD, "--shard", "I/N with 1 <= I <= N"},
    {OPTION_NODES, "--nodes", "a number of nodes or a range in 1..63"},
    {OPTION_STEPS, "--steps", "a number up to 4294967295"},
    {OPTION_PROFILE, "--profile", "one of 'raftsim list profiles'"},
    {OPTION_NODE, "--node", "one of 'raftsim list nodes'"},
    {OPTION_CHECK, "--check",
     "names of 'raftsim list checks' or all, with commas, a '-' before what is left out"},
    {OPTION_SET, "--set", "NAME=VALUE with a name and a value of 'raftsim list config'"},
    {OPTION_HANG, "--hang-after", "a time such as 30s"},
    {OPTION_FORMAT, "--format", "text or json"},
};

static bool bad_value(int option, const char *value) {
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++)
        if ((int)expectations[i].option == option)
            return fail("%s '%s': expected %s", expectations[i].name, value,
                        expectations[i].expected);
    return fail("wrong value '%s'", value);
}

static bool set_run_option(struct options *o, int option, const char *value) {
    struct campaign *c = &o->campaign;
    switch (option) {
    case OPTION_SEED:
        o->has_seeds = true;
        return parse_range(value, UINT64_MAX / 2, &c->first, &c->last) && c->first == c->last;
    case OPTION_SEEDS:
        o->has_seeds = true;
        return parse_range(value, UINT64_MAX / 2, &c->first, &c->last);
    case OPTION_TIME: return parse_duration(value, &c->seconds);
    case OPTION_JOBS: return parse_count(value, 1, CAMPAIGN_WORKERS_MAX, &c->workers);
    case OPTION_SHARD: return parse_shard(value, c);
    case OPTION_NODES: return parse_nodes(value, c);
    case OPTION_STEPS: return parse_count(value, 0, UINT32_MAX, &c->request.steps);
    case OPTION_PROFILE: return profile_find(value, &c->request.profile);
    case OPTION_NODE: return (c->impl = node_find(value)) != NULL;
    case OPTION_CHECK: return parse_checks(value, o);
    case OPTION_SET: return parse_override(value, c);
    case OPTION_SOMETIMES: return o->sometimes = true;
    case OPTION_NO_FORK: return o->no_fork = true;
    case OPTION_DETERMINISM: return c->check_determinism = true;
    case OPTION_KEEP_GOING: return c->keep_going = true;
    case OPTION_OUT: o->out_dir = value; return true;
    case OPTION_HANG: return parse_duration(value, &c->hang_seconds);
    case OPTION_FORMAT: return parse_format(value, &o->format);
    case OPTION_QUICK: return o->quick = true;
    }
    return false;
}

static const struct option run_options[] = {
    {"seed", required_argument, NULL, OPTION_SEED},
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"time", required_argument, NULL, OPTION_TIME},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"steps", required_argument, NULL, OPTION_STEPS},
    {"profile", required_argument, NULL, OPTION_PROFILE},
    {"node", required_argument, NULL, OPTION_NODE},
    {"check", required_argument, NULL, OPTION_CHECK},
    {"set", required_argument, NULL, OPTION_SET},
    {"sometimes", no_argument, NULL, OPTION_SOMETIMES},
    {"check-determinism", no_argument, NULL, OPTION_DETERMINISM},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"out", required_argument, NULL, OPTION_OUT},
    {"hang-after", required_argument, NULL, OPTION_HANG},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};
static const struct option bench_options[] = {
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};
static const struct option replay_options[] = {
    {"no-fork", no_argument, NULL, OPTION_NO_FORK},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static const struct option list_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static const struct command_syntax {
    const char *name;
    enum command command;
    const char *letters;
    const struct option *options;
    int arguments_min, arguments_max;
} commands[] = {
    {"run", COMMAND_RUN, ":hj:", run_options, 0, 0},
    {"replay", COMMAND_REPLAY, ":h", replay_options, 1, 1},
    {"bench", COMMAND_BENCH, ":h", bench_options, 0, 0},
    {"list", COMMAND_LIST, ":h", list_options, 0, 1},
};

enum { SEEDS_DEFAULT = 1000 };

static void set_defaults(struct options *o) {
    *o = (struct options){.command = COMMAND_HELP, .out_dir = "raftsim-out"};
    o->campaign = (struct campaign){
        .impl = &node_raft,
        .request = {.profile = PROFILE_SWARM, .nodes_min = 5, .nodes_max = 5, .steps = 1000},
        .first = 1,
        .last = SEEDS_DEFAULT,
        .shard = 1,
        .shards = 1,
        .workers = 1,
        .hang_seconds = CAMPAIGN_HANG_SECONDS,
    };
}

/* What follows from the options together. */
static bool complete(struct options *o) {
    struct campaign *c = &o->campaign;
    if (c->seconds > 0 && !o->has_seeds) c->last = UINT64_MAX / 2;
    if (!o->has_checks) c->enabled = CHECK_ALL;
    c->request.log_max = c->impl->log_max;
    if (c->enabled == 0) return fail("--check: no check is left");
    if (c->last - c->first >= c->shard - 1) return true;
    return fail("no seed in this shard: %" PRIu64 "..%" PRIu64 " has none in part %u of %u",
                c->first, c->last, c->shard, c->shards);
}

static bool parse_command(struct options *o, const struct command_syntax *syntax, int argc,
                          char **argv) {
    o->command = syntax->command;
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, syntax->letters, syntax->options, NULL)) != -1) {
        const char *word = argv[optind - 1];
        if (option == OPTION_HELP) {
            o->command = COMMAND_HELP;
            o->topic = syntax->name;
            return true;
        }
        if (option == '?')
            return fail("no option '%s'; see 'raftsim %s --help'", word, syntax->name);
        if (option == ':') return fail("option '%s' needs a value", word);
        if (!set_run_option(o, option, optarg)) return bad_value(option, optarg);
    }
    int arguments = argc - optind;
    if (arguments > syntax->arguments_max)
        return fail("'%s' is too much; see 'raftsim %s --help'",
                    argv[optind + syntax->arguments_max], syntax->name);
    if (arguments < syntax->arguments_min) return fail("%s needs a file", syntax->name);
    if (arguments > 0) o->file = o->topic = argv[optind];
    return complete(o);
}

bool options_parse(struct options *o, int argc, char **argv) {
    set_defaults(o);
    o->program = argc > 0 ? argv[0] : "raftsim";
    if (argc < 2) {
        options_help(stderr, NULL);
        return false;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        o->topic = argc > 2 ? argv[2] : NULL;
        if (help_text(o->topic) == NULL)
            return fail("no help for '%s'; see 'raftsim --help'", o->topic);
        return argc <= 3 || fail("'%s' is too much; see 'raftsim --help'", argv[3]);
    }
    if (strcmp(name, "--version") == 0) {
        if (argc > 2) return fail("'%s' is too much; see 'raftsim --help'", argv[2]);
        o->command = COMMAND_VERSION;
        return true;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0)
            return parse_command(o, &commands[i], argc - 1, argv + 1);
    return fail("no command '%s'; see 'raftsim --help'", name);
}
