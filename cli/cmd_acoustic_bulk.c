/*
 * cmd_acoustic_bulk.c: `ctms acoustic bulk`: enqueues contacts into the bulk lane and sends what
 * waits there by file: bulk/run.h does the work.
 *
 * Ctrl-C ends it between two steps. What it has begun stays in the tables, and whoever runs next
 * goes on with it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <curl/curl.h>
#include <libxml/parser.h>
#include "bulk/name.h"
#include "bulk/run.h"
#include "cli/cmd_acoustic.h"
#include "cli/cmd_acoustic_bulk.h"
#include "cli/database.h"
#include "cli/how_long.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/clock.h"

/* How often a run of somebody else is looked at. */
#define LOOK_S 1.0

struct bulk {
    struct cli *cli;
    struct selection selection;
    bulk_settings settings;
    long long enqueued;
    long long missing; /* ids of the query that are no contacts, and contacts deleted meanwhile */
    bulk_result result;
    bulk_outcome outcome;
    char message[512];
    char runner[BULK_NAME_SIZE];
    char state[16]; /* of the run, for the progress */
    double state_s; /* since when */
};

static volatile sig_atomic_t is_stopping;

/* ---- enqueuing -------------------------------------------------------------------------- */

/* Says how many contacts, in how many runs, and what the ordinary way would cost. */
static bool
describe(struct bulk *bulk, buf *text)
{
    const struct selection *selection = &bulk->selection;
    PGresult *result =
        database_query(bulk->cli, "SELECT coalesce(ctms.acoustic_rate(), 0)", 0, NULL);
    double rate;

    if (!result)
        return false;
    rate = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    buf_printf(text, "%s%lld contacts to send by file, in runs of up to %lld. One by one it takes ",
               selection->is_estimate ? "about " : "", selection->count, bulk->settings.contacts);
    how_long_append(text, (double)selection->count / (rate > 0 ? rate : HOW_LONG_ASSUMED_RATE));
    if (rate > 0)
        buf_printf(text, " at the %.3g contacts a second that were sent lately.", rate);
    else
        buf_append_string(text, " at " HOW_LONG_ASSUMED_TEXT ".");
    return true;
}

static bool
announce(struct bulk *bulk)
{
    buf text = BUF_INIT;
    bool is_agreed = describe(bulk, &text) && selection_confirm(&bulk->selection, buf_text(&text));

    if (is_agreed && (bulk->cli->is_confirmed || bulk->selection.count <= SELECTION_ASK_ABOVE))
        fprintf(stderr, "ctms: %s\n", buf_text(&text));
    buf_free(&text);
    return is_agreed;
}

static bool
enqueue(void *arg, const char *ids, int count)
{
    struct bulk *bulk = arg;
    PGresult *result = database_query_again(
        bulk->cli, "SELECT ctms.enqueue_contacts($1::uuid[], 'bulk')", 1, &ids);
    long long enqueued;

    if (!result)
        return false;
    enqueued = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    bulk->enqueued += enqueued;
    bulk->missing += count - enqueued;
    PQclear(result);
    progress_show("%lld of %s%lld contacts enqueued", bulk->enqueued,
                  bulk->selection.is_estimate ? "about " : "", bulk->selection.count);
    return true;
}

/* ---- what a run tells ------------------------------------------------------------------- */

static void
show_progress(void *arg, const bulk_progress *p)
{
    struct bulk *bulk = arg;
    bool is_bytes = p->unit && strcmp(p->unit, "bytes") == 0;
    double scale = is_bytes ? 1e6 : 1;
    char done[80] = "", total[40] = "";

    if (strcmp(p->state, bulk->state) != 0) {
        snprintf(bulk->state, sizeof(bulk->state), "%s", p->state);
        bulk->state_s = clock_now_s();
    }
    if (p->total > 0)
        snprintf(total, sizeof(total), " of %.0f", (double)p->total / scale);
    if (p->unit)
        snprintf(done, sizeof(done), ", %.0f%s %s", (double)p->done / scale, total,
                 is_bytes ? "MB" : p->unit);
    progress_show("run %lld, %lld contacts: %s%s%s%s, for %.0f s", p->run_id, p->contacts, p->state,
                  p->detail ? " " : "", p->detail ? p->detail : "", done,
                  clock_now_s() - bulk->state_s);
}

static void
show_log(void *arg, log_level level, const char *message)
{
    (void)arg;
    if (level > LOG_LEVEL_INFO)
        return;
    progress_clear();
    fprintf(stderr, "ctms: %s", level <= LOG_LEVEL_WARNING ? "warning: " : "");
    output_text(stderr, message);
    fputc('\n', stderr);
}

