/* commands.h - what the command line can do. Each returns its exit code. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "options.h"

enum exit_code command_run(const struct options *o);
enum exit_code command_replay(const struct options *o);
enum exit_code command_bench(const struct options *o);
enum exit_code command_list(const struct options *o);

#endif
