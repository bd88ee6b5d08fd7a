/*
 * database.h: the command line's one connection: statements with parameters, errors that
 * are reported once, time limits.
 */
#ifndef CTMS_CLI_DATABASE_H
#define CTMS_CLI_DATABASE_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * Connects cli->db and sets its limits. False when that failed: said why, and cli->status
 * is CLI_UNAVAILABLE. Until database_close(), SIGINT cancels a running statement instead
 * of ending the program.
 */
bool database_open(struct cli *cli, const char *url);
void database_close(struct cli *cli);

/*
 * Runs one statement; parameters are text, null for NULL. Returns the result, which the
 * caller clears, or null after an error was reported and cli->status set.
 */
PGresult *
database_query(struct cli *cli, const char *sql, int count, const char *const *parameters);

/*
 * The same without a word about errors, for a caller that reports them by itself. The
 * result is never null, and may be an error.
 */
PGresult *
database_try_query(struct cli *cli, const char *sql, int count, const char *const *parameters);

/* Runs one statement without parameters whose result does not matter. False after an error was
 * reported. */
bool database_run_statement(struct cli *cli, const char *sql);

/* Runs statements without parameters, one after the other. False after an error was reported. */
bool database_run_script(struct cli *cli, const char *statements);

/* Runs a statement without parameters whose one value is a number, null counting as 0. */
bool database_query_number(struct cli *cli, const char *sql, long long *value);

/* Prints the rows of a statement as a table, or with --json the one value that json_sql answers,
 * which takes the same parameters. Returns cli->status. */
int database_print_rows(struct cli *cli, const char *sql, const char *json_sql, int count,
                        const char *const *parameters);

/* Writes to a file what a COPY ... TO STDOUT gives. False after an error was reported. */
bool database_copy_to_file(struct cli *cli, const char *sql, FILE *file);

bool database_is_ok(const PGresult *result);

/*
 * Reports an error result on stderr and sets cli->status to the code that fits. A hint
 * that is not null replaces the server's.
 */
void database_report(struct cli *cli, const PGresult *result, const char *hint);

/* True when the error has this SQLSTATE. */
bool database_is_state(const PGresult *result, const char *state);

#endif
