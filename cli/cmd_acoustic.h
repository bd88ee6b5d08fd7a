/*
 * cmd_acoustic.h: the commands of `ctms acoustic`, which cmd_acoustic.c lists. Each returns
 * an exit code, as cli_command.run does.
 */
#ifndef CTMS_CLI_CMD_ACOUSTIC_H
#define CTMS_CLI_CMD_ACOUSTIC_H

#include "cli/cli.h"

/* cmd_acoustic_status.c */
int acoustic_status(struct cli *cli);

/* cmd_acoustic_config.c */
int acoustic_fields_list(struct cli *cli);
int acoustic_fields_add(struct cli *cli);
int acoustic_fields_remove(struct cli *cli);
int acoustic_newsletters_list(struct cli *cli);
int acoustic_newsletters_add(struct cli *cli);
int acoustic_newsletters_remove(struct cli *cli);

/* cmd_acoustic_resync.c */
int acoustic_resync(struct cli *cli);

/* cmd_acoustic_dump.c */
int acoustic_dump(struct cli *cli);

/* cmd_acoustic_diff.c */
int acoustic_diff(struct cli *cli);

/* cmd_acoustic_history.c */
int acoustic_history(struct cli *cli);

/* cmd_acoustic_walk.c: takes some contacts, as an array literal; false ends the walk. */
typedef bool (*acoustic_batch)(void *arg, const char *ids, int count);
/* Hands on all contacts of a query with a column email_id, in one transaction; false after an
 * error was reported. */
bool acoustic_each_batch(struct cli *cli, const char *query, acoustic_batch batch, void *arg);

#endif
