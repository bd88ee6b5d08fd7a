/*
 * cmd_acoustic_config.c: `ctms acoustic fields` and `ctms acoustic newsletters`: what is
 * synced, and to which column.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "common/buf.h"

#define WAITLIST_INFIX "_waitlist_"
#define MAIN_COLUMNS "SELECT unnest(ctms.acoustic_main_columns())"
#define NAME_MAX_CHARACTERS 255

/* The table that --table names, or else the usual one. False after reporting another. */
static bool
table_option(struct cli *cli, const char *usual, const char **table)
{
    *table = cli_get_option(cli, "table");
    if (!*table)
        *table = usual;
    if (!*table || strcmp(*table, "main") == 0 || strcmp(*table, "waitlist") == 0)
        return true;
    output_error(cli, CLI_USAGE, "--table must be main or waitlist: other tables are fixed");
    return false;
}

/* A name that the tables can keep, with text in front of the message. */
static bool
check_length(struct cli *cli, const char *what, const char *name)
{
    size_t count = 0;

    for (; *name; name++)
        count += ((unsigned char)*name & 0xc0) != 0x80;
    if (count <= NAME_MAX_CHARACTERS)
        return true;
    output_error(cli, CLI_USAGE, "%s has at most %d characters", what, NAME_MAX_CHARACTERS);
    return false;
}

/* The name of a column of Acoustic; one that was copied with its line break fits no column. */
static bool
check_column_name(struct cli *cli, const char *what, const char *name)
{
    size_t length = strlen(name);
    bool is_well = length > 0 && name[0] != ' ' && name[length - 1] != ' ';

    for (size_t i = 0; is_well && i < length; i++)
        is_well = (unsigned char)name[i] >= ' ' && name[i] != 0x7f;
    if (is_well)
        return check_length(cli, what, name);
    output_error(cli, CLI_USAGE, "%s must have a name, without control characters or spaces around",
                 what);
    return false;
}

/* ---- what there is ---------------------------------------------------------------- */

/* True if the name is in the first column of the rows. Otherwise near has the names near to it. */
static bool
is_listed(const PGresult *rows, const char *name, near_names *near)
{
    near_begin(near, name);
    return near_offer_rows(near, rows);
}

/*
 * Warns of a member that no schema names: of the waitlist, or of any if that is null. A schema may
 * allow members that it does not name, so this is no error.
 */
static bool
check_member(struct cli *cli, const char *waitlist, const char *member)
{
    const char *parameters[] = {waitlist};
    near_names near;
    PGresult *result = database_query(
        cli,
        "SELECT key #>> '{}' FROM ctms.waitlist_fields_schemas AS s, jsonb_path_query(s.schema, "
        "'$.**.properties ? (@.type() == \"object\").keyvalue().key', silent => true) AS key "
        "WHERE s.name = coalesce($1, s.name) UNION "
        "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = 'ctms.waitlists'::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('email_id', 'fields') "
        "AND $1 IS NOT NULL ORDER BY 1",
        1, parameters);

    if (result && !is_listed(result, member, &near)) {
        if (waitlist)
            output_warning("the schema of the waitlist \"%s\" names no field \"%s\"%s", waitlist,
                           member, near_question(&near));
        else
            output_warning("no schema of a waitlist names a field \"%s\"%s", member,
                           near_question(&near));
    }
    PQclear(result);
    return result != NULL;
}

/* Warns of a waitlist that has no schema, or one that does not name the member. */
static bool
check_waitlist(struct cli *cli, const char *waitlist, const char *member)
{
    near_names near;
    PGresult *result =
        database_query(cli, "SELECT name FROM ctms.waitlist_fields_schemas ORDER BY 1", 0, NULL);
    bool is_ok = result != NULL;

    if (result && is_listed(result, waitlist, &near))
        is_ok = check_member(cli, waitlist, member);
    else if (result)
        output_warning("there is no schema of a waitlist \"%s\"%s", waitlist, near_question(&near));
    PQclear(result);
    return is_ok;
}

/* A field of the main table must be a column that ctms fills, or <waitlist>_waitlist_<member>. */
static bool
check_main_field(struct cli *cli, const char *field)
{
    const char *infix = strstr(field, WAITLIST_INFIX);
    near_names near;
    bool is_ok;
    PGresult *result;

    if (infix && infix != field && infix[strlen(WAITLIST_INFIX)]) {
        char *waitlist = xstrndup(field, (size_t)(infix - field));

        is_ok = check_waitlist(cli, waitlist, infix + strlen(WAITLIST_INFIX));
        free(waitlist);
        return is_ok;
    }
    result = database_query(cli, MAIN_COLUMNS, 0, NULL);
    is_ok = result && is_listed(result, field, &near);
    if (result && !is_ok) {
        output_error(cli, CLI_NOT_FOUND, "ctms has no field \"%s\" for the main table%s", field,
                     near_question(&near));
        fputs("  hint: --force adds a field that another system fills\n", stderr);
    }
    PQclear(result);
    return is_ok;
}

