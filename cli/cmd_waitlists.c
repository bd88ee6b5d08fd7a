/*
 * cmd_waitlists.c: `ctms waitlists`: waitlists, and the schemas that their fields must satisfy.
 * Removes schemas; the other commands have files of their own.
 */
#include <string.h>
#include "cli/cmd_waitlists.h"
#include "cli/database.h"
#include "cli/output.h"

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
        cmd_waitlists_report_unknown(cli, "");
    else if (result && cli->is_json)
        puts("{\"removed\": true}");
    else if (result)
        puts("removed");
    PQclear(result);
    return cli->status;
}

const struct cli_command cmd_waitlists[] = {
    {
        .verb = "list",
        .arguments = "",
        .summary = "list and count the waitlists, also mistyped ones",
        .text = "Lists every name that has a schema or that somebody has joined. Names without a\n"
                "schema come last.",
        .options = cmd_waitlists_list_options,
        .timeout_s = 3600,
        .is_for_reader = true,
        .run = cmd_waitlists_list,
    },
    {
        .verb = "show",
        .arguments = "NAME",
        .summary = "show which fields a waitlist asks for",
        .options = cmd_waitlists_show_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .is_for_reader = true,
        .run = cmd_waitlists_show,
    },
    {
        .verb = "rows",
        .arguments = "NAME",
        .summary = "show who is on a waitlist, or whose fields are wrong",
        .text = "Newest first, with the fields of the schema as columns and then all others. With\n"
                "\"default\" those of all names that have no schema of their own.\n\n"
                "  ctms waitlists rows guardian --subscribed -o guardian.csv\n"
                "  ctms waitlists rows guardian --failing --schema planned.json",
        .options = cmd_waitlists_rows_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .timeout_s = 3600,
        .is_for_reader = true,
        .run = cmd_waitlists_rows,
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
        .options = cmd_waitlists_add_options,
        .min_arguments = 2,
        .max_arguments = 2,
        .timeout_s = 3600,
        .run = cmd_waitlists_add,
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
