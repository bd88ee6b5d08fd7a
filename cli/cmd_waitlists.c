/*
 * cmd_waitlists.c: `ctms waitlists`: lists, shows, stores and removes the schemas that the fields
 * of waitlists must satisfy.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/error_text.h"
#include "cli/input.h"
#include "cli/output.h"

/* Bytes that are shown of an example document; --json has all of it. */
#define EXAMPLE_BYTES 200
/* SQLSTATE: stored rows do not satisfy the schema. */
#define STATE_ROWS_FAIL "23514"

static int
run_list(struct cli *cli)
{
    return database_print_rows(
        cli,
        "SELECT name, coalesce((SELECT string_agg(field, ' ' ORDER BY field) "
        "FROM jsonb_object_keys(CASE jsonb_typeof(schema -> 'properties') "
        "WHEN 'object' THEN schema -> 'properties' ELSE '{}' END) AS field), "
        "'') AS fields FROM ctms.waitlist_fields_schemas ORDER BY name",
        "SELECT ctms.list_waitlists()", 0, NULL);
}

static int
run_show(struct cli *cli)
{
    const char *parameters[] = {cli->arguments[0]};
    PGresult *result =
        database_query(cli,
                       cli->is_json ? "SELECT ctms.get_waitlist($1)"
                                    : "SELECT jsonb_pretty(schema) "
                                      "FROM ctms.waitlist_fields_schemas WHERE name = $1",
                       1, parameters);

    if (result && (PQntuples(result) == 0 || PQgetisnull(result, 0, 0)))
        output_error(cli, CLI_NOT_FOUND,
                     "there is no schema named \"%s\"; unknown names use \"default\"",
                     cli->arguments[0]);
    else if (result)
        output_json(PQgetvalue(result, 0, 0));
    PQclear(result);
    return cli->status;
}

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
print_report(const char *text)
{
    json_t *report = json_loads(text, 0, NULL);
    const char *name = json_string_value(json_object_get(report, "name"));
    const char *action = json_string_value(json_object_get(report, "action"));
    bool is_stored = json_is_true(json_object_get(report, "stored"));
    json_int_t failing = json_integer_value(json_object_get(report, "failing_rows"));
    char *examples = json_dumps(json_object_get(report, "examples"), 0);

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
    if (failing > 0 && examples)
        error_text_print_detail(stdout, examples);
    if (action && strcmp(action, "updated") == 0)
        print_compatibility(report);
    free(examples);
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
    database_report(cli, result,
                    database_is_state(result, STATE_ROWS_FAIL) ? "--new-rows-only stores it anyway."
                                                               : NULL);
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

static int
run_add(struct cli *cli)
{
    char *schema = input_read_argument(cli, cli->arguments[1]);
    PGresult *result = schema && check_json(cli, schema) ? set_schema(cli, schema) : NULL;

    if (result && cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (result)
        print_report(PQgetvalue(result, 0, 0));
    PQclear(result);
    free(schema);
    return cli->status;
}

static int
run_remove(struct cli *cli)
{
    const char *name = cli->arguments[0];
    const char *parameters[] = {name};
    char question[512];
    PGresult *result;

    snprintf(question, sizeof(question),
             strcmp(name, "default") == 0
                 ? "Without the schema \"%.255s\", waitlists of unknown names are refused."
                 : "Rows of \"%.255s\" will be checked against the schema \"default\".",
             name);
    if (!output_confirm(cli, question))
        return cli->status;
    result = database_query(cli, "SELECT ctms.drop_waitlist_schema($1)", 1, parameters);
    if (result && strcmp(PQgetvalue(result, 0, 0), "t") != 0)
        output_error(cli, CLI_NOT_FOUND, "there is no schema named \"%s\"", name);
    else if (result && cli->is_json)
        puts("{\"removed\": true}");
    else if (result)
        puts("removed");
    PQclear(result);
    return cli->status;
}

static const struct cli_option add_options[] = {
    {"dry-run", 'n', NULL, "check and report, store nothing"},
    {"new-rows-only", 0, NULL, "store it even if existing rows do not satisfy it"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_waitlists[] = {
    {
        .verb = "list",
        .arguments = "",
        .summary = "list the waitlists that have a schema",
        .run = run_list,
    },
    {
        .verb = "show",
        .arguments = "NAME",
        .summary = "show the schema of a waitlist",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_show,
    },
    {
        .verb = "add",
        .arguments = "NAME SCHEMA",
        .summary = "onboard a waitlist, or change its schema",
        .text =
            "SCHEMA is a JSON Schema of the list's fields: its text, @FILE, or @- for standard\n"
            "input. It is refused when it is not valid, or when existing rows of that list do\n"
            "not satisfy it. Keywords that do nothing, such as misspelled ones, are warned of.\n"
            "It takes effect at once, for open sessions too.\n\n"
            "  ctms waitlists add guardian '{\"type\": \"object\", \"properties\":\n"
            "      {\"geo\": {\"type\": \"string\", \"maxLength\": 2}}, \"required\": [\"geo\"]}'",
        .options = add_options,
        .min_arguments = 2,
        .max_arguments = 2,
        .timeout_s = 3600,
        .run = run_add,
    },
    {
        .verb = "remove",
        .arguments = "NAME",
        .summary = "remove the schema of a waitlist; its rows stay",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_remove,
    },
    {.verb = NULL},
};
