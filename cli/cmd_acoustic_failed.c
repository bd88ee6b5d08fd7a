/*
 * cmd_acoustic_failed.c: `ctms acoustic failed`: the contacts and deletions that could not be sent,
 * and their errors.
 *
 * Rows that have failed lie together in the index of each lane, so the cost grows with them, not
 * with the queue. The list is read in parts by a cursor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/acoustic_error.h"
#include "cli/cmd_acoustic.h"
#include "cli/csv.h"
#include "cli/database.h"
#include "cli/output.h"
#include "common/buf.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 100000000
/* Kinds of errors that the summary shows. */
#define KINDS "20"

#define TIME_FORMAT "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'"

#define TIME_PATTERN "'^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z '"

/*
 * Failed rows of each lane: those that wait or are given up, and those whose wait is over. What a
 * run by file holds has not failed, though it waits in the same part of the index.
 */
#define HAS_FAILED                                                                                 \
    "retry_after IS NOT NULL AND (retry > 0 OR (retry_after = lease_until) IS NOT TRUE)"
#define PENDING                                                                                    \
    " UNION ALL SELECT email_id, false, retry, retry_after, last_error, update_timestamp "         \
    "FROM ctms.pending_acoustic WHERE "
#define ROWS_SQL                                                                                   \
    "SELECT email_id, true, retry, retry_after, last_error, update_timestamp "                     \
    "FROM ctms.acoustic_deleted_contact WHERE is_to_send AND (retry > 0 OR (" HAS_FAILED           \
    "))" PENDING "NOT is_bulk AND " HAS_FAILED PENDING                                             \
    "NOT is_bulk AND retry_after IS NULL AND retry > 0" PENDING "is_bulk AND " HAS_FAILED PENDING  \
    "is_bulk AND retry_after IS NULL AND retry > 0"

/*
 * $1: a part of the error, or null. $2: the time from which on, as an error has it, or null. The
 * times are compared as texts, which have the same order.
 */
#define FAILED_SQL                                                                                 \
    "SELECT email_id, is_deletion, retry, retry_after, failed_at, error, "                         \
    "coalesce(retry_after = 'infinity', false) AS is_given_up FROM ("                              \
    "SELECT f.*, CASE WHEN last_error ~ " TIME_PATTERN " THEN left(last_error, 20) ELSE to_char("  \
    "updated_at AT TIME ZONE 'UTC', " TIME_FORMAT ") END AS failed_at, "                           \
    "coalesce(regexp_replace(last_error, " TIME_PATTERN ", ''), 'unknown') AS error "              \
    "FROM (" ROWS_SQL ") AS f (email_id, is_deletion, retry, retry_after, last_error, "            \
    "updated_at)) AS f WHERE ($1::text IS NULL OR strpos(lower(error), lower($1)) > 0) "           \
    "AND ($2::text IS NULL OR failed_at COLLATE \"C\" >= $2)"

#define SUMMARY_SQL                                                                                \
    "SELECT error, count(*) AS contacts, count(*) FILTER (WHERE is_given_up) AS given_up, "        \
    "max(failed_at COLLATE \"C\") AS last FROM (" FAILED_SQL ") AS f GROUP BY error "              \
    "ORDER BY contacts DESC, error LIMIT " KINDS

#define LIST_SQL                                                                                   \
    "DECLARE failed NO SCROLL CURSOR FOR SELECT f.email_id, coalesce(e.primary_email, ''), "       \
    "f.is_deletion, f.is_given_up, f.retry, f.failed_at, CASE WHEN isfinite(f.retry_after) "       \
    "THEN to_char(f.retry_after AT TIME ZONE 'UTC', " TIME_FORMAT ") ELSE '' END, f.error "        \
    "FROM (SELECT * FROM (" FAILED_SQL ") AS f ORDER BY failed_at COLLATE \"C\" DESC, email_id "   \
    "LIMIT $3::bigint) AS f LEFT JOIN ctms.emails AS e ON e.email_id = f.email_id "                \
    "AND NOT f.is_deletion ORDER BY f.failed_at COLLATE \"C\" DESC, f.email_id"

enum { EMAIL_ID, ADDRESS, IS_DELETION, IS_GIVEN_UP, RETRY, FAILED_AT, RETRY_AFTER, ERROR };

