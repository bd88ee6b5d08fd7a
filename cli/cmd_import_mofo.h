/*
 * cmd_import_mofo.h: the command `ctms import mofo`, which cmd_import.c lists.
 */
#ifndef CTMS_CLI_CMD_IMPORT_MOFO_H
#define CTMS_CLI_CMD_IMPORT_MOFO_H

#include "cli/cli.h"

extern const struct cli_option cmd_import_mofo_options[];
int cmd_import_mofo(struct cli *cli);

#endif
