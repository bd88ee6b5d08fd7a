/* options.h: fills a struct cli from argv. main.c calls it. */
#ifndef CTMS_CLI_OPTIONS_H
#define CTMS_CLI_OPTIONS_H

#include "cli/cli.h"

enum options_result {
    OPTIONS_RUN,     /* cli->command is set: run it */
    OPTIONS_DONE,    /* help or version was printed */
    OPTIONS_INVALID, /* the error was reported; cli->status is CLI_USAGE */
};

/*
 * Finds the command of cli->groups and its options, and answers --help and --version. Global
 * options may come before or after the command. Values point into argv.
 */
enum options_result options_parse(struct cli *cli, int argc, char **argv);

#endif
