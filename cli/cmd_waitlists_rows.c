/*
 * cmd_waitlists_rows.c: `ctms waitlists rows`: who is on a waitlist, with fields as columns, and
 * why a schema refuses them.
 *
 * All is read in one read-only transaction. The first query finds the names of the fields; then a
 * cursor reads the rows, so that any number takes little memory.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_waitlists.h"
#include "cli/csv.h"
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

/* Fields with a column of their own; what else there is goes into one, as JSON. */
#define MOST_FIELDS 200
#define FIELD_LIMIT "201"
#define FIELD_PREFIX "fields."
#define FETCH_SQL "FETCH 500 FROM waitlist_rows"
#define INVALID_TIME "22007"
#define TIME_OUT_OF_RANGE "22008"

const struct cli_option cmd_waitlists_rows_options[] = {
    {"failing", 'f', NULL, "only rows that the schema refuses, with the reasons"},
    {"schema", 's', "FILE", "those that this schema would refuse, instead of the stored one"},
    {"subscribed", 0, NULL, "only people who are on the list"},
    {"unsubscribed", 0, NULL, "only people who have left it"},
    {"since", 0, "TIME", "only who joined at this time (UTC) or later"},
    {"limit", 'l', "N", "no more than so many, the newest"},
    {"csv", 0, NULL, "print CSV"},
    {"output", 'o', "FILE", "write to a file instead of standard output: CSV, or --json"},
    {NULL, 0, NULL, NULL},
};

/* Parameters: the name, the schema that refuses the rows that are wanted (null: all are wanted),
 * the time, the limit. The last one differs: it is the schema when fields are looked for, and then
 * the names of the fields. */
enum parameter { NAME, REFUSES, SINCE, LIMIT, LAST, PARAMETERS };

/* Columns before those of the fields. */
static const char *const fixed[] = {"address",          "email_id",        "waitlist",
                                    "subscribed",       "source",          "unsub_reason",
                                    "create_timestamp", "update_timestamp"};
#define FIXED (sizeof(fixed) / sizeof(*fixed))
#define MOST_COLUMNS (FIXED + MOST_FIELDS + 2)

struct listing {
    struct cli *cli;
    FILE *file;
    bool is_failing;
    bool is_default;
    bool is_csv;
    char *schema;     /* the planned or the stored one; null if there is none */
    bool is_borrowed; /* it is that of "default", because the name has none */
    const char *parameters[PARAMETERS];
    char *fields[MOST_FIELDS];
    int field_count;
    bool has_more; /* fields beyond those, or rows whose fields are no object */
    char *headings[MOST_COLUMNS];
    int column_count;
    int widths[MOST_COLUMNS];
    long long rows;
};

/* ---- the statements ------------------------------------------------------------------ */

/* Rows of waitlists that are wanted, as w. CASE, so that rows of other names are not judged. */
static void
append_chosen(const struct listing *listing, buf *sql)
{
    struct cli *cli = listing->cli;

    buf_append_string(sql, "(SELECT w.* FROM ctms.waitlists AS w WHERE ");
    buf_append_string(sql, listing->is_default
                               ? "CASE WHEN NOT EXISTS (SELECT FROM ctms.waitlist_fields_schemas "
                                 "AS s WHERE s.name = w.name AND s.name <> $1)"
                               : "w.name = $1 AND CASE WHEN w.name = $1");
    buf_append_string(sql, " AND ($3::timestamptz IS NULL OR w.create_timestamp >= $3)");
    if (cli_get_option(cli, "subscribed"))
        buf_append_string(sql, " AND w.subscribed");
    if (cli_get_option(cli, "unsubscribed"))
        buf_append_string(sql, " AND NOT w.subscribed");
    buf_append_string(sql, " THEN $2::jsonb IS NULL OR "
                           "NOT ctms.json_schema_is_valid($2::jsonb, w.fields) ELSE false END");
    if (listing->parameters[LIMIT])
        buf_append_string(sql, " ORDER BY w.create_timestamp DESC, w.email_id, w.name");
    buf_append_string(sql, " LIMIT $4::bigint) AS w");
}

#define OBJECT(fields) "CASE jsonb_typeof(" fields ") WHEN 'object' THEN " fields " ELSE '{}' END"

/* The names of the schema's fields, then others, those of most rows first; a null name stands for
 * rows whose fields are no object. */
