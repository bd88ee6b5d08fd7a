/*
 * cmd_import.h: commands of `ctms import` with files of their own.
 */
#ifndef CTMS_CLI_CMD_IMPORT_H
#define CTMS_CLI_CMD_IMPORT_H

#include "cli/cli.h"

extern const struct cli_option import_mofo_options[];
int import_mofo(struct cli *cli);

#endif
