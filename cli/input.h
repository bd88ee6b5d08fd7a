/*
 * input.h: what `ctms` reads from files and from standard input.
 */
#ifndef CTMS_CLI_INPUT_H
#define CTMS_CLI_INPUT_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * The text of an argument: "@FILE" and "@-" read a file or standard input, anything else
 * stands for itself. At most 16 MiB, no zero bytes. Null after saying what is wrong; the
 * caller frees.
 */
char *input_read_argument(struct cli *cli, const char *argument);

/* Opens a file, or standard input for "-". Null after saying what is wrong. */
FILE *input_open(struct cli *cli, const char *path);
/* Closes it, unless it is standard input. */
void input_close(FILE *file);

/*
 * Hands on each item of a file with one a line, without the blanks around it; empty lines and
 * those that begin with "#" are skipped. False after saying what is wrong with the file, or when
 * take() is false, which ends it.
 */
bool input_each_item(struct cli *cli, const char *path, bool (*take)(void *arg, const char *item),
                     void *arg);

#endif
