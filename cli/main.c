/*
 * main.c: `ctms`, the command line: lists the groups of commands and runs one of them.
 *
 * It makes no decisions about contacts: commands call the functions of the extension.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/settings_file.h"
#include "common/db_url.h"

static const struct cli_group groups[] = {
    {"clients", "clients of the REST API", cmd_clients},
    {"waitlists", "the schemas of waitlists", cmd_waitlists},
    {"acoustic", "the sync to Acoustic", cmd_acoustic},
    {"stripe", "Stripe objects", cmd_stripe},
    {"settings", "settings of the database", cmd_settings},
    {"import", "contacts from other systems", cmd_import},
    {"delete", "delete contacts", cmd_delete},
    {"doctor", "look for what is wrong with the installation", cmd_doctor},
    {"healthcheck", "check whether the sync agent is alive", cmd_healthcheck},
    {"help", "explain a command", cmd_help},
    {NULL, NULL, NULL},
};

/* --db-url may contain a password, so remove it from the arguments that other users can see. */
static char *
take_db_url(struct cli *cli)
{
    char *copy = NULL;

    if (cli->db_url) {
        copy = strdup(cli->db_url);
        memset((char *)(uintptr_t)cli->db_url, 'x', strlen(cli->db_url));
        cli->db_url = copy;
    }
    return copy;
}

static bool
read_settings(struct cli *cli)
{
    config_error error;

    cli->settings = settings_file_read(cli, &error);
    if (!cli->settings)
        output_error(cli, CLI_USAGE, "%s", error.message);
    return cli->settings != NULL;
}

/* The settings are checked already. */
static bool
open_database(struct cli *cli)
{
    const char *problem = cli->db_url ? db_url_problem(cli->db_url) : NULL;

    if (problem) {
        output_error(cli, CLI_USAGE, "--db-url %s", problem);
        return false;
    }
    return database_open(cli,
                         cli->db_url ? cli->db_url : config_string(cli->settings, "CTMS_DB_URL"));
}

static void
run_command(struct cli *cli)
{
    if (cli->command->is_offline || open_database(cli))
        cli->command->run(cli);
    if (cli->db)
        database_close(cli);
    output_finish(cli);
}

int
main(int argc, char **argv)
{
    struct cli cli = {.groups = groups, .timeout_s = -1};
    char *db_url;

    switch (options_parse(&cli, argc, argv)) {
    case OPTIONS_DONE: output_finish(&cli); return cli.status;
    case OPTIONS_INVALID: return cli.status;
    case OPTIONS_RUN: break;
    }
    db_url = take_db_url(&cli);
    if (cli.command->is_unsettled || read_settings(&cli))
        run_command(&cli);
    config_free(cli.settings);
    free(db_url);
    return cli.status;
}