static char *
make_fields_sql(const struct listing *listing)
{
    buf sql = BUF_INIT;

    buf_append_string(
        &sql, "SELECT f.name FROM (SELECT p.name, 1 AS place, 0::bigint AS count FROM "
              "jsonb_object_keys(" OBJECT(
                  "($5::jsonb -> 'properties')") ") AS p (name) "
                                                 "UNION ALL SELECT k.name, 2, count(*) FROM ");
    append_chosen(listing, &sql);
    buf_append_string(&sql,
                      " CROSS JOIN LATERAL (SELECT jsonb_object_keys(" OBJECT(
                          "w.fields") ") AS name "
                                      "UNION ALL SELECT NULL WHERE jsonb_typeof(w.fields) <> "
                                      "'object') AS k GROUP BY k.name) AS f "
                                      "GROUP BY f.name ORDER BY min(f.place), f.name IS NOT NULL, "
                                      "CASE min(f.place) WHEN 2 THEN -max(f.count) END, f.name "
                                      "LIMIT " FIELD_LIMIT);
    return buf_steal(&sql);
}

static void
append_columns(const struct listing *listing, buf *sql)
{
    buf_append_string(sql, "e.primary_email, w.email_id, ");
    buf_append_string(sql, listing->is_default ? "w.name, " : "");
    buf_append_string(sql, "CASE WHEN w.subscribed THEN 'true' ELSE 'false' END, w.source, "
                           "w.unsub_reason, w.create_timestamp, w.update_timestamp");
    for (int i = 0; i < listing->field_count; i++)
        buf_printf(sql, ", w.fields ->> ($5::text[])[%d]", i + 1);
    if (listing->has_more)
        buf_append_string(sql, ", CASE jsonb_typeof(w.fields) WHEN 'object' "
                               "THEN nullif(w.fields - $5::text[], '{}') ELSE w.fields END");
    if (listing->is_failing)
        buf_append_string(
            sql, ", array_to_string(ctms.explain_waitlist_fields($2::jsonb, w.fields), '; ')");
}

static void
append_json(const struct listing *listing, buf *sql)
{
    buf_append_string(sql,
                      "json_build_object('address', e.primary_email, 'email_id', w.email_id, "
                      "'waitlist', w.name, 'subscribed', w.subscribed, 'source', w.source, "
                      "'unsub_reason', w.unsub_reason, 'create_timestamp', w.create_timestamp, "
                      "'update_timestamp', w.update_timestamp, 'fields', w.fields");
    if (listing->is_failing)
        buf_append_string(sql, ", 'reasons', ctms.explain_waitlist_fields($2::jsonb, w.fields)");
    buf_append_string(sql, ")");
}

static char *
make_cursor_sql(const struct listing *listing)
{
    buf sql = BUF_INIT;

    buf_append_string(&sql, "DECLARE waitlist_rows NO SCROLL CURSOR FOR SELECT ");
    if (listing->cli->is_json)
        append_json(listing, &sql);
    else
        append_columns(listing, &sql);
    buf_append_string(&sql, " FROM ");
    append_chosen(listing, &sql);
    buf_append_string(&sql, " JOIN ctms.emails AS e ON e.email_id = w.email_id "
                            "ORDER BY w.create_timestamp DESC, w.email_id, w.name");
    return buf_steal(&sql);
}

/* ---- what is asked for --------------------------------------------------------------- */

static bool
check_options(struct cli *cli)
{
    bool is_csv = cli_get_option(cli, "csv") != NULL;

    if (cli->is_json && is_csv)
        output_error(cli, CLI_USAGE, "give either --csv or --json");
    else if (cli_get_option(cli, "subscribed") && cli_get_option(cli, "unsubscribed"))
        output_error(cli, CLI_USAGE, "give either --subscribed or --unsubscribed");
    return cli->status == CLI_OK;
}

static bool
check_since(struct cli *cli, const char *since)
{
    PGresult *result;

    if (!since)
        return true;
    result = database_try_query(cli, "SELECT $1::timestamptz", 1, &since);
    if (database_is_state(result, INVALID_TIME) || database_is_state(result, TIME_OUT_OF_RANGE))
        output_error(cli, CLI_USAGE,
                     "--since must be a time such as 2026-01-31 or \"2026-01-31 18:00\" (UTC)");
    else if (!database_is_ok(result))
        database_report(cli, result, NULL);
    PQclear(result);
    return cli->status == CLI_OK;
}

/* The schema by which rows of the name are judged; null after an error, and if there is none. */
static char *
read_stored_schema(struct listing *listing)
{
    PGresult *result = database_query(
        listing->cli,
        "SELECT schema, name FROM ctms.waitlist_fields_schemas WHERE name IN ($1, 'default') "
        "ORDER BY name = $1 DESC LIMIT 1",
        1, listing->parameters);
    char *schema = PQntuples(result) > 0 ? xstrdup(PQgetvalue(result, 0, 0)) : NULL;

    listing->is_borrowed =
        schema && strcmp(PQgetvalue(result, 0, 1), listing->parameters[NAME]) != 0;
    PQclear(result);
    if (result && !schema && listing->is_failing)
        output_error(listing->cli, CLI_FAILED,
                     "there is no schema for \"%s\", nor \"default\": nobody can join it",
                     listing->parameters[NAME]);
    return schema;
}

