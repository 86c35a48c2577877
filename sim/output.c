/* output.c - findings and summaries as text or JSON, one object a line. */
#include "output.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "text.h"

enum exit_code output_exit_code(enum finding_kind kind) {
    switch (kind) {
    case FINDING_VIOLATED:
    case FINDING_ABORTED:
    case FINDING_HUNG: return EXIT_VIOLATED;
    case FINDING_STALLED:
    case FINDING_UNDECIDED: return EXIT_UNREACHED;
    case FINDING_NONDETERMINISTIC: return EXIT_NONDETERMINISTIC;
    }
    return EXIT_INTERNAL;
}

/* The length of the UTF-8 sequence at the front; 0: it is none. */
static size_t utf8_length(const unsigned char *text) {
    unsigned char first = text[0], second_min = 0x80, second_max = 0xbf;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (first == 0xe0) second_min = 0xa0; /* Not shorter than need be, */
    if (first == 0xf0) second_min = 0x90;
    if (first == 0xed) second_max = 0x9f; /* no surrogate, */
    if (first == 0xf4) second_max = 0x8f; /* no more than U+10FFFF. */
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (text[1] < second_min || text[1] > second_max) return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    return length;
}

static void json_character(FILE *out, const unsigned char *text, size_t length) {
    if (length == 0) fputs("\\ufffd", out);
    else if (*text == '"' || *text == '\\') fprintf(out, "\\%c", *text);
    else if (*text < 0x20 || *text == 0x7f) fprintf(out, "\\u%04x", *text);
    else fwrite(text, 1, length, out);
}

void output_json_string(FILE *out, const char *text) {
    fputc('"', out);
    const unsigned char *at = (const unsigned char *)text;
    while (*at != 0) {
        size_t length = utf8_length(at);
        json_character(out, at, length);
        at += length > 0 ? length : 1;
    }
    fputc('"', out);
}

