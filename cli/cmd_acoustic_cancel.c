/*
 * cmd_acoustic_cancel.c: `ctms acoustic cancel`: takes contacts that wait in the bulk lane out of
 * the queue.
 *
 * It works in batches; each batch is a short transaction of its own.
 */
#include <stdlib.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/selection.h"

#define CONSEQUENCE                                                                                \
    "What has changed of them is not sent to Acoustic until they change again or are resynced."

/* The rows of the contacts $1: those that can be taken out, and those that stay. */
#define IS_BEING_SENT "coalesce(lease_until > now(), false)"
#define COUNT_SQL                                                                                  \
    "SELECT count(*) FILTER (WHERE is_bulk AND NOT (" IS_BEING_SENT ")), "                         \
    "count(*) FILTER (WHERE " IS_BEING_SENT "), "                                                  \
    "count(*) FILTER (WHERE NOT is_bulk AND NOT (" IS_BEING_SENT ")) "                             \
    "FROM ctms.pending_acoustic WHERE email_id = ANY ($1::uuid[])"

struct cancellation {
    struct cli *cli;
    struct selection selection;
    bool is_dry;
    long long cancelled;
    /* those that stay */
    long long bulk; /* others were writing them */
    long long being_sent;
    long long live;
};

static long long
number(const PGresult *result, int column)
{
    return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

static bool
count_rows(void *arg, const char *ids, int count)
{
    struct cancellation *cancellation = arg;
    PGresult *result = database_query(cancellation->cli, COUNT_SQL, 1, &ids);

    (void)count;
    if (!result)
        return false;
    cancellation->bulk += number(result, 0);
    cancellation->being_sent += number(result, 1);
    cancellation->live += number(result, 2);
    PQclear(result);
    return true;
}

/* Without contacts it also takes out what would bring contacts of a wave into the queue later. */
static bool
cancel_all(struct cancellation *cancellation)
{
    long long count = 1;

    database_watch_interrupts(true);
    while (count > 0) {
        PGresult *result =
            database_query_again(cancellation->cli, "SELECT ctms.cancel_acoustic()", 0, NULL);

        if (!result)
            return false;
        count = number(result, 0);
        cancellation->cancelled += count;
        PQclear(result);
        progress_show("%lld contacts taken out", cancellation->cancelled);
        if (database_was_interrupted()) {
            output_error(cancellation->cli, CLI_UNAVAILABLE, "interrupted");
            return false;
        }
    }
    return selection_each(&cancellation->selection, count_rows, cancellation);
}

static bool
cancel_rows(void *arg, const char *ids, int count)
{
    struct cancellation *cancellation = arg;
    PGresult *result =
        database_query_again(cancellation->cli, "SELECT ctms.cancel_acoustic($1::uuid[])", 1, &ids);

    if (!result)
        return false;
    cancellation->cancelled += number(result, 0);
    PQclear(result);
    progress_show("%lld contacts taken out", cancellation->cancelled);
    return count_rows(arg, ids, count);
}

static void
print_result(const struct cancellation *cancellation)
{
    bool is_dry = cancellation->is_dry;

    if (cancellation->cli->is_json) {
        printf("{\"cancelled\": %lld, \"being_sent\": %lld, \"live\": %lld, \"busy\": %lld, "
               "\"unknown\": %lld}\n",
               cancellation->cancelled, cancellation->being_sent, cancellation->live,
               cancellation->bulk, cancellation->selection.unknown);
        return;
    }
    printf("%lld contacts %s out of the queue\n", cancellation->cancelled,
           is_dry ? "would be taken" : "taken");
    if (cancellation->cancelled > 0)
        puts(CONSEQUENCE);
    if (cancellation->being_sent > 0)
        printf("%lld stay, because they are being sent\n", cancellation->being_sent);
    if (cancellation->live > 0)
        printf("%lld stay, because they are in the live lane\n", cancellation->live);
    if (cancellation->bulk > 0)
        printf("%lld stay, because others were writing them: repeat the command\n",
               cancellation->bulk);
    if (cancellation->selection.unknown > 0)
        printf("%lld not found\n", cancellation->selection.unknown);
}

static bool
confirm(struct cancellation *cancellation)
{
    char question[256];

    snprintf(question, sizeof(question),
             "%lld contacts will be taken out of the queue. " CONSEQUENCE, cancellation->bulk);
    return cancellation->bulk <= SELECTION_ASK_ABOVE || output_confirm(cancellation->cli, question);
}

/* The first walk only counts. False if nothing was done. */
static bool
run(struct cancellation *cancellation)
{
    bool is_done;

    if (!selection_each(&cancellation->selection, count_rows, cancellation))
        return false;
    if (cancellation->is_dry) {
        cancellation->cancelled = cancellation->bulk;
        cancellation->bulk = 0;
        return true;
    }
    if (!confirm(cancellation))
        return false;
    cancellation->bulk = cancellation->being_sent = cancellation->live = 0;
    is_done = cli_get_option(cancellation->cli, "all")
                  ? cancel_all(cancellation)
                  : selection_each(&cancellation->selection, cancel_rows, cancellation);
    if (!is_done)
        fprintf(stderr,
                "ctms: stopped: %lld contacts were taken out, and the others were not; the command "
                "can be repeated\n",
                cancellation->cancelled);
    return true;
}

int
cmd_acoustic_cancel(struct cli *cli)
{
    struct cancellation cancellation = {
        .cli = cli,
        .selection = {.cli = cli, .condition = "$2::text IS NULL"},
        .is_dry = cli_get_option(cli, "dry-run") != NULL,
    };

    if (!selection_is_given(cli))
        return output_error(cli, CLI_USAGE,
                            "choose contacts by an address, --query, --email-file, --newsletter, "
                            "--waitlist or --all");
    if (selection_open(&cancellation.selection)) {
        if (run(&cancellation))
            print_result(&cancellation);
        selection_finish(&cancellation.selection);
    }
    selection_close(&cancellation.selection);
    return cli->status;
}
