/* output.h - what a person or a program reads: findings, summaries, progress. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdio.h>

#include "campaign.h"

enum output_format { OUTPUT_TEXT, OUTPUT_JSON };
enum { OUTPUT_TEXT_MAX = 512, OUTPUT_COMMAND_MAX = 16384 };

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
    const char *program;               /* As it was typed. */
    const char *artefact;              /* NULL: not saved. */
    const char *again;                 /* The command that runs it from its seed; NULL: none. */
    /* The run that is shown, in words; NULL or empty: none. */
    const struct description *description;
};

void output_finding(FILE *out, enum output_format format, const struct finding *finding,
                    const struct output_context *context);
/* The table of counts is a part of it when nothing was found, or when it is asked for. */
void output_summary(FILE *out, enum output_format format, const struct campaign *campaign,
                    const struct campaign_result *result, double seconds, bool has_counts);
/* "violation commit-quorum", "aborted SIGABRT", "held", ... as an artefact has it; and one
 * sentence. */
void output_outcome(const struct finding *finding, bool has_finding, char *outcome, size_t size,
                    char *text, size_t text_size);
/* "SIGKILL"; valid until the next call. */
const char *output_signal_name(int signal_number);
/* A string for JSON, with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void output_json_string(FILE *out, const char *text);

#endif