const char *output_signal_name(int signal_number) {
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
        {SIGHUP, "SIGHUP"},   {SIGILL, "SIGILL"},   {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"},
        {SIGPIPE, "SIGPIPE"}, {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"},
        {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"},
        {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == signal_number) return names[i].name;
    static char other[24];
    snprintf(other, sizeof other, "signal %d", signal_number);
    return other;
}

/* ---- what a finding says ---- */

static const char *place_event(const struct cluster_place *place) {
    static const char *const names[] = {
        [NODE_RECEIVE] = "packet",       [NODE_TIMEOUT] = "timeout",
        [NODE_PROPOSE] = "proposal",     [NODE_READ] = "read",
        [NODE_CHANGE] = "change",        [NODE_TRANSFER] = "transfer",
        [NODE_SAVED] = "saved write",    [NODE_COMPACT] = "compaction",
        [CLUSTER_PLACE_START] = "start",
    };
    return place->event < sizeof names / sizeof names[0] ? names[place->event] : "unknown event";
}

static void add_place(struct text *t, const struct cluster_place *place) {
    if (place->node == 0) {
        text_add(t, "before any node was called");
        return;
    }
    text_add(t, "in n%u, %s", place->node, place_event(place));
    if (place->source != 0) text_add(t, " of n%u", place->source);
}

static void describe_death(struct text *t, const struct finding *f) {
    if (f->signal != 0) text_add(t, "the process was killed by %s ", output_signal_name(f->signal));
    else text_add(t, "the process exited with status %d ", f->exit_status);
    add_place(t, &f->place);
    if (f->assertion[0] != 0) text_add(t, ": %s", f->assertion);
    if (f->is_unrepeated)
        text_add(t, "; %u times, but not when the seed was run once more: from outside?",
                 CAMPAIGN_KILLS_MAX + 1);
}

static void describe(const struct finding *finding, struct text *t) {
    switch (finding->kind) {
    case FINDING_VIOLATED:
    case FINDING_STALLED: text_add(t, "%s", finding->result.violation.text); return;
    case FINDING_UNDECIDED:
    case FINDING_NONDETERMINISTIC: text_add(t, "%s", finding->result.reason); return;
    case FINDING_ABORTED: describe_death(t, finding); return;
    case FINDING_HUNG:
        text_add(t, "a step does not come to an end ");
        add_place(t, &finding->place);
        return;
    }
}

void output_outcome(const struct finding *finding, bool has_finding, char *outcome, size_t size,
                    char *text, size_t text_size) {
    struct text o = text_begin(outcome, size), t = text_begin(text, text_size);
    if (!has_finding) {
        text_add(&o, "held");
        text_add(&t, "every check held");
        return;
    }
    describe(finding, &t);
    text_add(&o, "%s", finding_kind_name(finding->kind));
    if (finding->result.violation.is_found)
        text_add(&o, " %s", check_table[finding->result.violation.check].name);
    else if (finding->kind == FINDING_ABORTED && finding->signal != 0)
        text_add(&o, " %s", output_signal_name(finding->signal));
    else if (finding->kind == FINDING_ABORTED) text_add(&o, " exit %d", finding->exit_status);
}

/* ---- findings ---- */

/* Two runs that differ have no description. */
static bool has_description(const struct finding *f, const struct output_context *context) {
    if (context->description == NULL || f->kind == FINDING_NONDETERMINISTIC) return false;
    return context->description->state[0] != 0;
}

enum { STATE_LINE_MAX = 1024 };

/* The first line of a text, which begins at it; the rest of the text. */
static const char *take_line(const char *text, char *line, size_t size) {
    size_t length = strcspn(text, "\n");
    snprintf(line, size, "%.*s", (int)length, text);
    return text + length + (text[length] != 0);
}

static void lines_text(FILE *out, const char *name, const char *lines) {
    char line[STATE_LINE_MAX];
    if (*lines != 0) fprintf(out, "  %s:\n", name);
    while (*lines != 0) {
        lines = take_line(lines, line, sizeof line);
        fprintf(out, "    %s\n", line);
    }
}

static void finding_text(FILE *out, const struct finding *f, const struct output_context *context) {
    char outcome[64], text[OUTPUT_TEXT_MAX];
    output_outcome(f, true, outcome, sizeof outcome, text, sizeof text);
    fprintf(out, "\n%s", outcome);
    if (f->result.violation.is_found) {
        const char *section = check_table[f->result.violation.check].section;
        bool is_of_paper = strcmp(section, "node.h") != 0;
        fprintf(out, " (%s%s)", is_of_paper ? "Raft " : "", section);
    }
    if (f->result.steps > 0) fprintf(out, " at step %" PRIu64, f->result.steps);
    fprintf(out, "\n  %s\n  %s, %u nodes, node %s, build %s\n", text, context->origin, f->nodes,
            context->node, context->build);
    if (context->artefact != NULL) {
        char replay[OUTPUT_COMMAND_MAX];
        struct text t = text_begin(replay, sizeof replay);
        text_add_quoted(&t, context->program);
        text_add(&t, " replay ");
        text_add_quoted(&t, context->artefact);
        fprintf(out, "  replay: %s\n", replay);
    }
    if (context->again != NULL) fprintf(out, "  again:  %s\n", context->again);
    if (!has_description(f, context)) return;
    lines_text(out, "waits for", context->description->waits_for);
    lines_text(out, "state", context->description->state);
}

static void json_member(FILE *out, const char *name, const char *value) {
    fprintf(out, ",\"%s\":", name);
    if (value == NULL) fputs("null", out);
    else output_json_string(out, value);
}

static void json_lines(FILE *out, const char *name, const char *lines) {
    char line[STATE_LINE_MAX];
    const char *separator = "";
    fprintf(out, ",\"%s\":[", name);
    while (*lines != 0) {
        lines = take_line(lines, line, sizeof line);
        fputs(separator, out);
        output_json_string(out, line);
        separator = ",";
    }
    fputc(']', out);
}

/* How a process ended that did not come to its verdict, and what was under way. */
static void json_place(FILE *out, const struct finding *f) {
    json_member(out, "signal", f->signal != 0 ? output_signal_name(f->signal) : NULL);
    if (f->kind == FINDING_ABORTED && f->signal == 0) fprintf(out, ",\"exit\":%d", f->exit_status);
    fprintf(out, ",\"at_node\":%u", f->place.node);
    json_member(out, "at_event", f->place.node != 0 ? place_event(&f->place) : NULL);
    json_member(out, "assertion", f->assertion[0] != 0 ? f->assertion : NULL);
}

static void finding_json(FILE *out, const struct finding *f, const struct output_context *context) {
    char outcome[64], text[OUTPUT_TEXT_MAX];
    output_outcome(f, true, outcome, sizeof outcome, text, sizeof text);
    bool has_check = f->result.violation.is_found;
    const struct check *check = has_check ? &check_table[f->result.violation.check] : NULL;
    fputs("{\"type\":\"finding\"", out);
    json_member(out, "kind", finding_kind_name(f->kind));
    json_member(out, "check", finding_name(f));
    json_member(out, "section", has_check ? check->section : NULL);
    json_member(out, "text", text);
    fprintf(out,
            ",\"seed\":%" PRIu64 ",\"nodes\":%u,\"step\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\"",
            f->seed, f->nodes, f->result.steps, f->result.digest);
    if (f->kind == FINDING_ABORTED || f->kind == FINDING_HUNG) json_place(out, f);
    if (has_description(f, context)) {
        json_lines(out, "waits_for", context->description->waits_for);
        json_lines(out, "state", context->description->state);
    }
    json_member(out, "node", context->node);
    json_member(out, "build", context->build);
    json_member(out, "artefact", context->artefact);
    json_member(out, "again", context->again);
    fputs("}\n", out);
}

void output_finding(FILE *out, enum output_format format, const struct finding *finding,
                    const struct output_context *context) {
    if (format == OUTPUT_JSON) finding_json(out, finding, context);
    else finding_text(out, finding, context);
    fflush(out);
}

static uint64_t mean_steps(const struct tally *tally) {
    return tally->failures > 0 ? tally->steps / tally->failures : 0;
}

static void counts_text(FILE *out, const struct tally *t) {
    fprintf(out, "\nsometimes\n");
    for (int i = 0; i < SOMETIMES_COUNT; i++) {
        fprintf(out, "  %-36s", sometimes_name((enum sometimes)i));
        if (t->counts[i] == 0) fprintf(out, "%14s\n", "never");
        else fprintf(out, "%14" PRIu64 "\n", t->counts[i]);
    }
}

static void summary_text(FILE *out, const struct campaign *c, const struct campaign_result *r,
                         double seconds) {
    const struct tally *t = &r->tally;
    fprintf(out, "\n%" PRIu64 " runs, seeds %" PRIu64 "..%" PRIu64, t->runs, c->first,
            r->seed_last);
    if (c->shards > 1) fprintf(out, ", shard %u/%u", c->shard, c->shards);
    fprintf(out, ", profile %s, node %s, %u..%u nodes, %u steps and calm",
            profile_table[c->request.profile].name, c->impl->name, c->request.nodes_min,
            c->request.nodes_max, c->request.steps);
    for (uint32_t i = 0; i < c->override_count; i++)
        fprintf(out, ", %s %u", c->overrides[i].field->name, c->overrides[i].value);
    fputc('\n', out);
    fprintf(out, "%" PRIu64 " steps in %.1f s, digest %016" PRIx64 "\n", t->steps, seconds,
            t->digest);
    if (t->failures > 0)
        fprintf(out, "%" PRIu64 " of %" PRIu64 " runs failed, one in %" PRIu64 " steps\n",
                t->failures, t->runs, mean_steps(t));
    if (r->kills > 0)
        fprintf(out,
                "a worker was killed from outside %" PRIu64 " times; its seeds were run again\n",
                r->kills);
    if (r->is_interrupted) fprintf(out, "interrupted\n");
    else if (r->findings == 0 && t->runs > 0) fprintf(out, "every check held in every run\n");
    else if (r->findings == 0) fprintf(out, "no seed was run\n");
}

static void summary_json(FILE *out, const struct campaign *c, const struct campaign_result *r,
                         double seconds) {
    const struct tally *t = &r->tally;
    fprintf(out,
            "{\"type\":\"summary\",\"runs\":%" PRIu64 ",\"seed_first\":%" PRIu64
            ",\"seed_last\":%" PRIu64 ",\"steps\":%" PRIu64 ",\"events\":%" PRIu64,
            t->runs, c->first, r->seed_last, t->steps, t->events);
    fprintf(out,
            ",\"findings\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"steps_per_failure\":%" PRIu64,
            r->findings, t->failures, mean_steps(t));
    fprintf(out, ",\"digest\":\"%016" PRIx64 "\",\"interrupted\":%s,\"seconds\":%.3f", t->digest,
            r->is_interrupted ? "true" : "false", seconds);
    fprintf(out, ",\"killed\":%" PRIu64, r->kills);
    json_member(out, "profile", profile_table[c->request.profile].name);
    json_member(out, "node", c->impl->name);
    fputs(",\"set\":{", out);
    for (uint32_t i = 0; i < c->override_count; i++)
        fprintf(out, "%s\"%s\":%u", i > 0 ? "," : "", c->overrides[i].field->name,
                c->overrides[i].value);
    fputs("},\"sometimes\":{", out);
    for (int i = 0; i < SOMETIMES_COUNT; i++) {
        if (i > 0) fputc(',', out);
        output_json_string(out, sometimes_name((enum sometimes)i));
        fprintf(out, ":%" PRIu64, t->counts[i]);
    }
    fputs("}}\n", out);
}

void output_summary(FILE *out, enum output_format format, const struct campaign *campaign,
                    const struct campaign_result *result, double seconds, bool has_counts) {
    bool is_text = format == OUTPUT_TEXT;
    if (is_text && (has_counts || result->findings == 0)) counts_text(out, &result->tally);
    if (is_text) summary_text(out, campaign, result, seconds);
    else summary_json(out, campaign, result, seconds);
    fflush(out);
}
