/*
 * cmd_acoustic.h: the commands of `ctms acoustic`, which cmd_acoustic.c lists. Each returns
 * an exit code, as cli_command.run does.
 */
#ifndef CTMS_CLI_CMD_ACOUSTIC_H
#define CTMS_CLI_CMD_ACOUSTIC_H

#include "cli/cli.h"

/* cmd_acoustic_status.c */
int cmd_acoustic_status(struct cli *cli);

/* cmd_acoustic_config.c */
int cmd_acoustic_list_fields(struct cli *cli);
int cmd_acoustic_add_field(struct cli *cli);
int cmd_acoustic_remove_field(struct cli *cli);
int cmd_acoustic_list_newsletters(struct cli *cli);
int cmd_acoustic_add_newsletter(struct cli *cli);
int cmd_acoustic_remove_newsletter(struct cli *cli);

/* Of a row of the queue, or of a deletion: it failed, and waits or was given up. What a run by file
 * holds waits for that, and is left alone. */
#define CMD_ACOUSTIC_IS_FAILED                                                                     \
    "(retry > 0 OR retry_after IS NOT NULL) AND (retry_after = lease_until) IS NOT TRUE"

/* cmd_acoustic_resync.c */
int cmd_acoustic_resync(struct cli *cli);

/* cmd_acoustic_bulk.c */
int cmd_acoustic_bulk(struct cli *cli);

/* cmd_acoustic_cancel.c */
int cmd_acoustic_cancel(struct cli *cli);

/* cmd_acoustic_retry.c */
int cmd_acoustic_retry(struct cli *cli);

/* cmd_acoustic_dump.c */
int cmd_acoustic_dump(struct cli *cli);

/* cmd_acoustic_diff.c */
int cmd_acoustic_diff(struct cli *cli);

/* cmd_acoustic_show.c */
int cmd_acoustic_show(struct cli *cli);

/* cmd_acoustic_failed.c */
int cmd_acoustic_failed(struct cli *cli);

/* cmd_acoustic_history.c */
int cmd_acoustic_history(struct cli *cli);

#endif
