/* output.h - what a person or a program reads: findings, summaries, progress. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

#include "campaign.h"

enum output_format { OUTPUT_TEXT, OUTPUT_JSON };

/* Exit codes: see the man page. */
enum exit_code {
    EXIT_HELD = 0,
    EXIT_VIOLATED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHED = 3,
    EXIT_NONDETERMINISTIC = 4,
    EXIT_INTERNAL = 5,
    EXIT_INTERRUPTED = 130
};
enum exit_code output_exit_code(enum finding_kind kind);

/* What surrounds a finding. */
struct output_context {
    const char *node, *build, *origin; /* "seed 42, profile swarm" */
    const char *artefact;              /* NULL: not saved. */
    const char *again;                 /* The command that runs it from its seed; NULL: none. */
};

void output_finding(FILE *out, enum output_format format, const struct finding *finding,
                    const struct output_context *context);
void output_summary(FILE *out, enum output_format format, const struct campaign *campaign,
                    const struct campaign_result *result, double seconds);
/* "violation commit-quorum", "aborted 6", "held", ... as an artefact has it; and one sentence. */
void output_outcome(const struct finding *finding, bool has_finding, char *outcome, size_t size,
                    char *text, size_t text_size);
/* A string for JSON, with its quotes. */
void output_json_string(FILE *out, const char *text);

#endif