static const char *const names[] = {"email_id", "primary_email", "is_deletion", "is_given_up",
                                    "retry",    "failed_at",     "retry_after", "error"};
enum { COLUMNS = sizeof(names) / sizeof(*names) };

struct failed {
    struct cli *cli;
    const char *parameters[3]; /* $1 to $3 */
    char since[32];
    bool is_csv;
    long long printed;
};

/* ---- options ----------------------------------------------------------------------------- */

/* Reads a time, or an interval before now, by a statement that takes the text. */
static PGresult *
try_since(struct cli *cli, const char *sql, const char *text)
{
    const char *parameters[] = {text};

    return database_try_query(cli, sql, 1, parameters);
}

/* Times that are compared as texts have years of four digits. */
#define SINCE_SQL(time)                                                                            \
    "SELECT to_char(greatest('0001-01-01Z', least('9999-12-31Z', " time                            \
    ")) AT TIME ZONE 'UTC', " TIME_FORMAT ")"

static bool
read_since(struct failed *failed)
{
    struct cli *cli = failed->cli;
    const char *text = cli_get_option(cli, "since");
    PGresult *result;

    if (!text)
        return true;
    result = try_since(cli, SINCE_SQL("$1::timestamptz"), text);
    if (!database_is_ok(result)) {
        PQclear(result);
        result = try_since(cli, SINCE_SQL("now() - $1::interval"), text);
    }
    if (database_is_ok(result)) {
        snprintf(failed->since, sizeof(failed->since), "%s", PQgetvalue(result, 0, 0));
        failed->parameters[1] = failed->since;
    } else if (PQresultErrorField(result, PG_DIAG_SQLSTATE) &&
               strncmp(PQresultErrorField(result, PG_DIAG_SQLSTATE), "22", 2) == 0) {
        output_error(cli, CLI_USAGE,
                     "--since must be a time, such as \"2024-05-31 12:00\", or how long ago, such "
                     "as \"2 hours\"");
    } else {
        database_report(cli, result, NULL);
    }
    PQclear(result);
    return cli->status == CLI_OK;
}

/* ---- summary ----------------------------------------------------------------------------- */

static void
print_kind(const struct failed *failed, const PGresult *kinds, int row)
{
    const char *error = PQgetvalue(kinds, row, 0);
    const struct acoustic_error *entry = acoustic_error_explain(error);
    buf line = BUF_INIT;

    if (failed->cli->is_json) {
        buf_printf(&line, "%s\n  {\"error\": ", row > 0 ? "," : "");
        buf_append_json_string(&line, error);
        buf_printf(&line, ", \"contacts\": %s, \"given_up\": %s, \"last\": \"%s\", \"meaning\": ",
                   PQgetvalue(kinds, row, 1), PQgetvalue(kinds, row, 2), PQgetvalue(kinds, row, 3));
        buf_append_json_string(&line, entry->meaning);
        buf_append_string(&line, ", \"advice\": ");
        buf_append_json_string(&line, entry->advice);
        buf_append_char(&line, '}');
        fputs(buf_text(&line), stdout);
    } else {
        printf("%s failed, %s given up, last %s: ", PQgetvalue(kinds, row, 1),
               PQgetvalue(kinds, row, 2), PQgetvalue(kinds, row, 3));
        output_text(stdout, error);
        printf("\n    that means: %s. %s\n", entry->meaning, entry->advice);
    }
    buf_free(&line);
}

static bool
print_summary(const struct failed *failed)
{
    PGresult *kinds = database_query(failed->cli, SUMMARY_SQL, 2, failed->parameters);

    if (!kinds)
        return false;
    if (failed->cli->is_json)
        printf("{\"errors\": [");
    for (int row = 0; row < PQntuples(kinds); row++)
        print_kind(failed, kinds, row);
    if (failed->cli->is_json)
        printf("\n]");
    else if (PQntuples(kinds) == 0)
        puts(failed->parameters[0] || failed->parameters[1] ? "nothing like that has failed"
                                                            : "nothing has failed");
    PQclear(kinds);
    return true;
}

/* ---- list -------------------------------------------------------------------------------- */

