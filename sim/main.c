/* main.c - raftsim: from the command line to a command. */
#include <signal.h>
#include <stdio.h>

#include "build_id.h"
#include "commands.h"

static enum exit_code run_command(const struct options *o) {
    switch (o->command) {
    case COMMAND_HELP: options_help(stdout, o->topic); return EXIT_HELD;
    case COMMAND_VERSION:
        printf("raftsim %s (build %s)\n", RAFTSIM_VERSION, build_id);
        return EXIT_HELD;
    case COMMAND_RUN: return command_run(o);
    case COMMAND_REPLAY: return command_replay(o);
    case COMMAND_BENCH: return command_bench(o);
    case COMMAND_LIST: return command_list(o);
    }
    return EXIT_INTERNAL;
}

int main(int argc, char **argv) {
    struct options options;
    if (!options_parse(&options, argc, argv)) return EXIT_USAGE;
    signal(SIGXFSZ, SIG_IGN); /* A file that may not grow is an error as any other. */
    enum exit_code code = run_command(&options);
    if (fflush(stdout) == 0 && !ferror(stdout)) return (int)code;
    perror("raftsim: standard output");
    return EXIT_INTERNAL;
}