static bool
is_work_stopping(void *arg)
{
    (void)arg;
    return is_stopping;
}

/* ---- working ---------------------------------------------------------------------------- */

/* A second signal ends the program at once. */
static void
stop(int number)
{
    (void)number;
    is_stopping = 1;
}

static void
catch_signals(bool is_catching)
{
    struct sigaction action = {.sa_handler = is_catching ? stop : SIG_DFL,
                               .sa_flags = (int)(is_catching ? SA_RESETHAND : 0)};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Without this, libxml2 would print its complaints about answers. */
static void
ignore_xml_error(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

static void
set_up_libraries(void)
{
    signal(SIGPIPE, SIG_IGN);
    srand48((long)getpid() ^ (long)time(NULL));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, ignore_xml_error);
}

/* True while somebody works on a run; says who it is when is_told is false. */
static bool
is_busy(struct bulk *bulk, bool is_told)
{
    PGresult *result = database_query(
        bulk->cli, "SELECT run_id, state, runner FROM ctms.acoustic_bulk_status() WHERE is_running",
        0, NULL);
    bool is_running = result && PQntuples(result) > 0;

    if (is_running && !is_told) {
        fprintf(stderr, "ctms: run %s (%s) is worked on by ", PQgetvalue(result, 0, 0),
                PQgetvalue(result, 0, 1));
        output_text(stderr, PQgetvalue(result, 0, 2));
        fputs(": waiting for its end\n", stderr);
    }
    PQclear(result);
    return is_running;
}

/* False if there is no use in going on. */
static bool
wait_for_other(struct bulk *bulk)
{
    struct timespec look = {.tv_sec = (time_t)LOOK_S};
    bool is_told = false;

    while (!is_stopping && is_busy(bulk, is_told)) {
        is_told = true;
        progress_show("waiting");
        nanosleep(&look, NULL);
    }
    progress_clear();
    if (is_stopping)
        snprintf(bulk->message, sizeof(bulk->message), "no longer waiting; the other one goes on");
    return !is_stopping && bulk->cli->status == CLI_OK;
}

static void
add_result(bulk_result *sum, const bulk_result *result)
{
    sum->runs += result->runs;
    sum->sent += result->sent;
    sum->refused += result->refused;
    sum->changed += result->changed;
    sum->returned += result->returned;
}

static bulk_options
options_of(struct bulk *bulk)
{
    struct cli *cli = bulk->cli;

    return (bulk_options){.settings = &bulk->settings,
                          .db_url = cli->db_url ? cli->db_url
                                                : config_string(cli->settings, "CTMS_DB_URL"),
                          .runner = bulk->runner,
                          .may_begin = cli_get_option(cli, "resume") == NULL,
                          .progress = show_progress,
                          .log = show_log,
                          .is_stopping = is_work_stopping,
                          .arg = bulk};
}

/* Contacts that cannot be sent by file had better not be enqueued for it: agents would send them
 * one by one. */
static bool
can_work(struct bulk *bulk)
{
    bulk_options options = options_of(bulk);
    char message[512];

    if (bulk_check(&options, message, sizeof(message)))
        return true;
    output_error(bulk->cli, CLI_FAILED, "nothing was enqueued: %s", message);
    return false;
}

static void
work(struct bulk *bulk)
{
    bulk_options options = options_of(bulk);

    catch_signals(true);
    do {
        bulk_result result = {.runs = 0};

        bulk->message[0] = '\0';
        bulk->outcome = bulk_work(&options, &result, bulk->message, sizeof(bulk->message));
        add_result(&bulk->result, &result);
        progress_clear();
    } while (bulk->outcome == BULK_BUSY && wait_for_other(bulk));
    catch_signals(false);
}

static bool
enqueue_selection(struct bulk *bulk)
{
    if (!selection_count(&bulk->selection) || !announce(bulk) || !can_work(bulk))
        return false;
    if (selection_each(&bulk->selection, enqueue, bulk))
        return true;
    fprintf(stderr,
            "ctms: stopped: %lld contacts were enqueued, and the others were not; the command can "
            "be repeated\n",
            bulk->enqueued);
    return false;
}

/* ---- the end ------------------------------------------------------------------------------ */

/* Giving it up is not offered where it is too late. */
static void
say_who_goes_on(struct bulk *bulk)
{
    PGresult *result = database_query(bulk->cli,
                                      "SELECT run_id, is_running, state IN ('claiming', 'making', "
                                      "'uploading') FROM ctms.acoustic_bulk_status()",
                                      0, NULL);

    if (result && !PQgetisnull(result, 0, 0) && PQgetvalue(result, 0, 1)[0] != 't')
        fprintf(stderr,
                "ctms: run %s is not done, and its contacts are held. \"ctms acoustic bulk "
                "--resume\" goes on with it, or an agent that may send by file%s\n",
                PQgetvalue(result, 0, 0),
                PQgetvalue(result, 0, 2)[0] == 't' ? "; \"ctms acoustic bulk --cancel\" gives it up"
                                                   : "");
    PQclear(result);
}

static void
judge(struct bulk *bulk)
{
    struct cli *cli = bulk->cli;
    const char *message = bulk->message[0] ? bulk->message : NULL;

    switch (bulk->outcome) {
    case BULK_DONE:
    case BULK_IDLE:
        if (cli->status == CLI_OK && bulk->result.refused > 0)
            cli->status = CLI_PARTLY;
        break;
    case BULK_BUSY:
    case BULK_STOPPED:
        if (cli->status == CLI_OK)
            output_error(cli, CLI_UNAVAILABLE, "%s", message ? message : "stopped");
        say_who_goes_on(bulk);
        break;
    case BULK_FAILED:
        output_error(cli, CLI_FAILED, "%s", message ? message : "a run was given up");
        break;
    case BULK_UNAVAILABLE:
        output_error(cli, CLI_UNAVAILABLE, "%s", message ? message : "the database is away");
        break;
    }
}

static void
print_result(const struct bulk *bulk)
{
    static const char *const outcomes[] = {
        [BULK_DONE] = "done",       [BULK_IDLE] = "idle",     [BULK_BUSY] = "busy",
        [BULK_STOPPED] = "stopped", [BULK_FAILED] = "failed", [BULK_UNAVAILABLE] = "unavailable"};
    const bulk_result *r = &bulk->result;

    if (bulk->cli->is_json) {
        printf("{\"outcome\": \"%s\", \"enqueued\": %lld, \"unknown\": %lld, \"missing\": %lld, "
               "\"runs\": %lld, \"sent\": %lld, \"refused\": %lld, \"changed\": %lld, "
               "\"returned\": %lld}\n",
               outcomes[bulk->outcome], bulk->enqueued, bulk->selection.unknown, bulk->missing,
               r->runs, r->sent, r->refused, r->changed, r->returned);
        return;
    }
    if (bulk->outcome == BULK_IDLE && r->runs == 0) {
        puts(cli_get_option(bulk->cli, "resume")
                 ? "no run is open"
                 : "nothing waits in bulk that can be sent by file");
        return;
    }
    if (r->runs == 0)
        return;
    printf("%lld contacts sent by file, in %lld run%s\n", r->sent, r->runs,
           r->runs == 1 ? "" : "s");
    if (r->refused > 0)
        printf("%lld refused by Acoustic: see ctms acoustic failed\n", r->refused);
    if (r->changed > 0)
        printf("%lld changed meanwhile, and are sent once more by the agents\n", r->changed);
    if (r->returned > 0)
        printf("%lld returned to the bulk lane: \"ctms acoustic bulk\" takes them from there\n",
               r->returned);
    if (bulk->missing > 0)
        printf("%lld are no contacts\n", bulk->missing);
}

static void
send_selection(struct bulk *bulk)
{
    set_up_libraries();
    bulk_name_runner(bulk->runner, sizeof(bulk->runner));
    if (selection_is_given(bulk->cli) && !enqueue_selection(bulk))
        return;
    work(bulk);
    judge(bulk);
    print_result(bulk);
}

static void
send_contacts(struct cli *cli)
{
    struct bulk bulk = {.cli = cli, .selection = {.cli = cli}};
    char message[512];

    if (!bulk_settings_fill(&bulk.settings, cli->settings, message, sizeof(message))) {
        output_error(cli, CLI_USAGE, "%s", message);
        return;
    }
    if (selection_open(&bulk.selection)) {
        send_selection(&bulk);
        selection_finish(&bulk.selection);
    }
    selection_close(&bulk.selection);
}

int
cmd_acoustic_bulk(struct cli *cli)
{
    const char *folder = cli_get_option(cli, "dry-run");
    bool is_status = cli_get_option(cli, "status") != NULL;
    bool is_cancel = cli_get_option(cli, "cancel") != NULL;
    bool is_resume = cli_get_option(cli, "resume") != NULL;
    int alone = is_status + is_cancel + is_resume;

    if (alone > 1 || (alone == 1 && (folder || selection_is_given(cli))))
        return output_error(cli, CLI_USAGE,
                            "--status, --cancel and --resume stand alone, without contacts");
    if (is_status)
        cmd_acoustic_bulk_show(cli);
    else if (is_cancel)
        cmd_acoustic_bulk_cancel(cli);
    else if (folder)
        cmd_acoustic_bulk_dry(cli, folder);
    else
        send_contacts(cli);
    return cli->status;
}
