/* cmd_acoustic_bulk.h: the parts of `ctms acoustic bulk`. cmd_acoustic_bulk.c calls them. */
#ifndef CTMS_CLI_CMD_ACOUSTIC_BULK_H
#define CTMS_CLI_CMD_ACOUSTIC_BULK_H

#include "cli/cli.h"
#include "cli/selection.h"

/* Each sets cli->status. */

/* cmd_acoustic_bulk_show.c */
void cmd_acoustic_bulk_show(struct cli *cli);
/* Marks the open run as one to be given up. */
void cmd_acoustic_bulk_cancel(struct cli *cli);

/* cmd_acoustic_bulk_dry.c: writes the files of the selection, or of what waits in bulk, into a
 * folder. */
void cmd_acoustic_bulk_dry(struct cli *cli, const char *folder);

#endif
