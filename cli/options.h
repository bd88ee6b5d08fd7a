/*
 * options.h: from argv to a filled struct cli.
 */
#ifndef CTMS_CLI_OPTIONS_H
#define CTMS_CLI_OPTIONS_H

#include "cli/cli.h"

enum options_result {
    OPTIONS_RUN,     /* cli->command is set: run it */
    OPTIONS_DONE,    /* help or version was printed */
    OPTIONS_INVALID, /* said what is wrong; cli->status is CLI_USAGE */
};

/*
 * Finds the command and its options; --help and --version are answered here. Global
 * options may stand before or after the command. Values point into argv.
 */
enum options_result
options_parse(struct cli *cli, const struct cli_group *groups, int argc, char **argv);

#endif
