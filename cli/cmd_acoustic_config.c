/*
 * cmd_acoustic_config.c: `ctms acoustic fields` and `ctms acoustic newsletters`: what is
 * synced, and to which column.
 */
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"

static const char *
table_option(struct cli *cli)
{
    const char *table = cli_get_option(cli, "table");

    if (!table)
        return "main";
    if (strcmp(table, "main") != 0 && strcmp(table, "waitlist") != 0) {
        output_error(cli, CLI_USAGE, "--table must be main or waitlist: other tables are fixed");
        return NULL;
    }
    return table;
}

/* Runs a statement that returns a row if it has changed something. */
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

int
cmd_acoustic_list_fields(struct cli *cli)
{
    const char *parameters[] = {cli_get_option(cli, "table")};

    return database_print_rows(
        cli,
        "SELECT tablename AS \"table\", field FROM ctms.acoustic_field "
        "WHERE tablename = coalesce($1, tablename) ORDER BY 1, 2",
        "SELECT coalesce(json_object_agg(tablename, fields ORDER BY tablename), '{}') "
        "FROM (SELECT tablename, json_agg(field ORDER BY field) AS fields "
        "FROM ctms.acoustic_field WHERE tablename = coalesce($1, tablename) "
        "GROUP BY tablename) t",
        1, parameters);
}

int
cmd_acoustic_add_field(struct cli *cli)
{
    const char *parameters[] = {table_option(cli), cli->arguments[0]};

    if (!parameters[0])
        return cli->status;
    if (!*parameters[1])
        return output_error(cli, CLI_USAGE, "a field must have a name");
    return change(cli,
                  "INSERT INTO ctms.acoustic_field (tablename, field) VALUES ($1, $2) "
                  "ON CONFLICT DO NOTHING RETURNING 1",
                  2, parameters, CLI_EXISTS, "that field is synced already",
                  "added; contacts send it from their next change on");
}

int
cmd_acoustic_remove_field(struct cli *cli)
{
    const char *parameters[] = {table_option(cli), cli->arguments[0]};

    if (!parameters[0])
        return cli->status;
    return change(cli,
                  "DELETE FROM ctms.acoustic_field WHERE tablename = $1 AND field = $2 RETURNING 1",
                  2, parameters, CLI_NOT_FOUND, "that field is not synced", "removed");
}

/* ---- newsletters ------------------------------------------------------------------ */

int
cmd_acoustic_list_newsletters(struct cli *cli)
{
    return database_print_rows(
        cli,
        "SELECT source AS newsletter, destination AS \"column\" "
        "FROM ctms.acoustic_newsletter_mapping ORDER BY 1",
        "SELECT coalesce(json_object_agg(source, destination ORDER BY source), '{}') "
        "FROM ctms.acoustic_newsletter_mapping",
        0, NULL);
}

int
cmd_acoustic_add_newsletter(struct cli *cli)
{
    char *colon = strchr(cli->arguments[0], ':');
    const char *parameters[] = {cli->arguments[0], colon ? colon + 1 : NULL};

    if (!colon || colon == cli->arguments[0] || !colon[1] || strchr(colon + 1, ':'))
        return output_error(cli, CLI_USAGE, "expected SLUG:COLUMN, such as hubs:sub_hubs");
    *colon = '\0';
    return change(cli,
                  "INSERT INTO ctms.acoustic_newsletter_mapping (source, destination) "
                  "VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
                  2, parameters, CLI_EXISTS, "that newsletter has a column already",
                  "added; contacts send it from their next change on");
}

int
cmd_acoustic_remove_newsletter(struct cli *cli)
{
    const char *parameters[] = {cli->arguments[0]};

    return change(cli, "DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = $1 RETURNING 1",
                  1, parameters, CLI_NOT_FOUND, "that newsletter has no column", "removed");
}
