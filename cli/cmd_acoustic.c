/*
 * cmd_acoustic.c: `ctms acoustic`: the queue, and what is synced.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/output.h"

/* ---- status ------------------------------------------------------------------- */

/* $1: retry limit. One row, also where nothing waits. */
#define STATUS_SQL                                                                                 \
    "SELECT count(*) AS waiting, "                                                                 \
    "count(*) FILTER (WHERE lease_until > now()) AS in_progress, "                                 \
    "count(*) FILTER (WHERE retry > 0 AND retry < $1) AS to_retry, "                               \
    "count(*) FILTER (WHERE retry >= $1) AS given_up, "                                            \
    "date_trunc('second', min(update_timestamp) FILTER (WHERE retry < $1)) AS oldest, "            \
    "extract(epoch FROM now() - min(update_timestamp) FILTER (WHERE retry < $1))::int8 "           \
    "AS oldest_age_s FROM ctms.pending_acoustic"

/* $1: retry limit. The commonest errors; last_error holds no personal data. */
#define ERRORS_SQL                                                                                 \
    "SELECT count(*) AS contacts, count(*) FILTER (WHERE retry >= $1) AS given_up, "               \
    "last_error FROM ctms.pending_acoustic WHERE last_error IS NOT NULL "                          \
    "GROUP BY last_error ORDER BY contacts DESC, last_error LIMIT 20"

static void
print_status(const PGresult *status, const PGresult *errors)
{
    static const char *const labels[] = {"waiting", "being sent", "to be tried again", "given up"};

    for (int column = 0; column < 4; column++)
        printf("%-20s %s\n", labels[column], PQgetvalue(status, 0, column));
    if (PQgetisnull(status, 0, 4))
        printf("%-20s none\n", "oldest");
    else
        printf("%-20s %s (%s s ago)\n", "oldest", PQgetvalue(status, 0, 4),
               PQgetvalue(status, 0, 5));
    if (PQntuples(errors) > 0) {
        putchar('\n');
        output_table(stdout, errors);
    }
}

