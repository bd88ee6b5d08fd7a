/* input.h: reads arguments, files and standard input for the commands of `ctms`. */
#ifndef CTMS_CLI_INPUT_H
#define CTMS_CLI_INPUT_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * The text of an argument. "@FILE" and "@-" read a file or standard input; any other text is used
 * as it is. At most 16 MiB, no zero bytes. Returns null after reporting an error. The caller frees
 * the text.
 */
char *input_read_argument(struct cli *cli, const char *argument);

/* Opens a file, or standard input for "-", and skips its byte order mark. Returns null after
 * reporting an error. */
FILE *input_open(struct cli *cli, const char *path);
/* Skips the mark of UTF-8 at the front; the mark of UTF-16 is reported, and false returned. */
bool input_skip_mark(struct cli *cli, FILE *file, const char *path);
/* False when reading would have to wait for the other end of a pipe or for a terminal. It does not
 * know of what was read ahead. */
bool input_is_ready(FILE *file);
/* Closes it, unless it is standard input. */
void input_close(FILE *file);

#endif
