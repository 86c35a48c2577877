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
    const char *program; /* As it was typed. */
    const char *topic;   /* help: a command or NULL; list: what. */
    struct campaign campaign;
    const char *out_dir;
    const char *file; /* replay */
    enum output_format format;
    bool quick;                 /* bench */
    bool no_fork;               /* replay */
    bool sometimes;             /* run */
    bool has_seeds, has_checks; /* run: the options were given. */
};

/* On a wrong command line: false, and one line on stderr. */
bool options_parse(struct options *o, int argc, char **argv);
void options_help(FILE *out, const char *topic);

#endif
