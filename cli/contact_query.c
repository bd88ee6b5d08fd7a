/* contact_query.c: see contact_query.h. */
#include "cli/contact_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/id_array.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

#define COLUMN "email_id"
#define UUID_TYPE 2950

/* Prints the line and column of an error. The server counts characters, not bytes. */
static void
print_place(const char *query, const PGresult *error)
{
    const char *text = PQresultErrorField(error, PG_DIAG_STATEMENT_POSITION);
    long position = text ? strtol(text, NULL, 10) : 0;
    long line = 1;
    long column = 0;

    if (position <= 0)
        return;
    for (; *query && position > 0; query++) {
        bool is_character = ((unsigned char)*query & 0xc0) != 0x80;

        position -= is_character;
        column += is_character;
        if (*query == '\n' && position > 0) {
            line++;
            column = 0;
        }
    }
    fprintf(stderr, "  at line %ld, column %ld of the query\n", line, column + position);
}

static void
report_missing_column(struct cli *cli, const PGresult *columns)
{
    buf names = BUF_INIT;

    for (int i = 0; i < PQnfields(columns) && names.length < 200; i++)
        buf_printf(&names, "%s\"%s\"", i > 0 ? ", " : "; it has ", PQfname(columns, i));
    output_error(cli, CLI_USAGE, "the query has no column " COLUMN "%s", buf_text(&names));
    buf_free(&names);
}

static void
report_type(struct cli *cli, Oid type)
{
    char number[16];
    const char *parameters[] = {number};
    PGresult *name;

    snprintf(number, sizeof(number), "%u", type);
    name = database_query(cli, "SELECT pg_catalog.format_type($1::pg_catalog.oid, NULL)", 1,
                          parameters);
    if (name)
        output_error(cli, CLI_USAGE,
                     "the column " COLUMN " of the query has the type %s; it must be uuid",
                     PQgetvalue(name, 0, 0));
    PQclear(name);
}

static bool
check_columns(struct cli *cli, const PGresult *columns)
{
    int found = 0;
    int place = -1;

    for (int i = 0; i < PQnfields(columns); i++) {
        if (strcmp(PQfname(columns, i), COLUMN) == 0) {
            place = i;
            found++;
        }
    }
    if (PQnparams(columns) > 0)
        output_error(cli, CLI_USAGE, "the query has a parameter such as $1: write its value");
    else if (found == 0)
        report_missing_column(cli, columns);
    else if (found > 1)
        output_error(cli, CLI_USAGE, "the query has %d columns " COLUMN, found);
    else if (PQftype(columns, place) != UUID_TYPE)
        report_type(cli, PQftype(columns, place));
    return cli->status == CLI_OK;
}

static bool
check_query(struct cli *cli, const char *query)
{
    PGresult *columns = database_describe(cli, query);
    bool is_ok = database_is_ok(columns);

    if (!is_ok) {
        database_report(cli, columns, NULL);
        /* What is forbidden is no mistake in the query, which may be one of ctms itself. */
        if (!database_is_state(columns, "42501"))
            print_place(query, columns);
    }
    is_ok = is_ok && check_columns(cli, columns);
    PQclear(columns);
    return is_ok;
}

static bool
declare_cursor(struct cli *cli, const char *sql)
{
    PGresult *result = database_try_query(cli, sql, 0, NULL);
    bool is_ok = database_is_ok(result);

    /* It was parsed before, so it is no query, or one that locks rows. */
    if (database_is_state(result, "42601") || database_is_state(result, "0A000"))
        output_error(cli, CLI_USAGE, "the query must be one SELECT that changes and locks nothing");
    else if (!is_ok)
        database_report(cli, result, NULL);
    PQclear(result);
    return is_ok;
}

/* Both parts are "" for the query itself. Otherwise it becomes a part of another one, so its last
 * semicolon is left out. */
static bool
open_part(struct cli *cli, const char *query, const char *before, const char *after)
{
    buf sql = BUF_INIT;
    size_t length = strlen(query);
    bool is_open;

    while (length > 0 && strchr(" \t\r\n;", query[length - 1]))
        length--;
    buf_printf(&sql, "DECLARE chosen NO SCROLL CURSOR FOR %s", before);
    buf_append(&sql, query, length);
    /* The query may end with a comment. */
    buf_printf(&sql, "\n%s", after);
    is_open = database_run_statement(
                  cli, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") &&
              check_query(cli, query) && declare_cursor(cli, buf_text(&sql));
    buf_free(&sql);
    return is_open;
}

bool
contact_query_open(struct cli *cli, const char *query)
{
    return open_part(cli, query, "", "");
}

bool
contact_query_close(struct cli *cli)
{
    return database_run_statement(cli, "ROLLBACK");
}

/* ---- keeping the ids ---------------------------------------------------------------- */

static bool
keep_ids(struct cli *cli, FILE *file, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (fwrite(PQgetvalue(rows, row, 0), ID_LENGTH, 1, file) == 1)
            continue;
        output_error(cli, CLI_FAILED, "could not write a temporary file: %s", strerror(errno));
        return false;
    }
    return true;
}

static bool
fetch_ids(struct cli *cli, FILE *file)
{
    long long count = 0;
    int fetched = 1;
    bool is_going = true;

    while (is_going && fetched > 0) {
        PGresult *rows = database_query(cli, "FETCH 10000 FROM chosen", 0, NULL);

        is_going = rows && keep_ids(cli, file, rows);
        fetched = PQntuples(rows);
        count += fetched;
        PQclear(rows);
        progress_show("%lld contacts found", count);
    }
    progress_clear();
    return is_going && contact_query_close(cli);
}

FILE *
contact_query_keep(struct cli *cli, const char *query)
{
    FILE *file = tmpfile();

    if (!file) {
        output_error(cli, CLI_FAILED, "could not make a temporary file: %s", strerror(errno));
        return NULL;
    }
    if (open_part(cli, query, "SELECT DISTINCT s.email_id FROM (",
                  ") AS s WHERE s.email_id IS NOT NULL ORDER BY s.email_id") &&
        fetch_ids(cli, file))
        return file;
    fclose(file);
    return NULL;
}
