/*
 * cmd_waitlists_list.c: `ctms waitlists list`: every name that rows have or that has a schema, so
 * that a mistyped name is seen.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_waitlists.h"
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

/* Names that are shown. The schema "default" lets whoever stores contacts make any number. */
#define MOST_NAMES 10000
#define MOST_NAMES_TEXT "10001"

const struct cli_option cmd_waitlists_list_options[] = {
    {"check", 0, NULL, "count the rows that the stored schemas refuse, too"},
    {NULL, 0, NULL, NULL},
};

/* What the list needs before: about how many rows will be read, and the names of schemas that
 * cannot be used. That is asked for on its own, because it would keep the list from using several
 * processors. */
#define BEFORE_SQL                                                                                 \
    "SELECT (SELECT greatest(reltuples, 0)::bigint FROM pg_catalog.pg_class "                      \
    "WHERE oid = 'ctms.waitlists'::pg_catalog.regclass), "                                         \
    "(SELECT coalesce(json_agg(u), '[]') FROM ctms.list_unusable_waitlists() AS u)"

/*
 * There is no index by name, so this reads all rows of waitlists, once. $1: the unusable schemas;
 * count, joins: what is counted in addition; column: its column. Names without a schema have no
 * "fields", and come last.
 */
#define LIST_SQL(count, joins, column)                                                             \
    "WITH schemas AS MATERIALIZED (SELECT s.name::text, s.schema::jsonb, u.problem "               \
    "FROM ctms.waitlist_fields_schemas AS s LEFT JOIN "                                            \
    "json_to_recordset($1) AS u (name text, problem text) ON u.name = s.name), "                   \
    "counted AS (SELECT w.name::text, count(*) FILTER (WHERE w.subscribed) AS subscribed, "        \
    "count(*) FILTER (WHERE NOT w.subscribed) AS unsubscribed, "                                   \
    "max(w.create_timestamp) AS newest" count " FROM ctms.waitlists AS w " joins                   \
    "GROUP BY w.name) "                                                                            \
    "SELECT coalesce(c.name, s.name) AS name, coalesce(c.subscribed, 0) AS subscribed, "           \
    "coalesce(c.unsubscribed, 0) AS unsubscribed, "                                                \
    "to_char(c.newest AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS newest, " column    \
    "CASE WHEN s.name IS NOT NULL THEN coalesce((SELECT string_agg(f, ' ' ORDER BY f) "            \
    "FROM jsonb_object_keys(CASE jsonb_typeof(s.schema -> 'properties') WHEN 'object' "            \
    "THEN s.schema -> 'properties' ELSE '{}' END) AS f), '') END AS fields, s.problem AS note "    \
    "FROM counted AS c FULL JOIN schemas AS s ON s.name = c.name "                                 \
    "ORDER BY s.name IS NULL, 1 LIMIT " MOST_NAMES_TEXT

/* Without a schema that can be used, nobody can join: all rows count. */
#define COUNT_FAILING                                                                              \
    ", count(*) FILTER (WHERE CASE WHEN coalesce(s.problem, d.problem) IS NULL "                   \
    "THEN ctms.json_schema_is_valid(coalesce(s.schema, d.schema), w.fields) END IS NOT TRUE) "     \
    "AS failing"
#define FAILING_JOINS                                                                              \
    "LEFT JOIN schemas AS s ON s.name = w.name "                                                   \
    "LEFT JOIN schemas AS d ON d.name = 'default' AND s.name IS NULL "
#define FAILING_COLUMN "coalesce(c.failing, 0) AS failing, "

static const char *
cell(const PGresult *names, int row, const char *column)
{
    return PQgetvalue(names, row, PQfnumber(names, column));
}

static bool
is_empty(const PGresult *names, int row, const char *column)
{
    return PQgetisnull(names, row, PQfnumber(names, column));
}

static bool
has_schema(const PGresult *names, int row)
{
    return !is_empty(names, row, "fields");
}

static bool
has_default(const PGresult *names)
{
    for (int row = 0; row < PQntuples(names); row++)
        if (has_schema(names, row) && strcmp(cell(names, row, "name"), "default") == 0)
            return true;
    return false;
}

