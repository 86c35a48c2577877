/* output.c - findings and summaries as text or JSON, one object a line. */
#include "output.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

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

void output_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != 0; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') fprintf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f) fprintf(out, "\\u%04x", byte);
        else fputc(byte, out);
    }
    fputc('"', out);
}

static void describe(const struct finding *finding, char *text, size_t size) {
    switch (finding->kind) {
    case FINDING_VIOLATED:
    case FINDING_STALLED: snprintf(text, size, "%s", finding->result.violation.text); return;
    case FINDING_UNDECIDED:
    case FINDING_NONDETERMINISTIC: snprintf(text, size, "%s", finding->result.reason); return;
    case FINDING_ABORTED: {
        const char *name = finding->signal != 0 ? strsignal(finding->signal) : "it exited";
        snprintf(text, size, "the process of the run died: %s", name);
        return;
    }
    case FINDING_HUNG: snprintf(text, size, "a step does not come to an end"); return;
    }
}

void output_outcome(const struct finding *finding, bool has_finding, char *outcome, size_t size,
                    char *text, size_t text_size) {
    const char *kind = has_finding ? finding_kind_name(finding->kind) : "held";
    snprintf(text, text_size, "every check held");
    if (has_finding) describe(finding, text, text_size);
    if (has_finding && finding->result.violation.is_found)
        snprintf(outcome, size, "%s %s", kind, check_table[finding->result.violation.check].name);
    else if (has_finding && finding->kind == FINDING_ABORTED)
        snprintf(outcome, size, "%s %d", kind, finding->signal);
    else snprintf(outcome, size, "%s", kind);
}

static void finding_text(FILE *out, const struct finding *f, const struct output_context *context) {
    char outcome[64], text[256];
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
    if (context->artefact != NULL) fprintf(out, "  replay: raftsim replay %s\n", context->artefact);
    if (context->again != NULL) fprintf(out, "  again:  %s\n", context->again);
}

static void json_member(FILE *out, const char *name, const char *value) {
    fprintf(out, ",\"%s\":", name);
    if (value == NULL) fputs("null", out);
    else output_json_string(out, value);
}

static void finding_json(FILE *out, const struct finding *f, const struct output_context *context) {
    char outcome[64], text[256];
    output_outcome(f, true, outcome, sizeof outcome, text, sizeof text);
    bool has_check = f->result.violation.is_found;
    const struct check *check = has_check ? &check_table[f->result.violation.check] : NULL;
    fputs("{\"type\":\"finding\"", out);
    json_member(out, "kind", finding_kind_name(f->kind));
    json_member(out, "check", has_check ? check->name : NULL);
    json_member(out, "section", has_check ? check->section : NULL);
    json_member(out, "text", text);
    fprintf(out,
            ",\"seed\":%" PRIu64 ",\"nodes\":%u,\"step\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\"",
            f->seed, f->nodes, f->result.steps, f->result.digest);
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

static void summary_text(FILE *out, const struct campaign *c, const struct campaign_result *r,
                         double seconds) {
    const struct tally *t = &r->tally;
    fprintf(out, "\nsometimes\n");
    for (int i = 0; i < SOMETIMES_COUNT; i++) {
        fprintf(out, "  %-36s", sometimes_name((enum sometimes)i));
        if (t->counts[i] == 0) fprintf(out, "%14s\n", "never");
        else fprintf(out, "%14" PRIu64 "\n", t->counts[i]);
    }
    fprintf(out, "\n%" PRIu64 " runs, seeds %" PRIu64 "..%" PRIu64, t->runs, c->first,
            r->seed_last);
    if (c->shards > 1) fprintf(out, ", shard %u/%u", c->shard, c->shards);
    fprintf(out, ", profile %s, node %s, %u..%u nodes, %u steps and calm\n",
            profile_table[c->request.profile].name, c->impl->name, c->request.nodes_min,
            c->request.nodes_max, c->request.steps);
    fprintf(out, "%" PRIu64 " steps in %.1f s, digest %016" PRIx64 "\n", t->steps, seconds,
            t->digest);
    if (t->failures > 0)
        fprintf(out, "%" PRIu64 " of %" PRIu64 " runs failed, one in %" PRIu64 " steps\n",
                t->failures, t->runs, mean_steps(t));
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
    json_member(out, "profile", profile_table[c->request.profile].name);
    json_member(out, "node", c->impl->name);
    fputs(",\"sometimes\":{", out);
    for (int i = 0; i < SOMETIMES_COUNT; i++) {
        if (i > 0) fputc(',', out);
        output_json_string(out, sometimes_name((enum sometimes)i));
        fprintf(out, ":%" PRIu64, t->counts[i]);
    }
    fputs("}}\n", out);
}

void output_summary(FILE *out, enum output_format format, const struct campaign *campaign,
                    const struct campaign_result *result, double seconds) {
    if (format == OUTPUT_JSON) summary_json(out, campaign, result, seconds);
    else summary_text(out, campaign, result, seconds);
    fflush(out);
}
