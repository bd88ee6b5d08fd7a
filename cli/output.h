/*
 * output.h: what `ctms` prints. Results go to stdout; errors, notes and questions go to stderr, so
 * that a pipe gets only data. All commands use it.
 */
#ifndef CTMS_CLI_OUTPUT_H
#define CTMS_CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>
#include "cli/cli.h"
#include "common/new_file.h"

/* Prints "ctms: ..." on stderr. Returns the exit code that it is given, and stores it in cli. */
int output_error(struct cli *cli, enum cli_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints "ctms: warning: ..." on stderr; the command goes on. */
void output_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Opens a file for personal data, which only its owner may read. It gets its name when it is
 * complete; see common/new_file.h. Returns false after reporting an error. There is one such file
 * at a time.
 */
bool output_open_private(struct cli *cli, new_file *file, const char *path);
/* Closes it; after an error nothing is left of it. Returns false after an error, which is reported
 * unless one was reported before. */
bool output_close_private(struct cli *cli, new_file *file);
/* The command reads this file, so it writes no private one over it. Those that it writes are
 * protected, too. */
void output_protect(int fd);
/* Removes what is written of it. For signal handlers. */
void output_drop_private(void);

/* Prints a result as a table with its column names as heading, its values by output_text(). */
void output_table(FILE *stream, const PGresult *result);
/*
 * The same in parts, for results that are too long for memory: the first part decides on the
 * widths, of which there is one for each column. headings may be null.
 */
void
output_table_begin(FILE *stream, const PGresult *first, const char *const *headings, int *widths);
void output_table_rows(FILE *stream, const PGresult *part, const int *widths);

/* Prints a text that comes from outside, such as from the database. What could deceive a reader or
 * command the terminal is shown as \xHH or \uHHHH: see utf8_is_shown(). */
void output_text(FILE *stream, const char *text);
/* Prints a line, or several, of JSON on stdout. The same characters are escaped in its strings. */
void output_json(const char *json);
void output_json_line(FILE *stream, const char *json);
void output_json_value(const json_t *value);

/*
 * True when the user agrees: --yes, or "y" at a terminal. Otherwise it says that nothing was done
 * and sets cli->status.
 */
bool output_confirm(struct cli *cli, const char *question);

/* Flushes stdout. If that fails, it reports the error (once), sets cli->status and returns false.
 */
bool output_finish(struct cli *cli);

#endif
