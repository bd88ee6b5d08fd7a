/*
 * cmd_import.c: `ctms import`: the table of its commands: an older database, CSV files, ids of the
 * Mozilla Foundation. The import itself is in import/.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/cmd_import_mofo.h"
#include "cli/import/csv.h"
#include "cli/import/database.h"
#include "cli/import/import.h"
#include "cli/input.h"
#include "cli/output.h"
#include "common/db_url.h"

/* An import may take long, and so may a single statement of it. */
#define TIMEOUT_S 86400

static bool
are_options_valid(struct cli *cli)
{
    if (!cli_get_option(cli, "enqueue") || !cli_get_option(cli, "pending"))
        return true;
    output_error(cli, CLI_USAGE,
                 "--enqueue includes the contacts of --pending: give only one of them");
    return false;
}

/* Other users can read the arguments of a running program, so remove what may be a password. */
static char *
take_url(struct cli *cli)
{
    char *url = input_read_argument(cli, cli->arguments[0]);
    const char *problem;

    memset(cli->arguments[0], 'x', strlen(cli->arguments[0]));
    if (!url)
        return NULL;
    url[strcspn(url, "\r\n")] = '\0';
    problem = db_url_problem(url);
    if (!problem)
        return url;
    output_error(cli, CLI_USAGE, "the URL of the source %s", problem);
    free(url);
    return NULL;
}

static int
run_ctms_api(struct cli *cli)
{
    struct import import = {.cli = cli};
    const char *schema = cli_get_option(cli, "schema");
    char *url;

    if (!are_options_valid(cli))
        return cli->status;
    url = take_url(cli);
    if (url && import_database_open(&import, url, schema ? schema : "public"))
        import_run(&import, false);
    if (import.source)
        import.source->close(&import);
    free(url);
    return cli->status;
}

static int
run_csv(struct cli *cli)
{
    struct import import = {.cli = cli};

    if (are_options_valid(cli) && import_csv_open(&import, cli->arguments[0]))
        import_run(&import, true);
    if (import.source)
        import.source->close(&import);
    return cli->status;
}

#define COMMON_OPTIONS                                                                             \
    {"dry-run", 'n', NULL, "check, count and report; store nothing"}, IMPORT_REFUSAL_OPTIONS,      \
        {"enqueue", 0, NULL, "send every contact of the source to Acoustic"},                      \
    {                                                                                              \
        "left-out", 0, "FILE", "file for rows that repeat others (left-out.jsonl)"                 \
    }

static const struct cli_option csv_options[] = {COMMON_OPTIONS, {NULL, 0, NULL, NULL}};
static const struct cli_option ctms_api_options[] = {
    COMMON_OPTIONS,
    {"pending", 0, NULL, "send the contacts that wait in the older queue"},
    {"schema", 0, "NAME", "schema of the older tables (public)"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_import[] = {
    {
        .verb = "ctms-api",
        .arguments = "URL",
        .summary = "adopt an older database of ctms-api",
        .text =
            "URL is a libpq URI or keywords, or @FILE that holds one. Put passwords there or into\n"
            "a libpq password file. Restore a dump into a database first.\n\n"
            "Either everything is stored or nothing. The command can be repeated: rows that\n"
            "changed in the older database since then are replaced. Without --pending or\n"
            "--enqueue nothing is sent to Acoustic. docs/adoption.md has the rules.",
        .options = ctms_api_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .timeout_s = TIMEOUT_S,
        .run = run_ctms_api,
    },
    {
        .verb = "csv",
        .arguments = "FOLDER",
        .summary = "import contacts from CSV files",
        .text =
            "FOLDER has a file for each table: emails.csv, newsletters.csv, waitlists.csv, "
            "fxa.csv,\n"
            "amo.csv, mofo.csv and so on, or files named ...contact_to_email....csv as the sample\n"
            "data of ctms-api. The first line names the columns; an empty cell is NULL. The rules\n"
            "are those of \"ctms import ctms-api\". Refused rows are named with file and line;\n"
            "--max-errors leaves them out and saves them, and the exit code is 7.",
        .options = csv_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .timeout_s = TIMEOUT_S,
        .run = run_csv,
    },
    {
        .verb = "mofo",
        .arguments = "FILE.csv",
        .summary = "import ids of the Mozilla Foundation",
        .text =
            "FILE.csv has the columns primary_email, mofo_email_id, mofo_contact_id. The contacts\n"
            "become relevant to the foundation. An empty id leaves the stored one as it is.\n"
            "Rows whose address is unknown are written to invalid-emails.csv; the exit code is 4.",
        .options = cmd_import_mofo_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .timeout_s = TIMEOUT_S,
        .run = cmd_import_mofo,
    },
    {.verb = NULL},
};
