/*
 * cmd_acoustic_status.c: `ctms acoustic status`: what waits, since when, what failed.
 *
 * It reads the whole queue, unlike the heartbeat: an operator wants exact numbers.
 */
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"

/* $1: retry limit. One row, also where nothing waits. */
#define STATUS_SQL                                                                                 \
    "SELECT count(*) AS waiting, "                                                                 \
    "count(*) FILTER (WHERE lease_until > now()) AS in_progress, "                                 \
    "count(*) FILTER (WHERE retry > 0 AND retry < $1) AS to_retry, "                               \
    "count(*) FILTER (WHERE retry >= $1) AS given_up, "                                            \
    "date_trunc('second', min(update_timestamp) FILTER (WHERE retry < $1)) AS oldest, "            \
    "extract(epoch FROM now() - min(update_timestamp) FILTER (WHERE retry < $1))::int8 "           \
    "AS oldest_age_s FROM ctms.pending_acoustic"

/* $1: retry limit. The commonest errors; last_error holds no personal data. */
#define ERRORS_SQL                                                                                 \
    "SELECT count(*) AS contacts, count(*) FILTER (WHERE retry >= $1) AS given_up, "               \
    "last_error FROM ctms.pending_acoustic WHERE last_error IS NOT NULL "                          \
    "GROUP BY last_error ORDER BY contacts DESC, last_error LIMIT 20"

static void
print_status(const PGresult *status, const PGresult *errors)
{
    static const char *const labels[] = {"waiting", "being sent", "to be tried again", "given up"};

    for (int column = 0; column < 4; column++)
        printf("%-20s %s\n", labels[column], PQgetvalue(status, 0, column));
    if (PQgetisnull(status, 0, 4))
        printf("%-20s none\n", "oldest");
    else
        printf("%-20s %s (%s s ago)\n", "oldest", PQgetvalue(status, 0, 4),
               PQgetvalue(status, 0, 5));
    if (PQntuples(errors) > 0) {
        putchar('\n');
        output_table(stdout, errors);
    }
}

int
acoustic_status(struct cli *cli)
{
    const char *parameters[] = {config_string(cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT")};
    PGresult *status = NULL;
    PGresult *errors = NULL;

    if (cli->is_json) {
        status = database_query(cli,
                                "SELECT to_jsonb(s) || jsonb_build_object('errors', (SELECT "
                                "coalesce(jsonb_agg(e), '[]') FROM (" ERRORS_SQL ") e)) "
                                "FROM (" STATUS_SQL ") s",
                                1, parameters);
        if (status)
            puts(PQgetvalue(status, 0, 0));
    } else {
        status = database_query(cli, STATUS_SQL, 1, parameters);
        errors = status ? database_query(cli, ERRORS_SQL, 1, parameters) : NULL;
        if (errors)
            print_status(status, errors);
    }
    PQclear(status);
    PQclear(errors);
    return cli->status;
}
