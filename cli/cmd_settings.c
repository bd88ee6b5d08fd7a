/*
 * cmd_settings.c: `ctms settings`: lists and changes the settings of the database (ctms.settings),
 * which are the same for every session. Those of the programs are in common/config.c.
 */
#include <stdio.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/output.h"

static int
run_list(struct cli *cli)
{
    return database_print_rows(
        cli,
        "SELECT name, value, default_value AS \"default\", "
        "coalesce(min_value || ' to ' || max_value, 'on or off') AS allowed, description "
        "FROM ctms.list_settings() ORDER BY name",
        "SELECT json_agg(s ORDER BY name) FROM ctms.list_settings() AS s", 0, NULL);
}

/* A value that is null is the default. */
static int
change(struct cli *cli, const char *name, const char *value)
{
    const char *parameters[] = {name, value};
    PGresult *result = database_query(
        cli,
        cli->is_json ? "SELECT json_build_object('name', $1::text, 'value', v) "
                       "FROM ctms.set_setting($1, $2) AS v"
                     : "SELECT concat_ws(' is ', $1, coalesce(v, 'not set any more')) "
                       "FROM ctms.set_setting($1, $2) AS v",
        2, parameters);

    if (result && cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (result) {
        output_text(stdout, PQgetvalue(result, 0, 0));
        putchar('\n');
    }
    PQclear(result);
    return cli->status;
}

static int
run_set(struct cli *cli)
{
    return change(cli, cli->arguments[0], cli->arguments[1]);
}

static int
run_reset(struct cli *cli)
{
    return change(cli, cli->arguments[0], NULL);
}

const struct cli_command cmd_settings[] = {
    {
        .verb = "list",
        .arguments = "",
        .summary = "list the settings of the database, with defaults and limits",
        .run = run_list,
    },
    {
        .verb = "set",
        .arguments = "NAME VALUE",
        .summary = "change a setting, for every session at once",
        .text = "VALUE is on or off, or a whole number with a unit (d, h, min, s, ms), such as\n"
                "30d or \"30 days\". Settings are part of a dump.",
        .min_arguments = 2,
        .max_arguments = 2,
        .run = run_set,
    },
    {
        .verb = "reset",
        .arguments = "NAME",
        .summary = "take a setting back to its default",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_reset,
    },
    {.verb = NULL},
};