/* A column that a field and a flag would fill gets the field alone, so neither may be added to the
 * other; in any case, because Acoustic is not asked to tell columns by that. */
static bool
check_no_flag(struct cli *cli, const char *field)
{
    PGresult *result = database_query(cli,
                                      "SELECT source FROM ctms.acoustic_newsletter_mapping "
                                      "WHERE lower(destination) = lower($1) ORDER BY 1 LIMIT 1",
                                      1, &field);
    bool is_ok = result && PQntuples(result) == 0;

    if (result && !is_ok)
        output_error(cli, CLI_FAILED, "the newsletter \"%s\" sets the column \"%s\"",
                     PQgetvalue(result, 0, 0), field);
    PQclear(result);
    return is_ok;
}

/* The other way round: a column for a newsletter. */
static bool
check_no_field(struct cli *cli, const char *column)
{
    PGresult *result = database_query(
        cli,
        "SELECT FROM (" MAIN_COLUMNS " UNION ALL "
        "SELECT field FROM ctms.acoustic_field WHERE tablename = 'main') AS c (name) "
        "WHERE lower(name) = lower($1) LIMIT 1",
        1, &column);
    bool is_ok = result && PQntuples(result) == 0;

    if (result && !is_ok)
        output_error(cli, CLI_FAILED,
                     "\"%s\" is a field of contacts: no newsletter can set that column", column);
    PQclear(result);
    return is_ok;
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
    const char *parameters[1];

    if (!table_option(cli, NULL, &parameters[0]))
        return cli->status;
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
    const char *field = cli->arguments[0];
    const char *parameters[] = {NULL, field};
    bool is_known;

    if (!table_option(cli, "main", &parameters[0]))
        return cli->status;
    if (!check_column_name(cli, "a field", field) ||
        (strcmp(parameters[0], "main") == 0 && !check_no_flag(cli, field)))
        return cli->status;
    is_known = cli_get_option(cli, "force") ||
               (strcmp(parameters[0], "main") == 0 ? check_main_field(cli, field)
                                                   : check_member(cli, NULL, field));
    if (!is_known)
        return cli->status;
    return change(cli,
                  "INSERT INTO ctms.acoustic_field (tablename, field) VALUES ($1, $2) "
                  "ON CONFLICT DO NOTHING RETURNING 1",
                  2, parameters, CLI_EXISTS, "that field is synced already",
                  "added; contacts send it from their next change on");
}

int
cmd_acoustic_remove_field(struct cli *cli)
{
    const char *parameters[] = {NULL, cli->arguments[0]};

    if (!table_option(cli, "main", &parameters[0]))
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

/* Warns of a newsletter that no contact has. Looking may take long, because no index helps; when a
 * statement comes to its time limit, that is no error. */
static void
check_newsletter(struct cli *cli, const char *slug)
{
    near_names near;
    PGresult *result =
        database_try_query(cli, "SELECT FROM ctms.newsletters WHERE name = $1 LIMIT 1", 1, &slug);
    bool is_unused = database_is_ok(result) && PQntuples(result) == 0;

    PQclear(result);
    if (!is_unused)
        return;
    result =
        database_try_query(cli, "SELECT DISTINCT name FROM ctms.newsletters ORDER BY 1", 0, NULL);
    near_begin(&near, slug);
    near_offer_rows(&near, result);
    output_warning("no contact has the newsletter \"%s\" yet%s", slug, near_question(&near));
    PQclear(result);
}

int
cmd_acoustic_add_newsletter(struct cli *cli)
{
    char *colon = strchr(cli->arguments[0], ':');
    const char *parameters[] = {cli->arguments[0], colon ? colon + 1 : NULL};

    if (!colon || colon == cli->arguments[0] || !colon[1] || strchr(colon + 1, ':'))
        return output_error(cli, CLI_USAGE, "expected SLUG:COLUMN, such as hubs:sub_hubs");
    *colon = '\0';
    if (!check_length(cli, "a newsletter", parameters[0]) ||
        !check_column_name(cli, "a column", parameters[1]) || !check_no_field(cli, parameters[1]))
        return cli->status;
    change(cli,
           "INSERT INTO ctms.acoustic_newsletter_mapping (source, destination) "
           "VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
           2, parameters, CLI_EXISTS, "that newsletter has a column already",
           "added; contacts send it from their next change on");
    if (cli->status == CLI_OK)
        check_newsletter(cli, cli->arguments[0]);
    return cli->status;
}

int
cmd_acoustic_remove_newsletter(struct cli *cli)
{
    const char *parameters[] = {cli->arguments[0]};

    return change(cli, "DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = $1 RETURNING 1",
                  1, parameters, CLI_NOT_FOUND, "that newsletter has no column", "removed");
}
