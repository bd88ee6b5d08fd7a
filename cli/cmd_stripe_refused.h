/*
 * cmd_stripe_refused.h: the commands of `ctms stripe refused`, which cmd_stripe.c lists. Each
 * returns an exit code, as cli_command.run does.
 */
#ifndef CTMS_CLI_CMD_STRIPE_REFUSED_H
#define CTMS_CLI_CMD_STRIPE_REFUSED_H

#include "cli/cli.h"

extern const struct cli_option cmd_stripe_refused_list_options[];
extern const struct cli_option cmd_stripe_refused_retry_options[];
extern const struct cli_option cmd_stripe_refused_remove_options[];

int cmd_stripe_refused_list(struct cli *cli);
int cmd_stripe_refused_show(struct cli *cli);
int cmd_stripe_refused_retry(struct cli *cli);
int cmd_stripe_refused_remove(struct cli *cli);

#endif
