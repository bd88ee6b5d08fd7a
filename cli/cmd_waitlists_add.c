/*
 * cmd_waitlists_add.c: `ctms waitlists add`: stores the schema of a waitlist, or says what is in
 * its way: what is wrong with it, and which stored rows do not satisfy it.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_waitlists.h"
#include "cli/database.h"
#include "cli/error_text.h"
#include "cli/input.h"
#include "cli/output.h"
#include "common/buf.h"

/* Bytes that are shown of an example document; --json has all of it. */
#define EXAMPLE_BYTES 200
/* SQLSTATE: stored rows do not satisfy the schema. */
#define STATE_ROWS_FAIL "23514"
#define HINT_NEW_ROWS_ONLY "--new-rows-only stores it anyway."

const struct cli_option cmd_waitlists_add_options[] = {
    {"dry-run", 'n', NULL, "check and report, store nothing"},
    {"new-rows-only", 0, NULL, "store it even if existing rows do not satisfy it"},
    {NULL, 0, NULL, NULL},
};

/* ---- stored rows that do not satisfy it -------------------------------------------- */

/* $1: [{"email_id", "name"}], $2: the schema. */
#define FAILING_SQL                                                                                \
    "SELECT e.primary_email, w.name, "                                                             \
    "array_to_string(ctms.explain_waitlist_fields($2::jsonb, w.fields), '; ') "                    \
    "FROM jsonb_to_recordset($1::jsonb) AS x (email_id uuid, name text) "                          \
    "JOIN ctms.waitlists AS w ON w.email_id = x.email_id AND w.name = x.name "                     \
    "JOIN ctms.emails AS e ON e.email_id = w.email_id ORDER BY w.id"

static void
print_failing_rows(struct cli *cli, FILE *stream, const PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        fputs("  ", stream);
        output_text(stream, PQgetvalue(rows, row, 0));
        if (strcmp(PQgetvalue(rows, row, 1), cli->arguments[0]) != 0) {
            fputs(" on \"", stream);
            output_text(stream, PQgetvalue(rows, row, 1));
            fputc('"', stream);
        }
        fputs(": ", stream);
        output_text(stream, PQgetvalue(rows, row, 2));
        fputc('\n', stream);
    }
}

/* As an argument that can be pasted into a shell. */
static void
print_argument(FILE *stream, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./-";

    if (*text && *text != '-' && !text[strspn(text, plain)]) {
        fputs(text, stream);
        return;
    }
    fputc('\'', stream);
    for (const char *end; (end = strchr(text, '\'')) != NULL; text = end + 1) {
        char *part = xstrndup(text, (size_t)(end - text));

        output_text(stream, part);
        fputs("'\\''", stream);
        free(part);
    }
    output_text(stream, text);
    fputc('\'', stream);
}

static void
print_more(struct cli *cli, FILE *stream, json_int_t more)
{
    const char *schema = cli->arguments[1];
    bool is_file = schema[0] == '@' && strcmp(schema, "@-") != 0;

    if (more <= 0)
        return;
    fprintf(stream, "  and %" JSON_INTEGER_FORMAT " more: ctms waitlists rows ", more);
    print_argument(stream, cli->arguments[0]);
    fputs(" --failing --schema ", stream);
    print_argument(stream, is_file ? schema + 1 : "FILE");
    fputc('\n', stream);
}

/*
 * Names the contacts by their addresses, and says what is there: this is the terminal of somebody
 * who may read both. Who may not gets what the server has said, which names neither.
 */
static void
print_failing(struct cli *cli, FILE *stream, const json_t *examples, const char *schema)
{
    char *text = json_dumps(examples, 0);
    const char *parameters[] = {text, schema};
    PGresult *rows = database_try_query(cli, FAILING_SQL, 2, parameters);

    if (text && database_is_ok(rows))
        print_failing_rows(cli, stream, rows);
    else if (text)
        error_text_print_detail(stream, text);
    PQclear(rows);
    free(text);
}

