/*
 * cmd_acoustic_resync.c: `ctms acoustic resync`: enqueues contacts as if they had changed.
 *
 * It works in batches; each batch is a short transaction of its own.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/how_long.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/selection.h"

/* So many arguments are a person's doing, and do not wait behind a wave. The extension draws the
 * same line for transactions (ctms.acoustic_lane). */
#define LIVE_ARGUMENTS 100

struct resync {
    struct cli *cli;
    bool is_dry;
    bool is_reset;    /* --reset-retries */
    const char *lane; /* "live" or "bulk" */
    struct selection selection;
    double rate;    /* contacts a second that agents have sent lately; 0 if that is not known */
    double seconds; /* until the last one is sent */
    long long backlog;
    long long enqueued;
    long long missing; /* ids of the query that are no contacts, and contacts deleted meanwhile */
    long long reset;
};

/* ---- how long -------------------------------------------------------------------------- */

/* The backlog matters to those who wait behind it. */
static bool
measure(struct resync *resync)
{
    const char *parameters[] = {config_string(resync->cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT")};
    PGresult *result = database_query(resync->cli,
                                      "SELECT coalesce(ctms.acoustic_rate(), 0), "
                                      "(ctms.acoustic_backlog($1::integer)).backlog",
                                      1, parameters);
    double contacts = (double)resync->selection.count;

    if (!result)
        return false;
    resync->rate = strtod(PQgetvalue(result, 0, 0), NULL);
    /* All contacts have among them those that wait. */
    if (strcmp(resync->lane, "bulk") == 0 && !cli_get_option(resync->cli, "all"))
        resync->backlog = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    PQclear(result);
    contacts += (double)resync->backlog;
    resync->seconds = contacts / (resync->rate > 0 ? resync->rate : HOW_LONG_ASSUMED_RATE);
    return true;
}

/* Says how many contacts and how long. */
static char *
describe(const struct resync *resync)
{
    const struct selection *selection = &resync->selection;
    buf text = BUF_INIT;

    buf_printf(&text,
               "%s%lld contacts to enqueue (%s lane): ", selection->is_estimate ? "about " : "",
               selection->count, resync->lane);
    if (resync->rate > 0) {
        how_long_append(&text, resync->seconds);
        buf_printf(&text, " at the %.3g contacts a second that were sent lately", resync->rate);
    } else {
        buf_append_string(&text, "rate unknown, nothing had to wait and was sent lately; ");
        how_long_append(&text, resync->seconds);
        buf_append_string(&text, " at " HOW_LONG_ASSUMED_TEXT);
    }
    if (resync->backlog > 0)
        buf_printf(&text, ", with the %lld that wait already", resync->backlog);
    buf_append_char(&text, '.');
    return buf_steal(&text);
}

static bool
announce(struct resync *resync)
{
    char *text;
    bool is_agreed = true;

    if (!measure(resync))
        return false;
    text = describe(resync);
    if (!resync->is_dry)
        is_agreed = selection_confirm(&resync->selection, text);
    if (is_agreed && (resync->is_dry || resync->cli->is_confirmed ||
                      resync->selection.count <= SELECTION_ASK_ABOVE))
        fprintf(stderr, "ctms: %s\n", text);
    free(text);
    return is_agreed;
}

/* ---- doing it -------------------------------------------------------------------------- */

static bool
enqueue(void *arg, const char *ids, int count)
{
    struct resync *resync = arg;
    const struct selection *selection = &resync->selection;
    const char *parameters[] = {ids, resync->lane};
    PGresult *result = database_query_again(
        resync->cli, "SELECT ctms.enqueue_contacts($1::uuid[], $2)", 2, parameters);
    long long enqueued;

    if (!result)
        return false;
    enqueued = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    resync->enqueued += enqueued;
    resync->missing += count - enqueued;
    PQclear(result);
    progress_show("%lld of %s%lld contacts enqueued", resync->enqueued,
                  selection->is_estimate ? "about " : "", selection->count);
    return true;
}

#define COUNT_FAILED_SQL                                                                           \
    "SELECT (SELECT count(*) FROM ctms.pending_acoustic WHERE " CMD_ACOUSTIC_IS_FAILED ") + "      \
    "(SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE " CMD_ACOUSTIC_IS_FAILED ")"

static bool
reset_retries(struct resync *resync)
{
    if (!resync->is_reset)
        return true;
    return database_query_number(
        resync->cli, resync->is_dry ? COUNT_FAILED_SQL : "SELECT ctms.reset_acoustic_retries()",
        &resync->reset);
}

/* False if nothing was done. */
static bool
run(struct resync *resync)
{
    bool is_chosen = selection_is_given(resync->cli);

    if (is_chosen && (!selection_count(&resync->selection) || !announce(resync)))
        return false;
    if (!reset_retries(resync))
        return false;
    if (resync->is_dry)
        resync->enqueued = resync->selection.count;
    else if (is_chosen && !selection_each(&resync->selection, enqueue, resync))
        fprintf(stderr,
                "ctms: stopped: %lld contacts were enqueued, and the others were not; the command "
                "can be repeated\n",
                resync->enqueued);
    return true;
}

static void
print_result(const struct resync *resync)
{
    const struct selection *selection = &resync->selection;
    bool is_about = resync->is_dry && selection->is_estimate;

    if (resync->cli->is_json) {
        printf("{\"enqueued\": %lld, \"is_estimate\": %s, \"lane\": \"%s\", \"seconds\": ",
               resync->enqueued, is_about ? "true" : "false", resync->lane);
        printf(resync->rate > 0 ? "%.0f" : "null", resync->seconds);
        printf(", \"unknown\": %lld, \"missing\": %lld, \"reset\": %lld}\n", selection->unknown,
               resync->missing, resync->reset);
        return;
    }
    if (resync->is_reset)
        printf("%lld failed contacts %s a fresh start\n", resync->reset,
               resync->is_dry ? "would have" : "have");
    printf("%s%lld contacts %senqueued", is_about ? "about " : "", resync->enqueued,
           resync->is_dry ? "would be " : "");
    if (selection->unknown > 0)
        printf(", %lld not found", selection->unknown);
    if (resync->missing > 0)
        printf(", %lld are no contacts", resync->missing);
    putchar('\n');
}

static bool
is_live(const struct cli *cli)
{
    return cli_get_option(cli, "live") ||
           (cli->argument_count <= LIVE_ARGUMENTS && !selection_is_by_option(cli));
}

int
cmd_acoustic_resync(struct cli *cli)
{
    struct resync resync = {
        .cli = cli,
        .selection = {.cli = cli},
        .lane = is_live(cli) ? "live" : "bulk",
        .is_dry = cli_get_option(cli, "dry-run") != NULL,
        .is_reset = cli_get_option(cli, "reset-retries") != NULL,
    };

    if (!selection_is_given(cli) && !resync.is_reset)
        return output_error(cli, CLI_USAGE,
                            "choose contacts by an address, --query, --email-file, --newsletter, "
                            "--waitlist or --all; or give --reset-retries");
    if (selection_open(&resync.selection)) {
        if (run(&resync))
            print_result(&resync);
        selection_finish(&resync.selection);
    }
    selection_close(&resync.selection);
    return cli->status;
}
