/*
 * cmd_acoustic_resync.c: `ctms acoustic resync`: enqueues contacts as if they had changed.
 *
 * It works in batches; each batch is a short transaction of its own.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/addresses.h"
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"

/* Contacts in one statement. */
#define BATCH "1000"
#define BATCH_SIZE 1000

struct resync {
    struct cli *cli;
    bool is_dry;
    json_t *batch; /* addresses to be looked up together */
    long long enqueued;
    long long unknown;
    long long reset;
};

/* The function that takes an array of contacts; both return how many there were. */
#define ENQUEUE "ctms.enqueue_contacts"
#define COUNT "cardinality"

/* $1: name, $2: the last email_id of the previous batch. Uses the index on email_id. */
#define NAMED_SQL(table, take)                                                                     \
    "WITH batch AS MATERIALIZED (SELECT email_id FROM ctms." table                                 \
    " WHERE name = $1 AND email_id > $2::uuid ORDER BY email_id LIMIT " BATCH ")"                  \
    "SELECT " take "(coalesce(array_agg(email_id), '{}')), "                                       \
    "max(email_id::text), count(*) FROM batch"

/* sql: the statement that enqueues, and the one that only counts */
static bool
enqueue_named(struct resync *resync, const char *const sql[2], const char *name)
{
    char last[64] = "00000000-0000-0000-0000-000000000000";
    long long count = BATCH_SIZE;

    while (count == BATCH_SIZE) {
        const char *parameters[] = {name, last};
        PGresult *result = database_query(resync->cli, sql[resync->is_dry], 2, parameters);

        if (!result)
            return false;
        resync->enqueued += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        count = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
        snprintf(last, sizeof(last), "%s", PQgetvalue(result, 0, 1));
        PQclear(result);
        progress_show("%lld contacts", resync->enqueued);
    }
    return true;
}

/* $1: addresses as a JSON array. Returns how many were enqueued, and the unknown ones. */
#define EMAILS_SQL(take)                                                                           \
    "WITH asked AS (SELECT address, email_id "                                                     \
    "FROM jsonb_array_elements_text($1::jsonb) AS address "                                        \
    "LEFT JOIN ctms.emails ON lower(primary_email) = lower(address)) "                             \
    "SELECT " take "(coalesce(array_agg(DISTINCT email_id) "                                       \
    "FILTER (WHERE email_id IS NOT NULL), '{}')), "                                                \
    "coalesce(jsonb_agg(address) FILTER (WHERE email_id IS NULL), '[]') FROM asked"

static void
report_unknown(struct resync *resync, const char *text)
{
    json_t *addresses = json_loads(text, 0, NULL);
    size_t i;
    json_t *address;

    json_array_foreach(addresses, i, address)
    {
        progress_clear();
        fputs("ctms: not found: ", stderr);
        output_text(stderr, json_string_value(address) ? json_string_value(address) : "?");
        fputc('\n', stderr);
        resync->unknown++;
    }
    json_decref(addresses);
}

/* Sends the batch and empties it. */
static bool
enqueue_emails(struct resync *resync)
{
    char *text = json_dumps(resync->batch, 0);
    const char *parameters[] = {text};
    PGresult *result = database_query(
        resync->cli, resync->is_dry ? EMAILS_SQL(COUNT) : EMAILS_SQL(ENQUEUE), 1, parameters);

    free(text);
    json_array_clear(resync->batch);
    if (!result)
        return false;
    resync->enqueued += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    report_unknown(resync, PQgetvalue(result, 0, 1));
    PQclear(result);
    progress_show("%lld contacts", resync->enqueued);
    return true;
}

static bool
take_email(void *arg, const char *email)
{
    struct resync *resync = arg;

    json_array_append_new(resync->batch, json_string(email));
    return json_array_size(resync->batch) < BATCH_SIZE || enqueue_emails(resync);
}

static bool
enqueue_addresses(struct resync *resync, const struct addresses *addresses)
{
    bool is_going;

    resync->batch = json_array();
    is_going = addresses_each(addresses, take_email, resync);
    if (is_going && json_array_size(resync->batch) > 0)
        is_going = enqueue_emails(resync);
    json_decref(resync->batch);
    return is_going;
}

static bool
reset_retries(struct resync *resync)
{
    PGresult *result = database_query(resync->cli,
                                      resync->is_dry ? "SELECT count(*) FROM ctms.pending_acoustic "
                                                       "WHERE retry > 0 OR retry_after IS NOT NULL"
                                                     : "SELECT ctms.reset_acoustic_retries()",
                                      0, NULL);

    if (!result)
        return false;
    resync->reset = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return true;
}

static void
print_result(const struct resync *resync, bool is_reset)
{
    if (resync->cli->is_json) {
        printf("{\"enqueued\": %lld, \"unknown\": %lld, \"reset\": %lld}\n", resync->enqueued,
               resync->unknown, resync->reset);
        return;
    }
    if (is_reset)
        printf("%lld failed contacts %s a fresh start\n", resync->reset,
               resync->is_dry ? "would have" : "have");
    printf("%lld contacts %senqueued", resync->enqueued, resync->is_dry ? "would be " : "");
    if (resync->unknown > 0)
        printf(", %lld addresses not found", resync->unknown);
    putchar('\n');
}

int
cmd_acoustic_resync(struct cli *cli)
{
    static const char *const newsletter_sql[] = {NAMED_SQL("newsletters", ENQUEUE),
                                                 NAMED_SQL("newsletters", COUNT)};
    static const char *const waitlist_sql[] = {NAMED_SQL("waitlists", ENQUEUE),
                                               NAMED_SQL("waitlists", COUNT)};
    struct resync resync = {.cli = cli, .is_dry = cli_get_option(cli, "dry-run") != NULL};
    const char *path = cli_get_option(cli, "email-file");
    const char *newsletter = cli_get_option(cli, "newsletter");
    const char *waitlist = cli_get_option(cli, "waitlist");
    bool is_reset = cli_get_option(cli, "reset-retries") != NULL;
    struct addresses addresses = {.bad = 0};
    bool is_done;

    if (!path && !newsletter && !waitlist && !is_reset)
        return output_error(cli, CLI_USAGE,
                            "choose contacts with --email-file, --newsletter, --waitlist or "
                            "--reset-retries");
    if (path && !addresses_read(&addresses, cli, path)) {
        addresses_free(&addresses);
        return cli->status;
    }
    is_done = !is_reset || reset_retries(&resync);
    is_done = is_done && (!path || enqueue_addresses(&resync, &addresses));
    is_done = is_done && (!newsletter || enqueue_named(&resync, newsletter_sql, newsletter));
    is_done = is_done && (!waitlist || enqueue_named(&resync, waitlist_sql, waitlist));
    progress_clear();
    print_result(&resync, is_reset);
    if (is_done && resync.unknown > 0)
        cli->status = CLI_NOT_FOUND;
    else if (is_done && addresses.bad > 0)
        cli->status = CLI_PARTLY;
    addresses_free(&addresses);
    return cli->status;
}
