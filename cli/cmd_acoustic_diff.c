/* cmd_acoustic_diff.c: `ctms acoustic diff`: shows what would be sent, without sending it. */
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/cmd_acoustic_walk.h"
#include "cli/database.h"
#include "cli/output.h"
#include "common/buf.h"

/* The changes that ctms.acoustic_diff() names, and that of a deleted contact. */
static const char *const changes[] = {"new",     "changed",   "removed",
                                      "unknown", "unchanged", "deleted"};
enum { CHANGES = sizeof(changes) / sizeof(*changes), UNCHANGED = 4 };

struct diff {
    struct cli *cli;
    bool is_all; /* show rows that have not changed too */
    long long contacts;
    long long counts[CHANGES];
    long long printed;
};

/* Deleted contacts have no rows; each one whose deletion is waiting makes one line. */
#define DIFF_SQL                                                                                   \
    "SELECT email_id, kind, name, change FROM ctms.acoustic_diff($1::uuid[]) "                     \
    "UNION ALL SELECT email_id, 'contact', '', 'deleted' FROM ctms.acoustic_deleted_contact "      \
    "WHERE is_to_send AND email_id = ANY ($1::uuid[]) ORDER BY 1, 2, 3"

static void
print_line(struct diff *diff, const PGresult *rows, int row)
{
    const char *name = PQgetvalue(rows, row, 2);

    printf("%s  %-9s  ", PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 3));
    output_text(stdout, PQgetvalue(rows, row, 1));
    if (*name) {
        putchar(' ');
        output_text(stdout, name);
    }
    putchar('\n');
    diff->printed++;
}

/* Prints the row as the server wrote it, but for what must not be shown. */
static void
print_json(struct diff *diff, const PGresult *rows, int row)
{
    const char *json = PQgetvalue(rows, row, 4);
    buf visible = BUF_INIT;

    buf_append_json_text(&visible, json, strlen(json));
    printf("%s\n  %s", diff->printed > 0 ? "," : "", buf_text(&visible));
    buf_free(&visible);
    diff->printed++;
}

static void
take_row(struct diff *diff, const PGresult *rows, int row)
{
    int change = 0;

    while (change < CHANGES - 1 && strcmp(changes[change], PQgetvalue(rows, row, 3)) != 0)
        change++;
    diff->counts[change]++;
    if (change == UNCHANGED && !diff->is_all)
        return;
    if (diff->cli->is_json)
        print_json(diff, rows, row);
    else
        print_line(diff, rows, row);
}

static bool
take_batch(void *arg, const char *ids, int count)
{
    struct diff *diff = arg;
    const char *parameters[] = {ids};
    PGresult *rows =
        database_query(diff->cli, "SELECT d.*, to_json(d) FROM (" DIFF_SQL ") AS d", 1, parameters);

    if (!rows)
        return false;
    diff->contacts += count;
    for (int row = 0; row < PQntuples(rows); row++)
        take_row(diff, rows, row);
    PQclear(rows);
    return true;
}

static void
print_counts(const struct diff *diff)
{
    bool is_json = diff->cli->is_json;

    printf(is_json ? "\n], \"contacts\": %lld" : "%lld contacts", diff->contacts);
    for (int change = 0; change < CHANGES; change++)
        printf(is_json ? ", \"%s\": %lld" : ", %2$lld %1$s", changes[change], diff->counts[change]);
    puts(is_json ? "}" : "");
}

int
cmd_acoustic_diff(struct cli *cli)
{
    struct diff diff = {.cli = cli, .is_all = cli_get_option(cli, "all") != NULL};
    const char *query = cli_get_option(cli, "query");

    if (!query)
        query = "SELECT email_id FROM ctms.pending_acoustic UNION "
                "SELECT email_id FROM ctms.acoustic_deleted_contact WHERE is_to_send "
                "ORDER BY email_id";
    if (cli->is_json)
        printf("{\"rows\": [");
    cmd_acoustic_walk_query(cli, query, take_batch, &diff);
    print_counts(&diff);
    return cli->status;
}