static char *
read_planned_schema(struct cli *cli, const char *path)
{
    buf argument = BUF_INIT;
    char *schema;

    buf_printf(&argument, "@%s", path);
    schema = cmd_waitlists_read_schema(cli, buf_text(&argument));
    buf_free(&argument);
    return schema;
}

/* False after an error. One that cannot be used is refused even if there are no rows. */
static bool
find_schema(struct listing *listing)
{
    PGresult *result;

    if (!listing->schema)
        listing->schema = read_stored_schema(listing);
    if (listing->cli->status != CLI_OK || !listing->is_failing)
        return listing->cli->status == CLI_OK;
    listing->parameters[REFUSES] = listing->schema;
    result = database_query(listing->cli, "SELECT ctms.json_schema_is_valid($1::jsonb, '{}')", 1,
                            listing->parameters + REFUSES);
    PQclear(result);
    return result != NULL;
}

static void
take_fields(struct listing *listing, const PGresult *names)
{
    for (int row = 0; row < PQntuples(names); row++) {
        if (PQgetisnull(names, row, 0) || listing->field_count == MOST_FIELDS)
            listing->has_more = true;
        else
            listing->fields[listing->field_count++] = xstrdup(PQgetvalue(names, row, 0));
    }
}

/* An array literal. */
static char *
make_array(const struct listing *listing)
{
    buf array = BUF_INIT;

    buf_append_char(&array, '{');
    for (int i = 0; i < listing->field_count; i++) {
        buf_append_string(&array, i > 0 ? ",\"" : "\"");
        for (const char *c = listing->fields[i]; *c; c++) {
            if (*c == '"' || *c == '\\')
                buf_append_char(&array, '\\');
            buf_append_char(&array, *c);
        }
        buf_append_char(&array, '"');
    }
    buf_append_char(&array, '}');
    return buf_steal(&array);
}

static void
add_heading(struct listing *listing, const char *prefix, const char *name)
{
    buf heading = BUF_INIT;

    buf_printf(&heading, "%s%s", prefix, name);
    listing->headings[listing->column_count++] = buf_steal(&heading);
}

/* Another column has this name, or may have it: "fields." before a name makes that of another
 * field. An empty heading would not be seen. */
static bool
is_taken(const char *name)
{
    while (strncmp(name, FIELD_PREFIX, strlen(FIELD_PREFIX)) == 0)
        name += strlen(FIELD_PREFIX);
    if (!*name)
        return true;
    for (size_t i = 0; i < FIXED; i++)
        if (strcmp(fixed[i], name) == 0)
            return true;
    return strcmp(name, "more_fields") == 0 || strcmp(name, "reasons") == 0;
}

static void
make_headings(struct listing *listing)
{
    for (size_t i = 0; i < FIXED; i++)
        if (listing->is_default || strcmp(fixed[i], "waitlist") != 0)
            add_heading(listing, "", fixed[i]);
    for (int i = 0; i < listing->field_count; i++)
        add_heading(listing, is_taken(listing->fields[i]) ? FIELD_PREFIX : "", listing->fields[i]);
    if (listing->has_more)
        add_heading(listing, "", "more_fields");
    if (listing->is_failing)
        add_heading(listing, "", "reasons");
}

/* ---- writing --------------------------------------------------------------------------- */

static void
write_csv(struct listing *listing, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        for (int column = 0; column < PQnfields(rows); column++)
            csv_write_safe_field(listing->file, PQgetvalue(rows, row, column), column == 0);
        csv_end_row(listing->file);
    }
}

static void
write_part(struct listing *listing, const PGresult *rows)
{
    const char *const *headings = (const char *const *)listing->headings;

    if (listing->cli->is_json) {
        for (int row = 0; row < PQntuples(rows); row++)
            output_json_line(listing->file, PQgetvalue(rows, row, 0));
    } else if (listing->is_csv) {
        for (int i = 0; listing->rows == 0 && i < listing->column_count; i++)
            csv_write_safe_field(listing->file, headings[i], i == 0);
        if (listing->rows == 0)
            csv_end_row(listing->file);
        write_csv(listing, rows);
    } else {
        if (listing->rows == 0)
            output_table_begin(listing->file, rows, headings, listing->widths);
        output_table_rows(listing->file, rows, listing->widths);
    }
    listing->rows += PQntuples(rows);
    if (listing->file != stdout)
        progress_show("%lld rows", listing->rows);
}

