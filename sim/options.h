/* options.h - the command line, checked. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "campaign.h"
#include "output.h"

enum command {
    COMMAND_HELP,
    COMMAND_VERSION,
    COMMAND_RUN,
    COMMAND_REPLAY,
    COMMAND_BENCH,
    COMMAND_LIST
};

struct options {
    enum command command;
    const char *topic; /* help: a command or NULL; list: what. */
    struct campaign campaign;
    const char *out_dir;
    const char *file; /* replay */
    enum output_format format;
    bool quick; /* bench */
};

/* On a wrong command line: false, and one line on stderr. */
bool options_parse(struct options *o, int argc, char **argv);
void options_help(FILE *out, const char *topic);

#endif
