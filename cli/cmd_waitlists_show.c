/*
 * cmd_waitlists_show.c: `ctms waitlists show`: which fields a waitlist asks for, in words, with an
 * example of what a form sends. schema_words.c has the words.
 */
#include <jansson.h>
#include <stdlib.h>
#include "cli/cmd_waitlists.h"
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/schema_words.h"

const struct cli_option cmd_waitlists_show_options[] = {
    {"raw", 0, NULL, "print only the schema, to change it and add it again"},
    {NULL, 0, NULL, NULL},
};

/* $1: name, $2: fields. If they do not fit, some others that do; null if none are found. */
#define EXAMPLE_SQL                                                                                \
    "SELECT CASE WHEN ctms.json_schema_is_valid(s.schema::jsonb, $2::jsonb) THEN $2::jsonb "       \
    "ELSE ctms.json_schema_compare(s.schema::jsonb, '{\"not\": {\"type\": \"object\"}}') "         \
    "-> 'example' END FROM ctms.waitlist_fields_schemas AS s WHERE s.name = $1"

/* What Basket sends for somebody who joins. Nothing if no example is found. */
static void
print_example(struct cli *cli, const json_t *schema)
{
    const char *name = cli->arguments[0];
    json_t *fields = schema_words_example(schema);
    char *guess = json_dumps(fields, JSON_ENCODE_ANY);
    const char *parameters[] = {name, guess};
    PGresult *result = database_try_query(cli, EXAMPLE_SQL, 2, parameters);
    json_t *body;

    json_decref(fields);
    free(guess);
    fields = database_is_ok(result) && PQntuples(result) > 0
                 ? json_loads(PQgetvalue(result, 0, 0), JSON_DECODE_ANY, NULL)
                 : NULL;
    PQclear(result);
    if (!fields)
        return;
    body = json_pack("{s:{s:s}, s:[{s:s, s:o}]}", "email", "primary_email", "somebody@example.com",
                     "waitlists", "name", name, "fields", fields);
    puts("\nA form joins somebody by POST /ctms with a body such as");
    output_json_value(body);
    json_decref(body);
}

static void
print_words(struct cli *cli, const char *pretty)
{
    json_t *schema = json_loads(pretty, JSON_DECODE_ANY, NULL);

    /* A number may be too large for our parser, not for the database. */
    if (!schema) {
        output_json(pretty);
        return;
    }
    schema_words_print(stdout, schema);
    print_example(cli, schema);
    puts("\nThe schema (--raw prints it alone):");
    output_json(pretty);
    json_decref(schema);
}

void
cmd_waitlists_report_unknown(struct cli *cli, const char *rest)
{
    const char *name = cli->arguments[0];
    PGresult *names =
        database_try_query(cli, "SELECT name FROM ctms.waitlist_fields_schemas", 0, NULL);
    near_names near;

    near_begin(&near, name);
    near_offer_rows(&near, names);
    output_error(cli, CLI_NOT_FOUND, "there is no schema named \"%s\"%s%s%s", name,
                 *rest ? "; " : "", rest, near_question(&near));
    PQclear(names);
}

void
cmd_waitlists_warn_of_twin(struct cli *cli, const char *what)
{
    const char *name = cli->arguments[0];
    PGresult *names = database_try_query(cli,
                                         "SELECT name FROM ctms.waitlist_fields_schemas "
                                         "WHERE name NOT IN ($1, 'default')",
                                         1, &name);
    near_names near;

    near_begin(&near, name);
    near_offer_rows(&near, names);
    if (near_twin(&near))
        output_warning("\"%s\" %s; did you mean \"%s\"?", name, what, near_twin(&near));
    PQclear(names);
}

int
cmd_waitlists_show(struct cli *cli)
{
    const char *parameters[] = {cli->arguments[0]};
    PGresult *result =
        database_query(cli,
                       cli->is_json ? "SELECT ctms.get_waitlist($1)"
                                    : "SELECT jsonb_pretty(schema) "
                                      "FROM ctms.waitlist_fields_schemas WHERE name = $1",
                       1, parameters);

    if (result && (PQntuples(result) == 0 || PQgetisnull(result, 0, 0)))
        cmd_waitlists_report_unknown(cli, "unknown names use \"default\"");
    else if (result && (cli->is_json || cli_get_option(cli, "raw")))
        output_json(PQgetvalue(result, 0, 0));
    else if (result)
        print_words(cli, PQgetvalue(result, 0, 0));
    PQclear(result);
    return cli->status;
}
