/* help.h: prints every --help, which is made from the tables of commands. options.c calls it. */
#ifndef CTMS_CLI_HELP_H
#define CTMS_CLI_HELP_H

#include <stdio.h>
#include "cli/cli.h"

/* globals: the options that every command takes; ends with a null name. */
void
help_print_program(FILE *stream, const struct cli_group *groups, const struct cli_option *globals);
/* Lists the commands that begin with the word; "": all. */
void help_print_group(FILE *stream, const struct cli_group *group, const char *word);
void help_print_command(FILE *stream, const struct cli_group *group,
                        const struct cli_command *command, const struct cli_option *globals);

#endif
