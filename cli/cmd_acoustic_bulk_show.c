/* cmd_acoustic_bulk_show.c: `ctms acoustic bulk --status` and `--cancel`: how the runs by file
 * are. */
#include <string.h>
#include "cli/cmd_acoustic_bulk.h"
#include "cli/database.h"
#include "cli/output.h"

#define STATUS_SQL                                                                                 \
    "SELECT run_id, state, runner, is_running, contacts, round(age_s)::bigint AS age_s, "          \
    "bulk_backlog, date_trunc('second', last_end_timestamp) AS last_end_timestamp, last_state, "   \
    "last_contacts, last_error, files_left FROM ctms.acoustic_bulk_status()"

enum column {
    RUN_ID,
    STATE,
    RUNNER,
    IS_RUNNING,
    CONTACTS,
    AGE_S,
    BULK_BACKLOG,
    LAST_END,
    LAST_STATE,
    LAST_CONTACTS,
    LAST_ERROR,
    FILES_LEFT,
};

static void
print_label(const char *label)
{
    printf("%-20s ", label);
}

static void
print_open_run(const PGresult *status)
{
    print_label("run");
    if (PQgetisnull(status, 0, RUN_ID)) {
        puts("none");
        return;
    }
    printf("%s, %s, %s contacts (for %s s)\n", PQgetvalue(status, 0, RUN_ID),
           PQgetvalue(status, 0, STATE), PQgetvalue(status, 0, CONTACTS),
           PQgetvalue(status, 0, AGE_S));
    print_label("worked on by");
    if (PQgetvalue(status, 0, IS_RUNNING)[0] == 't')
        output_text(stdout, PQgetvalue(status, 0, RUNNER));
    else
        fputs("nobody: ctms acoustic bulk --resume goes on with it", stdout);
    putchar('\n');
}

static void
print_last_run(const PGresult *status)
{
    print_label("last run");
    if (PQgetisnull(status, 0, LAST_STATE)) {
        puts("none");
        return;
    }
    printf("%s, %s contacts (%s)\n", PQgetvalue(status, 0, LAST_STATE),
           PQgetvalue(status, 0, LAST_CONTACTS), PQgetvalue(status, 0, LAST_END));
    if (!PQgetisnull(status, 0, LAST_ERROR)) {
        print_label("");
        output_text(stdout, PQgetvalue(status, 0, LAST_ERROR));
        putchar('\n');
    }
}

/* Their names, so that somebody can remove them. */
static void
print_files_left(struct cli *cli, const PGresult *status)
{
    PGresult *files;

    if (strcmp(PQgetvalue(status, 0, FILES_LEFT), "0") == 0)
        return;
    files = database_query(cli,
                           "SELECT f.run_id, f.name FROM ctms.acoustic_bulk_file AS f "
                           "JOIN ctms.acoustic_bulk_run AS r ON r.run_id = f.run_id "
                           "WHERE r.end_timestamp IS NOT NULL AND f.state <> 'removed' "
                           "ORDER BY f.run_id, f.name LIMIT 100",
                           0, NULL);
    for (int row = 0; files && row < PQntuples(files); row++)
        printf("%-20s %s.csv and .xml, of run %s\n", row == 0 ? "files left" : "",
               PQgetvalue(files, row, 1), PQgetvalue(files, row, 0));
    PQclear(files);
}

void
cmd_acoustic_bulk_show(struct cli *cli)
{
    PGresult *status = database_query(
        cli, cli->is_json ? "SELECT to_jsonb(s) FROM (" STATUS_SQL ") AS s" : STATUS_SQL, 0, NULL);

    if (status && cli->is_json) {
        output_json(PQgetvalue(status, 0, 0));
    } else if (status) {
        print_open_run(status);
        print_last_run(status);
        printf("%-20s %s\n", "waiting in bulk", PQgetvalue(status, 0, BULK_BACKLOG));
        print_files_left(cli, status);
    }
    PQclear(status);
}

/* As the runner sees it: a job that may run cannot be ended. */
#define CANCEL_SQL                                                                                 \
    "SELECT c.run_id, s.is_running, EXISTS (SELECT FROM ctms.acoustic_bulk_file AS f "             \
    "WHERE f.run_id = c.run_id AND f.state IN ('starting', 'running', 'complete', 'failed')) "     \
    "FROM ctms.cancel_acoustic_bulk() AS c (run_id) CROSS JOIN ctms.acoustic_bulk_status() AS s"

void
cmd_acoustic_bulk_cancel(struct cli *cli)
{
    PGresult *result = database_query(cli, CANCEL_SQL, 0, NULL);
    const char *run_id;

    if (!result)
        return;
    run_id = PQgetvalue(result, 0, 0);
    if (PQgetisnull(result, 0, 0))
        output_error(cli, CLI_NOT_FOUND, "no run is open");
    else if (PQgetvalue(result, 0, 2)[0] == 't')
        output_error(cli, CLI_FAILED,
                     "Acoustic imports the files of run %s already: it cannot be given up", run_id);
    else if (cli->is_json)
        printf("{\"run_id\": %s}\n", run_id);
    else if (PQgetvalue(result, 0, 1)[0] == 't')
        printf("run %s is given up by who works on it, unless an import has just begun\n", run_id);
    else
        printf("run %s is to be given up; nobody works on it: ctms acoustic bulk --resume\n",
               run_id);
    PQclear(result);
}