/* For a name without a schema: the name with one that differs in one letter, or null. */
static const char *
find_meant(const PGresult *names, int row, near_names *near)
{
    near_begin(near, cell(names, row, "name"));
    for (int other = 0; other < PQntuples(names) && has_schema(names, other); other++)
        if (!has_schema(names, row) && strcmp(cell(names, other, "name"), "default") != 0)
            near_offer(near, cell(names, other, "name"));
    return near_twin(near);
}

/* ---- as JSON ---------------------------------------------------------------------- */

static void
set_text(json_t *entry, const char *key, const char *text)
{
    json_object_set_new(entry, key, text ? json_string(text) : json_null());
}

static void
set_number(json_t *entry, const char *key, const char *text)
{
    json_object_set_new(entry, key, json_integer(strtoll(text, NULL, 10)));
}

static void
print_json(const PGresult *names, bool is_checked)
{
    json_t *list = json_array();

    for (int row = 0; row < PQntuples(names); row++) {
        json_t *entry = json_object();
        near_names near;

        set_text(entry, "name", cell(names, row, "name"));
        json_object_set_new(entry, "has_schema", json_boolean(has_schema(names, row)));
        set_number(entry, "subscribed", cell(names, row, "subscribed"));
        set_number(entry, "unsubscribed", cell(names, row, "unsubscribed"));
        set_text(entry, "newest_timestamp",
                 is_empty(names, row, "newest") ? NULL : cell(names, row, "newest"));
        if (is_checked)
            set_number(entry, "failing", cell(names, row, "failing"));
        set_text(entry, "problem", is_empty(names, row, "note") ? NULL : cell(names, row, "note"));
        set_text(entry, "did_you_mean", find_meant(names, row, &near));
        json_array_append_new(list, entry);
    }
    output_json_value(list);
    json_decref(list);
}

/* ---- for people ------------------------------------------------------------------- */

static void
set_cell(PGresult *table, int row, const char *column, buf *text)
{
    char *value = buf_steal(text);

    PQsetvalue(table, row, PQfnumber(table, column), value, (int)strlen(value));
    free(value);
}

/* Blanks at the ends of a name would not be seen. */
static void
show_name(PGresult *table, int row)
{
    const char *name = cell(table, row, "name");
    size_t length = strlen(name);
    buf text = BUF_INIT;

    if (length > 0 && name[0] != ' ' && name[length - 1] != ' ')
        return;
    buf_printf(&text, "\"%s\"", name);
    set_cell(table, row, "name", &text);
}

static void
show_note(PGresult *table, const PGresult *names, int row, bool is_default_used)
{
    near_names near;
    const char *meant = find_meant(names, row, &near);
    buf text = BUF_INIT;

    if (has_schema(names, row) && is_empty(names, row, "note"))
        return;
    if (has_schema(names, row))
        buf_printf(&text, "nobody can join: %s", cell(names, row, "note"));
    else
        buf_append_string(&text, is_default_used ? "no schema, so \"default\" is used"
                                                 : "no schema, so nobody can join");
    if (meant)
        buf_printf(&text, "; did you mean \"%s\"?", meant);
    set_cell(table, row, "note", &text);
}

static void
print_table(const PGresult *names)
{
    PGresult *table = PQcopyResult(names, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    bool is_default_used = has_default(names);

    for (int row = 0; row < PQntuples(table); row++) {
        show_name(table, row);
        show_note(table, names, row, is_default_used);
    }
    output_table(stdout, table);
    if (PQntuples(table) > MOST_NAMES)
        fputs("ctms: there are more names\n", stderr);
    PQclear(table);
}

int
cmd_waitlists_list(struct cli *cli)
{
    bool is_checked = cli_get_option(cli, "check") != NULL;
    PGresult *before = database_query(cli, BEFORE_SQL, 0, NULL);
    PGresult *names;
    const char *unusable;

    if (!before)
        return cli->status;
    unusable = PQgetvalue(before, 0, 1);
    progress_show("%s about %s rows", is_checked ? "checking" : "counting",
                  PQgetvalue(before, 0, 0));
    names = database_query(cli,
                           is_checked ? LIST_SQL(COUNT_FAILING, FAILING_JOINS, FAILING_COLUMN)
                                      : LIST_SQL("", "", ""),
                           1, &unusable);
    progress_clear();
    PQclear(before);
    if (names && cli->is_json)
        print_json(names, is_checked);
    else if (names)
        print_table(names);
    PQclear(names);
    return cli->status;
}
