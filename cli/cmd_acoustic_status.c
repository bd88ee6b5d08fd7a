/*
 * cmd_acoustic_status.c: `ctms acoustic status`: what waits, since when, and what failed.
 *
 * It reads the whole queue, unlike the heartbeat, because an operator wants exact numbers.
 */
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"

/* Contacts that wait for their next change; $1 is the retry limit. */
#define IS_GIVEN_UP "(retry >= $1 OR coalesce(retry_after = 'infinity', false))"

/* Returns one row even when nothing waits. The age is that of contacts that are still to be
 * sent. */
#define STATUS_SQL                                                                                 \
    "SELECT count(*) AS waiting, "                                                                 \
    "count(*) FILTER (WHERE lease_until > now()) AS in_progress, "                                 \
    "count(*) FILTER (WHERE retry > 0 AND NOT " IS_GIVEN_UP ") AS to_retry, "                      \
    "count(*) FILTER (WHERE " IS_GIVEN_UP ") AS given_up, "                                        \
    "date_trunc('second', min(create_timestamp) FILTER (WHERE NOT " IS_GIVEN_UP ")) AS oldest, "   \
    "extract(epoch FROM now() - min(create_timestamp) FILTER (WHERE NOT " IS_GIVEN_UP "))::int8 "  \
    "AS oldest_age_s, (SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send) "      \
    "AS deletions, (SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send "          \
    "AND " IS_GIVEN_UP ") AS deletions_given_up FROM ctms.pending_acoustic"

/* The open run by file; no row if there is none. */
#define BULK_SQL                                                                                   \
    "SELECT run_id, state, contacts, round(age_s)::bigint AS age_s, is_running, runner "           \
    "FROM ctms.acoustic_bulk_status() WHERE run_id IS NOT NULL"

/* The most frequent errors, of deletions too, without the time at their beginning; they contain no
 * personal data. */
#define ERRORS_SQL                                                                                 \
    "SELECT count(*) AS contacts, count(*) FILTER (WHERE " IS_GIVEN_UP ") AS given_up, "           \
    "left(max(last_error), 20) AS last, error FROM (SELECT *, regexp_replace(last_error, "         \
    "'^[0-9]{4}-[0-9T:-]*Z ', '') AS error FROM (SELECT retry, retry_after, last_error "           \
    "FROM ctms.pending_acoustic UNION ALL SELECT retry, retry_after, last_error "                  \
    "FROM ctms.acoustic_deleted_contact WHERE is_to_send) AS r) AS q "                             \
    "WHERE error IS NOT NULL GROUP BY error ORDER BY contacts DESC, error LIMIT 20"

static void
print_bulk(const PGresult *bulk)
{
    if (PQntuples(bulk) == 0)
        return;
    printf("%-20s %s contacts in run %s (%s), %s", "by file", PQgetvalue(bulk, 0, 2),
           PQgetvalue(bulk, 0, 0), PQgetvalue(bulk, 0, 1),
           PQgetvalue(bulk, 0, 4)[0] == 't' ? "worked on by " : "worked on by nobody");
    if (PQgetvalue(bulk, 0, 4)[0] == 't')
        output_text(stdout, PQgetvalue(bulk, 0, 5));
    printf(", for %s s\n", PQgetvalue(bulk, 0, 3));
}

static void
print_status(const PGresult *status, const PGresult *bulk, const PGresult *errors)
{
    static const char *const labels[] = {"waiting", "being sent", "to be tried again", "given up"};

    for (int column = 0; column < 4; column++)
        printf("%-20s %s\n", labels[column], PQgetvalue(status, 0, column));
    if (strcmp(PQgetvalue(status, 0, 6), "0") != 0)
        printf("%-20s %s (%s given up)\n", "deleted contacts", PQgetvalue(status, 0, 6),
               PQgetvalue(status, 0, 7));
    if (PQgetisnull(status, 0, 4))
        printf("%-20s none\n", "oldest");
    else
        printf("%-20s %s (%s s ago)\n", "oldest", PQgetvalue(status, 0, 4),
               PQgetvalue(status, 0, 5));
    print_bulk(bulk);
    if (PQntuples(errors) > 0) {
        putchar('\n');
        output_table(stdout, errors);
    }
}

int
cmd_acoustic_status(struct cli *cli)
{
    const char *parameters[] = {config_string(cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT")};
    PGresult *status = NULL;
    PGresult *bulk = NULL;
    PGresult *errors = NULL;

    if (cli->is_json) {
        status = database_query(cli,
                                "SELECT to_jsonb(s) || jsonb_build_object('errors', (SELECT "
                                "coalesce(jsonb_agg(e), '[]') FROM (" ERRORS_SQL ") e), "
                                "'bulk_run', (SELECT to_jsonb(b) FROM (" BULK_SQL ") b)) "
                                "FROM (" STATUS_SQL ") s",
                                1, parameters);
        if (status)
            output_json(PQgetvalue(status, 0, 0));
    } else {
        status = database_query(cli, STATUS_SQL, 1, parameters);
        bulk = status ? database_query(cli, BULK_SQL, 0, NULL) : NULL;
        errors = bulk ? database_query(cli, ERRORS_SQL, 1, parameters) : NULL;
        if (errors)
            print_status(status, bulk, errors);
    }
    PQclear(status);
    PQclear(bulk);
    PQclear(errors);
    return cli->status;
}
