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
 * The next item of a file with one a line, without the blanks around it; empty lines and
 * those that begin with "#" are skipped. Null at the end or on an error (ferror() tells).
 * line and capacity are those of getline(); the caller frees line.
 */
const char *input_next_item(FILE *file, char **line, size_t *capacity);

#endif