/* Of a name that has no rows: whether it has a schema, or others have rows of it. */
static bool
is_known(struct listing *listing)
{
    PGresult *names = database_query(listing->cli,
                                     "SELECT name FROM ctms.waitlist_fields_schemas UNION "
                                     "SELECT DISTINCT name FROM ctms.waitlists",
                                     0, NULL);
    near_names near;
    bool is_found;

    near_begin(&near, listing->parameters[NAME]);
    is_found = near_offer_rows(&near, names);
    if (names && !is_found)
        output_error(listing->cli, CLI_NOT_FOUND, "nobody is on a waitlist named \"%s\"%s",
                     listing->parameters[NAME], near_question(&near));
    PQclear(names);
    return is_found;
}

static void
write_rows(struct listing *listing)
{
    int fetched = 1;

    for (bool is_first = true; fetched > 0 && listing->cli->status == CLI_OK; is_first = false) {
        PGresult *rows = database_query(listing->cli, FETCH_SQL, 0, NULL);

        progress_clear();
        fetched = PQntuples(rows);
        if (rows && (fetched > 0 || (is_first && is_known(listing))))
            write_part(listing, rows);
        PQclear(rows);
        /* The reader has gone, or the disk is full: whoever closes the file says so. */
        if (ferror(listing->file))
            break;
    }
    progress_clear();
}

static bool
open_cursor(struct listing *listing)
{
    bool has_fields = !listing->cli->is_json && (listing->field_count > 0 || listing->has_more);
    char *sql = make_cursor_sql(listing);
    /* The server refuses a parameter that is not used. */
    PGresult *result =
        database_query(listing->cli, sql, has_fields ? PARAMETERS : LAST, listing->parameters);

    free(sql);
    PQclear(result);
    return result != NULL;
}

static bool
find_fields(struct listing *listing)
{
    char *sql = make_fields_sql(listing);
    PGresult *names;

    progress_show("looking for rows");
    names = database_query(listing->cli, sql, PARAMETERS, listing->parameters);
    free(sql);
    take_fields(listing, names);
    PQclear(names);
    return names != NULL;
}

static void
list_rows(struct listing *listing)
{
    char *array = NULL;
    bool is_going =
        database_run_statement(listing->cli,
                               "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") &&
        find_schema(listing);

    listing->parameters[LAST] = listing->schema;
    is_going = is_going && (listing->cli->is_json || find_fields(listing));
    array = make_array(listing);
    listing->parameters[LAST] = array;
    make_headings(listing);
    if (is_going && open_cursor(listing))
        write_rows(listing);
    progress_clear();
    free(array);
}

static void
listing_free(struct listing *listing)
{
    free(listing->schema);
    for (int i = 0; i < listing->field_count; i++)
        free(listing->fields[i]);
    for (int i = 0; i < listing->column_count; i++)
        free(listing->headings[i]);
}

/* The planned schema is read before the output is opened, so that it is not written over. */
static bool
open_files(struct listing *listing, const char *output, new_file *file)
{
    const char *planned = cli_get_option(listing->cli, "schema");

    if (planned) {
        listing->schema = read_planned_schema(listing->cli, planned);
        if (!listing->schema)
            return false;
    }
    if (!output)
        return true;
    if (!output_open_private(listing->cli, file, output))
        return false;
    listing->file = file->stream;
    return true;
}

int
cmd_waitlists_rows(struct cli *cli)
{
    const char *output = cli_get_option(cli, "output");
    const char *path = output && strcmp(output, "-") != 0 ? output : NULL;
    struct listing listing = {
        .cli = cli,
        .file = stdout,
        .is_failing = cli_get_option(cli, "failing") || cli_get_option(cli, "schema"),
        .is_default = strcmp(cli->arguments[0], "default") == 0,
        .is_csv = path || cli_get_option(cli, "csv"),
        .parameters = {cli->arguments[0], NULL, cli_get_option(cli, "since"),
                       cli_get_option(cli, "limit"), NULL},
    };
    long long limit = 0;
    new_file file;

    if (!check_options(cli) || !cli_get_number(cli, "limit", LLONG_MAX, &limit) ||
        !check_since(cli, listing.parameters[SINCE]))
        return cli->status;
    if (open_files(&listing, path, &file)) {
        list_rows(&listing);
        if (path && output_close_private(cli, &file))
            printf("%lld rows\n", listing.rows);
        if (cli->status == CLI_OK && listing.is_borrowed)
            cmd_waitlists_warn_of_twin(cli, "has no schema");
    }
    listing_free(&listing);
    return cli->status;
}
