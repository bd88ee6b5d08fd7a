/*
 * cmd_waitlists.h: the commands of `ctms waitlists` that have a file of their own; cmd_waitlists.c
 * lists them. Each returns an exit code, as cli_command.run does.
 */
#ifndef CTMS_CLI_CMD_WAITLISTS_H
#define CTMS_CLI_CMD_WAITLISTS_H

#include "cli/cli.h"

/* cmd_waitlists_list.c */
extern const struct cli_option cmd_waitlists_list_options[];
int cmd_waitlists_list(struct cli *cli);

/* cmd_waitlists_show.c */
extern const struct cli_option cmd_waitlists_show_options[];
int cmd_waitlists_show(struct cli *cli);
/* Reports that the name that was given has no schema, and names that it may stand for. rest: what
 * else is to be said, or "". */
void cmd_waitlists_report_unknown(struct cli *cli, const char *rest);
/* Warns if the name that was given is like that of a schema. what: what the name is, or has not. */
void cmd_waitlists_warn_of_twin(struct cli *cli, const char *what);

/* cmd_waitlists_rows.c */
extern const struct cli_option cmd_waitlists_rows_options[];
int cmd_waitlists_rows(struct cli *cli);

/* cmd_waitlists_add.c */
extern const struct cli_option cmd_waitlists_add_options[];
int cmd_waitlists_add(struct cli *cli);
/*
 * Reads a schema: its text, @FILE, or @- for standard input. Says what the server would not tell:
 * where it is not JSON, and members that are there twice. Returns null after reporting an error.
 * The caller frees the text.
 */
char *cmd_waitlists_read_schema(struct cli *cli, const char *argument);

#endif