static void
print_json(const PGresult *rows, int row, bool is_first)
{
    buf line = BUF_INIT;

    buf_append_string(&line, is_first ? "\n  {" : ",\n  {");
    for (int column = 0; column < COLUMNS; column++) {
        const char *value = PQgetvalue(rows, row, column);

        buf_printf(&line, "%s\"%s\": ", column > 0 ? ", " : "", names[column]);
        if (column == IS_DELETION || column == IS_GIVEN_UP)
            buf_append_string(&line, *value == 't' ? "true" : "false");
        else if (column == RETRY)
            buf_append_string(&line, value);
        else
            buf_append_json_string(&line, *value ? value : NULL);
    }
    buf_append_char(&line, '}');
    fputs(buf_text(&line), stdout);
    buf_free(&line);
}

static void
print_csv(const PGresult *rows, int row, bool is_first)
{
    for (int column = 0; is_first && column < COLUMNS; column++)
        csv_write_field(stdout, names[column], column == 0);
    if (is_first)
        csv_end_row(stdout);
    for (int column = 0; column < COLUMNS; column++)
        csv_write_safe_field(stdout, PQgetvalue(rows, row, column), column == 0);
    csv_end_row(stdout);
}

static void
print_text(const PGresult *rows, int row)
{
    bool is_deletion = *PQgetvalue(rows, row, IS_DELETION) == 't';
    bool is_given_up = *PQgetvalue(rows, row, IS_GIVEN_UP) == 't';
    const char *next = PQgetvalue(rows, row, RETRY_AFTER);

    printf("%s  %s  ", PQgetvalue(rows, row, FAILED_AT), PQgetvalue(rows, row, EMAIL_ID));
    output_text(stdout, is_deletion ? "(deletion)" : PQgetvalue(rows, row, ADDRESS));
    /* A permanent failure counts as all attempts, however many there were. */
    if (is_given_up)
        printf("  given up: ");
    else
        printf("  failed %s times, %s%s: ", PQgetvalue(rows, row, RETRY),
               *next ? "next try " : "is tried again", next);
    output_text(stdout, PQgetvalue(rows, row, ERROR));
    putchar('\n');
}

static void
print_rows(struct failed *failed, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (failed->cli->is_json)
            print_json(rows, row, failed->printed == 0);
        else if (failed->is_csv)
            print_csv(rows, row, failed->printed == 0);
        else
            print_text(rows, row);
        failed->printed++;
    }
}

static bool
print_list(struct failed *failed)
{
    struct cli *cli = failed->cli;
    PGresult *declared = database_query(cli, LIST_SQL, 3, failed->parameters);
    bool is_going = declared != NULL;

    PQclear(declared);
    while (is_going) {
        PGresult *rows = database_query(cli, "FETCH 500 FROM failed", 0, NULL);

        if (!rows)
            return false;
        print_rows(failed, rows);
        is_going = PQntuples(rows) > 0;
        PQclear(rows);
    }
    return cli->status == CLI_OK;
}

/* ---- entry ------------------------------------------------------------------------------- */

int
cmd_acoustic_failed(struct cli *cli)
{
    struct failed failed = {.cli = cli, .is_csv = cli_get_option(cli, "csv") != NULL};
    bool is_summary = cli_get_option(cli, "summary") != NULL;
    long long limit = LIMIT_DEFAULT;
    char limit_text[32];

    if (failed.is_csv && (cli->is_json || is_summary))
        return output_error(cli, CLI_USAGE, "--csv is a list: without --json and --summary");
    if (!cli_get_number(cli, "limit", LIMIT_MAX, &limit) || !read_since(&failed))
        return cli->status;
    snprintf(limit_text, sizeof(limit_text), "%lld", limit);
    failed.parameters[0] = cli_get_option(cli, "error");
    failed.parameters[2] = limit_text;
    if (!database_run_statement(cli, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return cli->status;
    if (!failed.is_csv && !print_summary(&failed))
        return cli->status;
    if (!is_summary) {
        if (cli->is_json)
            printf(", \"failed\": [");
        else if (!failed.is_csv)
            putchar('\n');
        print_list(&failed);
    }
    if (cli->is_json)
        puts(is_summary ? "}" : "\n]}");
    database_run_statement(cli, "COMMIT");
    return cli->status;
}
