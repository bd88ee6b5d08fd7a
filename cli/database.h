/*
 * database.h: the only connection of the command line: statements with parameters, errors that are
 * reported once, time limits. All commands use it.
 */
#ifndef CTMS_CLI_DATABASE_H
#define CTMS_CLI_DATABASE_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * Connects cli->db and sets its limits. On failure it reports why, sets cli->status to
 * CLI_UNAVAILABLE and returns false. Until database_close(), SIGINT cancels a running statement
 * instead of ending the program.
 */
bool database_open(struct cli *cli, const char *url);
void database_close(struct cli *cli);

/*
 * Runs one statement; parameters are text, null for NULL. Returns the result, which the caller
 * clears. On an error it reports the error, sets cli->status and returns null.
 */
PGresult *
database_query(struct cli *cli, const char *sql, int count, const char *const *parameters);

/*
 * The same, but errors are not reported; the caller does that. The result is never null, and may be
 * an error.
 */
PGresult *
database_try_query(struct cli *cli, const char *sql, int count, const char *const *parameters);

/* As database_try_query(), but a deadlock or a serialisation failure is tried some times more. */
PGresult *
database_retry_query(struct cli *cli, const char *sql, int count, const char *const *parameters);

/* As database_query(), with the retries of database_retry_query(). */
PGresult *
database_query_again(struct cli *cli, const char *sql, int count, const char *const *parameters);

/*
 * Parses a statement and runs nothing of it. Returns its columns and parameters (PQftype(),
 * PQnparams()), or an error, which is not reported; never null.
 */
PGresult *database_describe(struct cli *cli, const char *sql);

/* Runs one statement without parameters whose result is not needed. Returns false after reporting
 * an error. */
bool database_run_statement(struct cli *cli, const char *sql);

/* Runs several statements without parameters. Returns false after reporting an error. */
bool database_run_script(struct cli *cli, const char *statements);

/* Runs a statement without parameters that returns one number; null counts as 0. */
bool database_query_number(struct cli *cli, const char *sql, long long *value);

/* Prints the rows of a statement as a table. With --json it prints the one value that json_sql
 * returns, which has the same parameters. Returns cli->status. */
int database_print_rows(struct cli *cli, const char *sql, const char *json_sql, int count,
                        const char *const *parameters);

/* Writes the output of a COPY ... TO STDOUT to a file. Returns false after reporting an error. */
bool database_copy_to_file(struct cli *cli, const char *sql, FILE *file);

bool database_is_ok(const PGresult *result);

/*
 * Reports an error result on stderr and sets cli->status to the matching code. A hint that is not
 * null replaces the server's hint.
 */
void database_report(struct cli *cli, const PGresult *result, const char *hint);

/* True when there was a SIGINT while a statement ran, or while interrupts are watched. */
bool database_was_interrupted(void);
/* While interrupts are watched, SIGINT does not end the program between two statements: whoever
 * watches asks database_was_interrupted() before each of them, and says what was done so far. */
void database_watch_interrupts(bool is_watching);

/* True when the error has this SQLSTATE. */
bool database_is_state(const PGresult *result, const char *state);

#endif
