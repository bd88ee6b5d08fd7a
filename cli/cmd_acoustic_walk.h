/*
 * cmd_acoustic_walk.h: walks the contacts of an operator's query, for `ctms acoustic dump` and
 * `ctms acoustic diff`.
 */
#ifndef CTMS_CLI_CMD_ACOUSTIC_WALK_H
#define CTMS_CLI_CMD_ACOUSTIC_WALK_H

#include "cli/cli.h"

/* Takes some contacts, as an array literal; false ends the walk. */
typedef bool (*cmd_acoustic_batch)(void *arg, const char *ids, int count);

/* Passes on all contacts of a query that has a column email_id, in one transaction. False after an
 * error was reported. */
bool
cmd_acoustic_walk_query(struct cli *cli, const char *query, cmd_acoustic_batch batch, void *arg);

#endif
