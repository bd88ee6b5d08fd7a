/*
 * output.h: what `ctms` prints. Results go to stdout; complaints, notes and questions go
 * to stderr, so that a pipe gets data only.
 */
#ifndef CTMS_CLI_OUTPUT_H
#define CTMS_CLI_OUTPUT_H

#include <stdio.h>
#include "cli/cli.h"

/* "ctms: ..." on stderr; returns the exit code it is given, and stores it in cli. */
int output_error(struct cli *cli, enum cli_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Opens a file for personal data: only its owner may read it. flags: O_NOFOLLOW where the name was
 * not given by the user, or 0. Null after saying why not.
 */
FILE *output_open_private(struct cli *cli, const char *path, int flags);
/* Closes it. False after an error, which is said unless something was said before. */
bool output_close_private(struct cli *cli, FILE *file, const char *path);

/* A result as a table with its column names as heading; control characters become "?". */
void output_table(FILE *stream, const PGresult *result);

/* Printable form of a text from the database: control characters become "?". */
void output_text(FILE *stream, const char *text);

/*
 * True when the user agrees: --yes, or "y" at a terminal. Otherwise says that nothing was
 * done and sets cli->status.
 */
bool output_confirm(struct cli *cli, const char *question);

/* Flushes stdout; false (with cli->status set and a message) when it could not be written. */
bool output_finish(struct cli *cli);

#endif
