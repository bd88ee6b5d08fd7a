/*
 * help.h: every --help, made from the command tables.
 */
#ifndef CTMS_CLI_HELP_H
#define CTMS_CLI_HELP_H

#include <stdio.h>
#include "cli/cli.h"

void help_program(FILE *stream, const struct cli_group *groups);
void help_group(FILE *stream, const struct cli_group *group);
void help_command(FILE *stream, const struct cli_group *group, const struct cli_command *command);

#endif