static int
run_status(struct cli *cli)
{
    const char *parameters[] = {config_string(cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT")};
    PGresult *status = NULL;
    PGresult *errors = NULL;

    if (cli->is_json) {
        status = database_query(cli,
                                "SELECT to_jsonb(s) || jsonb_build_object('errors', (SELECT "
                                "coalesce(jsonb_agg(e), '[]') FROM (" ERRORS_SQL ") e)) "
                                "FROM (" STATUS_SQL ") s",
                                1, parameters);
        if (status)
            puts(PQgetvalue(status, 0, 0));
    } else {
        status = database_query(cli, STATUS_SQL, 1, parameters);
        errors = status ? database_query(cli, ERRORS_SQL, 1, parameters) : NULL;
        if (errors)
            print_status(status, errors);
    }
    PQclear(status);
    PQclear(errors);
    return cli->status;
}

/* ---- fields --------------------------------------------------------------------- */

static const char *
table_option(struct cli *cli)
{
    const char *table = cli_option(cli, "table");

    if (!table)
        return "main";
    if (strcmp(table, "main") != 0 && strcmp(table, "waitlist") != 0) {
        output_error(cli, CLI_USAGE, "--table must be main or waitlist: the others are fixed");
        return NULL;
    }
    return table;
}

/* Runs a statement that answers a row where it changed something. */
static int
change(struct cli *cli, const char *sql, int count, const char *const *parameters,
       enum cli_exit none_status, const char *none_message, const char *done_message)
{
    PGresult *result = database_query(cli, sql, count, parameters);

    if (result && PQntuples(result) == 0)
        output_error(cli, none_status, "%s", none_message);
    else if (result && !cli->is_json)
        puts(done_message);
    PQclear(result);
    return cli->status;
}

/* Prints a table, or the rows as JSON; the statement for JSON answers one value. */
static int
print_rows(struct cli *cli, const char *sql, const char *json_sql, int count,
           const char *const *parameters)
{
    PGresult *result = database_query(cli, cli->is_json ? json_sql : sql, count, parameters);

    if (result && cli->is_json)
        puts(PQgetvalue(result, 0, 0));
    else if (result)
        output_table(stdout, result);
    PQclear(result);
    return cli->status;
}

static int
run_fields_list(struct cli *cli)
{
    const char *parameters[] = {cli_option(cli, "table")};

    return print_rows(
        cli,
        "SELECT tablename AS \"table\", field FROM ctms.acoustic_field "
        "WHERE tablename = coalesce($1, tablename) ORDER BY 1, 2",
        "SELECT coalesce(json_object_agg(tablename, fields ORDER BY tablename), '{}') "
        "FROM (SELECT tablename, json_agg(field ORDER BY field) AS fields "
        "FROM ctms.acoustic_field WHERE tablename = coalesce($1, tablename) "
        "GROUP BY tablename) t",
        1, parameters);
}

static int
run_fields_add(struct cli *cli)
{
    const char *parameters[] = {table_option(cli), cli->arguments[0]};

    if (!parameters[0])
        return cli->status;
    return change(cli,
                  "INSERT INTO ctms.acoustic_field (tablename, field) VALUES ($1, $2) "
                  "ON CONFLICT DO NOTHING RETURNING 1",
                  2, parameters, CLI_EXISTS, "that field is synced already",
                  "added; contacts send it from their next change on");
}

static int
run_fields_remove(struct cli *cli)
{
    const char *parameters[] = {table_option(cli), cli->arguments[0]};

    if (!parameters[0])
        return cli->status;
    return change(cli,
                  "DELETE FROM ctms.acoustic_field WHERE tablename = $1 AND field = $2 RETURNING 1",
                  2, parameters, CLI_NOT_FOUND, "that field is not synced", "removed");
}

/* ---- newsletters ------------------------------------------------------------------ */

static int
run_newsletters_list(struct cli *cli)
{
    return print_rows(cli,
                      "SELECT source AS newsletter, destination AS \"column\" "
                      "FROM ctms.acoustic_newsletter_mapping ORDER BY 1",
                      "SELECT coalesce(json_object_agg(source, destination ORDER BY source), '{}') "
                      "FROM ctms.acoustic_newsletter_mapping",
                      0, NULL);
}

static int
run_newsletters_add(struct cli *cli)
{
    char *colon = strchr(cli->arguments[0], ':');
    const char *parameters[] = {cli->arguments[0], colon ? colon + 1 : NULL};

    if (!colon || colon == cli->arguments[0] || !colon[1])
        return output_error(cli, CLI_USAGE, "expected SLUG:COLUMN, such as hubs:sub_hubs");
    *colon = '\0';
    return change(cli,
                  "INSERT INTO ctms.acoustic_newsletter_mapping (source, destination) "
                  "VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
                  2, parameters, CLI_EXISTS, "that newsletter has a column already",
                  "added; contacts send it from their next change on");
}

static int
run_newsletters_remove(struct cli *cli)
{
    const char *parameters[] = {cli->arguments[0]};

    return change(cli, "DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = $1 RETURNING 1",
                  1, parameters, CLI_NOT_FOUND, "that newsletter has no column", "removed");
}

static const struct cli_option table_options[] = {
    {"table", 't', "TABLE", "main (unless told) or waitlist"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command acoustic_commands[] = {
    {
        .verb = "status",
        .arguments = "",
        .summary = "show the queue: what waits, since when, what failed",
        .run = run_status,
    },
    {
        .verb = "fields list",
        .arguments = "",
        .summary = "list the synced fields",
        .options = table_options,
        .run = run_fields_list,
    },
    {
        .verb = "fields add",
        .arguments = "FIELD",
        .summary = "sync one more field",
        .options = table_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_fields_add,
    },
    {
        .verb = "fields remove",
        .arguments = "FIELD",
        .summary = "sync a field no longer",
        .options = table_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_fields_remove,
    },
    {
        .verb = "newsletters list",
        .arguments = "",
        .summary = "list which newsletter sets which column",
        .run = run_newsletters_list,
    },
    {
        .verb = "newsletters add",
        .arguments = "SLUG:COLUMN",
        .summary = "give a newsletter a column of the main table",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_newsletters_add,
    },
    {
        .verb = "newsletters remove",
        .arguments = "SLUG",
        .summary = "take a newsletter's column away",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_newsletters_remove,
    },
    {.verb = NULL},
};