/* The DETAIL of the refusal: the first rows, and {"more"}. */
static void
report_refusal(struct cli *cli, const PGresult *result, const char *schema)
{
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    json_t *rows = detail ? json_loads(detail, 0, NULL) : NULL;
    size_t count = json_array_size(rows);
    json_t *more = count > 0 ? json_object_get(json_array_get(rows, count - 1), "more") : NULL;

    if (!rows || cli->is_json) {
        database_report(cli, result, HINT_NEW_ROWS_ONLY);
    } else {
        output_error(cli, CLI_FAILED, "%s (" STATE_ROWS_FAIL ")",
                     PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        more = json_incref(more);
        if (more)
            json_array_remove(rows, count - 1);
        print_failing(cli, stderr, rows, schema);
        print_more(cli, stderr, json_integer_value(more));
        json_decref(more);
        fputs("  hint: " HINT_NEW_ROWS_ONLY "\n", stderr);
    }
    json_decref(rows);
}

/* ---- storing it --------------------------------------------------------------------- */

/* Says whether everything that the stored schema accepted is still accepted. */
static void
print_compatibility(const json_t *report)
{
    const char *word = json_string_value(json_object_get(report, "compatibility"));
    char *example;

    if (!word)
        return;
    if (strcmp(word, "incompatible") != 0) {
        puts(strcmp(word, "compatible") == 0
                 ? "  accepts everything that the stored schema accepts"
                 : "  whether it accepts everything that the stored schema accepts is unknown");
        return;
    }
    example = json_dumps(json_object_get(report, "example"), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    fputs("  does not accept everything that the stored schema accepts, for example ", stdout);
    if (example && strlen(example) > EXAMPLE_BYTES)
        strcpy(example + EXAMPLE_BYTES - 3, "...");
    output_text(stdout, example ? example : "?");
    putchar('\n');
    free(example);
}

/* Says what was done or would be done, and which stored rows do not satisfy the schema. */
static void
print_report(struct cli *cli, const char *text, const char *schema)
{
    json_t *report = json_loads(text, 0, NULL);
    const char *name = json_string_value(json_object_get(report, "name"));
    const char *action = json_string_value(json_object_get(report, "action"));
    bool is_stored = json_is_true(json_object_get(report, "stored"));
    json_int_t failing = json_integer_value(json_object_get(report, "failing_rows"));
    const json_t *examples = json_object_get(report, "examples");

    /* A number may be too large for our parser, not for the database. */
    if (!report) {
        output_json(text);
        return;
    }
    output_text(stdout, name ? name : "?");
    if (!action || strcmp(action, "no_change") == 0)
        fputs(": schema unchanged", stdout);
    else
        printf(": schema %s%s", is_stored ? "" : "would be ", action);
    if (failing > 0)
        printf("; %" JSON_INTEGER_FORMAT " stored rows do not satisfy it:", failing);
    putchar('\n');
    if (failing > 0) {
        print_failing(cli, stdout, examples, schema);
        print_more(cli, stdout, failing - (json_int_t)json_array_size(examples));
    }
    if (action && strcmp(action, "updated") == 0)
        print_compatibility(report);
    if (action && strcmp(action, "created") == 0)
        cmd_waitlists_warn_of_twin(cli, "is a new name");
    json_decref(report);
}

static PGresult *
set_schema(struct cli *cli, const char *schema)
{
    bool is_dry_run = cli_get_option(cli, "dry-run") != NULL;
    bool is_new_rows_only = cli_get_option(cli, "new-rows-only") != NULL;
    const char *parameters[] = {cli->arguments[0], schema, is_dry_run ? "true" : "false",
                                is_new_rows_only ? "ignore" : "check"};
    PGresult *result = database_try_query(
        cli, "SELECT ctms.set_waitlist_schema($1, $2::jsonb, $3, $4)", 4, parameters);

    if (database_is_ok(result))
        return result;
    if (database_is_state(result, STATE_ROWS_FAIL))
        report_refusal(cli, result, schema);
    else
        database_report(cli, result, NULL);
    PQclear(result);
    return NULL;
}

/*
 * The server says what is wrong with JSON, but not where, and of several members of one name it
 * keeps the last, and says nothing about the others. What only our parser refuses is left to it.
 */
static bool
check_json(struct cli *cli, const char *schema)
{
    json_error_t error;
    json_t *value =
        json_loads(schema, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    enum json_error_code code;

    json_decref(value);
    if (value)
        return true;
    code = json_error_code(&error);
    if (code == json_error_duplicate_key)
        output_error(cli, CLI_FAILED, "the schema has a member twice: line %d, %s", error.line,
                     error.text);
    else if (code == json_error_invalid_syntax || code == json_error_premature_end_of_input ||
             code == json_error_end_of_input_expected)
        output_error(cli, CLI_FAILED, "the schema is not JSON: line %d, column %d: %s", error.line,
                     error.column, error.text);
    return cli->status == CLI_OK;
}

char *
cmd_waitlists_read_schema(struct cli *cli, const char *argument)
{
    char *schema = input_read_argument(cli, argument);

    if (schema && check_json(cli, schema))
        return schema;
    free(schema);
    return NULL;
}

int
cmd_waitlists_add(struct cli *cli)
{
    char *schema = cmd_waitlists_read_schema(cli, cli->arguments[1]);
    PGresult *result = schema ? set_schema(cli, schema) : NULL;

    if (result && cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (result)
        print_report(cli, PQgetvalue(result, 0, 0), schema);
    PQclear(result);
    free(schema);
    return cli->status;
}
