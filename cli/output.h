/*
 * output.h: what `ctms` prints. Results go to stdout; errors, notes and questions go to stderr, so
 * that a pipe gets only data. All commands use it.
 */
#ifndef CTMS_CLI_OUTPUT_H
#define CTMS_CLI_OUTPUT_H

#include <stdio.h>
#include "cli/cli.h"

/* Prints "ctms: ..." on stderr. Returns the exit code that it is given, and stores it in cli. */
int output_error(struct cli *cli, enum cli_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Opens a file for personal data, which only its owner may read. flags: O_NOFOLLOW if the user did
 * not give the name, otherwise 0. Returns null after reporting an error.
 */
FILE *output_open_private(struct cli *cli, const char *path, int flags);
/* Closes it. Returns false after an error, which is reported unless one was reported before. */
bool output_close_private(struct cli *cli, FILE *file, const char *path);

/* Prints a result as a table with its column names as heading; control characters become "?". */
void output_table(FILE *stream, const PGresult *result);

/* Prints a text from the database; control characters become "?". */
void output_text(FILE *stream, const char *text);

/*
 * True when the user agrees: --yes, or "y" at a terminal. Otherwise it says that nothing was done
 * and sets cli->status.
 */
bool output_confirm(struct cli *cli, const char *question);

/* Flushes stdout. If that fails, it reports the error, sets cli->status and returns false. */
bool output_finish(struct cli *cli);

#endif
