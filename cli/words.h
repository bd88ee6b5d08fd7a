/* words.h: finds the command that the words of a command line name, and tells what was meant if
 * there is none. options.c calls it. */
#ifndef CTMS_CLI_WORDS_H
#define CTMS_CLI_WORDS_H

#include "cli/cli.h"

enum words_result {
    WORDS_COMMAND, /* cli->group and cli->command are set */
    WORDS_GROUP,   /* cli->group is set; a word of the command is missing */
    WORDS_UNKNOWN, /* the error was reported; cli->status is CLI_USAGE */
};

/* Looks at count words, at least one. *used of them are names, others are arguments. */
enum words_result words_find(struct cli *cli, char **words, int count, int *used);

/* `; see "ctms clients add --help"`, for the names that were found so far. Valid until the next
 * call. */
const char *words_see_help(const struct cli *cli);

#endif
