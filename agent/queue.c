/* queue.c: the statements on ctms.pending_acoustic: claims, rows, outcomes, leases; see queue.h. */
#include "agent/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

static const pg_statement claim_statement = {
    "SELECT email_id, generation, retry, state, is_bulk"
    " FROM ctms.claim_acoustic($1, $2::int, $3::int, make_interval(secs => $4::float8), $5::int)",
    5,
    false,
    "email_id,generation,retry,state,is_bulk",
    PG_ANY_ROWS,
    false};
static const pg_statement rows_statement = {
    "SELECT email_id, kind, fields FROM ctms.acoustic_outgoing($1::uuid[], $2::text[])",
    2,
    true,
    "email_id,kind,fields",
    PG_ANY_ROWS,
    false};
static const pg_statement finish_statement = {
    "SELECT ctms.finish_acoustic($1, $2::uuid[], $3::bigint[], $4::text[], $5::text[])",
    5,
    false,
    "finish_acoustic",
    PG_ONE_ROW,
    false};
static const pg_statement fail_statement = {
    "SELECT ctms.fail_acoustic($1, $2::uuid[], $3::bigint[], $4::text[], $5::boolean[], $6::int)",
    6,
    false,
    "fail_acoustic",
    PG_ONE_ROW,
    false};
static const pg_statement release_statement = {
    "SELECT ctms.release_acoustic($1)", 1, false, "release_acoustic", PG_ONE_ROW, false};
static const pg_statement backlog_statement = {
    "SELECT b.backlog, b.retry_backlog,"
    " max(l.backlog) FILTER (WHERE l.lane = 'live') AS live_backlog,"
    " max(l.oldest_age_s) FILTER (WHERE l.lane = 'live') AS live_age_s,"
    " max(l.backlog) FILTER (WHERE l.lane = 'bulk') AS bulk_backlog,"
    " max(l.oldest_age_s) FILTER (WHERE l.lane = 'bulk') AS bulk_age_s"
    " FROM ctms.acoustic_backlog($1::int) AS b CROSS JOIN ctms.acoustic_lanes($1::int) AS l"
    " GROUP BY b.backlog, b.retry_backlog",
    1,
    true,
    "backlog,retry_backlog,live_backlog,live_age_s,bulk_backlog,bulk_age_s",
    PG_ONE_ROW,
    false};

static const pg_statement configuration_statement = {
    "SELECT ctms.acoustic_configuration()", 0, true, "acoustic_configuration", PG_ONE_ROW, false};

static const pg_statement forget_statement = {
    "SELECT ctms.forget_stripe_refused(), ctms.forget_acoustic_history()",
    0,
    false,
    "forget_stripe_refused,forget_acoustic_history",
    PG_ONE_ROW,
    false};

struct queue {
    pg_pool *pool;
    const agent_settings *settings;
    queue_events events;
    void *arg;
    char agent[128]; /* the agent's name in leases */

    bool is_claiming;
    bool has_lost;
    queue_claim_result claim; /* the running one */
    double claim_ends_s;      /* when its lease ends */
    contact **claimed;        /* sorted by email_id while their rows are read */
    int claimed_count;

    struct contact_list settling; /* the contacts of the running statements */
    int settling_statements;
    int finish_count; /* contacts that finished */
    bool is_settling_written;
    bool is_work_left;
    bool is_asking_backlog;
    bool is_asking_configuration;
    bool is_forgetting;
};

static void
complain(const char *what, const pg_reply *reply)
{
    log_message(LOG_LEVEL_ERROR, "ctms.bin.acoustic_sync", "%s: %s%s%s", what, reply->sqlstate,
                *reply->sqlstate ? " " : "", reply->message);
    sentry_report(LOG_LEVEL_ERROR, "ctms.bin.acoustic_sync", what,
                  &(sentry_tag){"sqlstate", *reply->sqlstate ? reply->sqlstate : NULL}, 1);
}

/* ---- claiming --------------------------------------------------------------------- */

static void
forget_claimed(queue *q)
{
    for (int i = 0; i < q->claimed_count; i++)
        contact_free(q->claimed[i]);
    free(q->claimed);
    q->claimed = NULL;
    q->claimed_count = 0;
}

static void
end_claim(queue *q, bool is_read)
{
    struct contact_list contacts;
    int claimed = q->claimed_count;

    q->is_claiming = false;
    if (!is_read) {
        q->has_lost |= claimed > 0;
        forget_claimed(q);
        q->events.claim_failed(q->arg);
        return;
    }
    TAILQ_INIT(&contacts);
    for (int i = 0; i < claimed; i++) {
        contact *c = q->claimed[i];

        /* A contact without a main row was deleted, and so was its row in the queue. */
        if (c->columns.length == 0 && !c->is_unchanged && !c->is_deletion && !c->has_failed)
            contact_free(c);
        else
            TAILQ_INSERT_TAIL(&contacts, c, link);
    }
    free(q->claimed);
    q->claimed = NULL;
    q->claimed_count = 0;
    q->events.claimed(q->arg, &contacts, &q->claim);
}

static int
compare_contacts(const void *a, const void *b)
{
    return strcmp((*(contact *const *)a)->email_id, (*(contact *const *)b)->email_id);
}

static contact *
find_contact(contact **sorted, int count, const char *email_id)
{
    int low = 0, high = count - 1;

    while (low <= high) {
        int middle = (low + high) / 2;
        int order = strcmp(sorted[middle]->email_id, email_id);

        if (order == 0)
            return sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return NULL;
}

static void
take_rows(queue *q, const PGresult *result)
{
    contact **sorted = xmalloc(sizeof(*sorted) * (size_t)q->claimed_count);

    memcpy(sorted, q->claimed, sizeof(*sorted) * (size_t)q->claimed_count);
    qsort(sorted, (size_t)q->claimed_count, sizeof(*sorted), compare_contacts);
    for (int i = 0; i < PQntuples(result); i++) {
        contact *c = find_contact(sorted, q->claimed_count, PQgetvalue(result, i, 0));

        if (c != NULL && !contact_take_row(c, PQgetvalue(result, i, 1), PQgetvalue(result, i, 2),
                                           (size_t)PQgetlength(result, i, 2)))
            contact_fail(c, CLASS_TRANSIENT, "a row could not be read", NULL);
    }
    free(sorted);
}

static void
on_rows(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    if (reply->status != PG_OK) {
        complain("could not read the rows of claimed contacts", reply);
        end_claim(q, false);
        return;
    }
    take_rows(q, reply->result);
    end_claim(q, true);
}

/* The rows are read in a later snapshot than that of the claim. So they are at least as new as the
 * generation that will be finished. */
static void
read_rows(queue *q)
{
    buf ids = BUF_INIT, states = BUF_INIT;
    const char *values[2];

    for (int i = 0; i < q->claimed_count; i++) {
        char separator = i > 0 ? ',' : '{';

        buf_append_char(&ids, separator);
        buf_append_string(&ids, q->claimed[i]->email_id);
        buf_append_char(&states, separator);
        buf_append_string(&states, q->claimed[i]->state);
    }
    buf_append_char(&ids, '}');
    buf_append_char(&states, '}');
    values[0] = buf_text(&ids);
    values[1] = buf_text(&states);
    if (pg_pool_query(q->pool, &rows_statement, values, on_rows, q) == NULL)
        end_claim(q, false);
    buf_free(&ids);
    buf_free(&states);
}

static void
on_claimed(void *arg, const pg_reply *reply)
{
    queue *q = arg;
    int count;

    if (reply->status != PG_OK) {
        complain("could not claim contacts", reply);
        q->has_lost |= reply->status == PG_LOST;
        end_claim(q, false);
        return;
    }
    count = PQntuples(reply->result);
    if (count == 0) {
        end_claim(q, true);
        return;
    }
    q->claimed = xmalloc(sizeof(*q->claimed) * (size_t)count);
    q->claimed_count = count;
    for (int i = 0; i < count; i++) {
        queue_lane lane = *PQgetvalue(reply->result, i, 4) == 't' ? LANE_BULK : LANE_LIVE;

        q->claimed[i] =
            contact_new(PQgetvalue(reply->result, i, 0), PQgetvalue(reply->result, i, 1),
                        atoi(PQgetvalue(reply->result, i, 2)), PQgetvalue(reply->result, i, 3),
                        lane, q->claim_ends_s);
        q->claim.claimed[lane]++;
    }
    read_rows(q);
}

bool
queue_claim(queue *q, int limit, int bulk_limit)
{
    char limit_text[16], retry_text[16], lease_text[32], bulk_text[16];
    const char *values[] = {q->agent, limit_text, retry_text, lease_text, bulk_text};

    if (q->is_claiming)
        return false;
    snprintf(limit_text, sizeof(limit_text), "%d", limit);
    snprintf(retry_text, sizeof(retry_text), "%d", q->settings->retry_limit);
    snprintf(lease_text, sizeof(lease_text), "%.3f", q->settings->lease_s);
    snprintf(bulk_text, sizeof(bulk_text), "%d", bulk_limit);
    /* The time is taken before the statement is sent, so our lease ends before the database's. */
    q->claim_ends_s = clock_now_s() + q->settings->lease_s;
    q->claim = (queue_claim_result){.limit = limit, .bulk_limit = bulk_limit};
    q->is_claiming = pg_pool_query(q->pool, &claim_statement, values, on_claimed, q) != NULL;
    return q->is_claiming;
}

bool
queue_is_claiming(const queue *q)
{
    return q->is_claiming;
}

/* ---- settling --------------------------------------------------------------------- */

/* The parameters of both statements, as array literals of PostgreSQL. */
typedef struct settle_arrays {
    buf ids, generations;
    buf errors, permanents; /* of contacts that failed */
    buf outcomes, hashes;   /* of the others */
    bool is_any_told;       /* outcomes or hashes has a value that is not null */
    int count;
} settle_arrays;

static void
append_quoted(buf *array, const char *text)
{
    buf_append_char(array, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_append_char(array, '\\');
        buf_append_char(array, *text);
    }
    buf_append_char(array, '"');
}

static void
add_failed(settle_arrays *arrays, const contact *c, const char *separator)
{
    buf_append_string(&arrays->errors, separator);
    append_quoted(&arrays->errors, c->error);
    buf_printf(&arrays->permanents, "%s%s", separator, classify_is_permanent(c->class) ? "t" : "f");
}

static void
add_finished(settle_arrays *arrays, const contact *c, const char *separator)
{
    bool has_hashes = c->hashes.length > 0 && !c->is_skipped;

    buf_printf(&arrays->outcomes, "%s%s", separator,
               c->is_skipped     ? "skipped"
               : c->is_unchanged ? "unchanged"
                                 : "NULL");
    buf_append_string(&arrays->hashes, separator);
    if (has_hashes)
        append_quoted(&arrays->hashes, buf_text(&c->hashes));
    else
        buf_append_string(&arrays->hashes, "NULL");
    arrays->is_any_told |= c->is_skipped || has_hashes;
}

static void
add_to_arrays(settle_arrays *arrays, const contact *c)
{
    const char *separator = arrays->count++ > 0 ? "," : "{";

    buf_printf(&arrays->ids, "%s%s", separator, c->email_id);
    buf_printf(&arrays->generations, "%s%s", separator, c->generation);
    if (c->has_failed)
        add_failed(arrays, c, separator);
    else
        add_finished(arrays, c, separator);
}

static void
free_arrays(settle_arrays *arrays)
{
    buf *all[] = {&arrays->ids,        &arrays->generations, &arrays->errors,
                  &arrays->permanents, &arrays->outcomes,    &arrays->hashes};

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        buf_free(all[i]);
}

static void
end_settling(queue *q)
{
    struct contact_list contacts;

    TAILQ_INIT(&contacts);
    TAILQ_CONCAT(&contacts, &q->settling, link);
    q->events.settled(q->arg, &contacts, q->is_settling_written, q->is_work_left);
}

static void
on_settled(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    if (reply->status != PG_OK) {
        complain("could not write the outcome of contacts", reply);
        q->is_settling_written = false;
    }
    if (--q->settling_statements == 0)
        end_settling(q);
}

/* A contact that was changed while it was being sent stays in the queue. */
static void
on_finished(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    if (reply->status == PG_OK)
        q->is_work_left = atoi(PQgetvalue(reply->result, 0, 0)) < q->finish_count;
    on_settled(q, reply);
}

static const char *
close_array(buf *array)
{
    buf_append_char(array, '}');
    return buf_text(array);
}

static void
send_settling(queue *q, const pg_statement *statement, const char *const *values,
              pg_callback callback)
{
    if (pg_pool_query(q->pool, statement, values, callback, q) != NULL)
        q->settling_statements++;
    else
        q->is_settling_written = false;
}

static void
send_finished(queue *q, settle_arrays *arrays)
{
    const char *values[] = {q->agent, close_array(&arrays->ids), close_array(&arrays->generations),
                            NULL, NULL};

    if (arrays->is_any_told) {
        values[3] = close_array(&arrays->outcomes);
        values[4] = close_array(&arrays->hashes);
    }
    send_settling(q, &finish_statement, values, on_finished);
}

static void
send_failed(queue *q, settle_arrays *arrays)
{
    char retry_text[16];
    const char *values[] = {q->agent,
                            close_array(&arrays->ids),
                            close_array(&arrays->generations),
                            close_array(&arrays->errors),
                            close_array(&arrays->permanents),
                            retry_text};

    snprintf(retry_text, sizeof(retry_text), "%d", q->settings->retry_limit);
    send_settling(q, &fail_statement, values, on_settled);
}

void
queue_settle(queue *q, struct contact_list *contacts)
{
    settle_arrays finished = {.count = 0}, failed = {.count = 0};
    const contact *c;

    TAILQ_CONCAT(&q->settling, contacts, link);
    TAILQ_FOREACH(c, &q->settling, link)
    {
        /* cppcheck-suppress uninitvar ; TAILQ_FOREACH sets c */
        add_to_arrays(c->has_failed ? &failed : &finished, c);
    }
    q->is_settling_written = true;
    q->is_work_left = false;
    q->finish_count = finished.count;
    if (finished.count > 0)
        send_finished(q, &finished);
    if (failed.count > 0)
        send_failed(q, &failed);
    free_arrays(&finished);
    free_arrays(&failed);
    if (q->settling_statements == 0)
        end_settling(q);
}

bool
queue_is_settling(const queue *q)
{
    return !TAILQ_EMPTY(&q->settling);
}

/* ---- the rest --------------------------------------------------------------------- */

static void
on_released(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    q->has_lost = false; /* if this fails too, the leases expire */
    if (reply->status != PG_OK)
        complain("could not release contacts", reply);
    q->events.released(q->arg, reply->status == PG_OK);
}

bool
queue_release(queue *q)
{
    const char *values[] = {q->agent};

    return pg_pool_query(q->pool, &release_statement, values, on_released, q) != NULL;
}

bool
queue_has_lost(const queue *q)
{
    return q->has_lost;
}

static void
on_backlog(void *arg, const pg_reply *reply)
{
    queue *q = arg;
    queue_backlog backlog;
    bool is_known = reply->status == PG_OK && PQntuples(reply->result) == 1;

    q->is_asking_backlog = false;
    if (is_known) {
        backlog.waiting = atoll(PQgetvalue(reply->result, 0, 0));
        backlog.failed = atoll(PQgetvalue(reply->result, 0, 1));
        for (int lane = 0; lane < LANES; lane++) {
            backlog.lanes[lane] = atoll(PQgetvalue(reply->result, 0, 2 + 2 * lane));
            backlog.ages_s[lane] = strtod(PQgetvalue(reply->result, 0, 3 + 2 * lane), NULL);
        }
    }
    q->events.backlog(q->arg, is_known ? &backlog : NULL);
}

bool
queue_ask_backlog(queue *q)
{
    char retry_text[16];
    const char *values[] = {retry_text};

    snprintf(retry_text, sizeof(retry_text), "%d", q->settings->retry_limit);
    if (!q->is_asking_backlog)
        q->is_asking_backlog =
            pg_pool_query(q->pool, &backlog_statement, values, on_backlog, q) != NULL;
    return q->is_asking_backlog;
}

static void
on_configuration(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    q->is_asking_configuration = false;
    if (reply->status == PG_OK && PQntuples(reply->result) == 1)
        q->events.configuration(q->arg, PQgetvalue(reply->result, 0, 0));
}

void
queue_ask_configuration(queue *q)
{
    if (!q->is_asking_configuration)
        q->is_asking_configuration =
            pg_pool_query(q->pool, &configuration_statement, NULL, on_configuration, q) != NULL;
}

static void
on_forgotten(void *arg, const pg_reply *reply)
{
    queue *q = arg;

    q->is_forgetting = false;
    if (reply->status == PG_ERROR)
        complain("could not remove refused Stripe objects and history that are old", reply);
}

void
queue_forget_old(queue *q)
{
    if (!q->is_forgetting)
        q->is_forgetting = pg_pool_query(q->pool, &forget_statement, NULL, on_forgotten, q) != NULL;
}

bool
queue_is_database_up(const queue *q)
{
    return pg_pool_is_ready(q->pool);
}

const char *
queue_agent_name(const queue *q)
{
    return q->agent;
}

queue *
queue_new(pg_pool *pool, const agent_settings *settings, const queue_events *events, void *arg)
{
    queue *q = xcalloc(1, sizeof(*q));
    char host[64];

    q->pool = pool;
    q->settings = settings;
    q->events = *events;
    q->arg = arg;
    TAILQ_INIT(&q->settling);
    if (gethostname(host, sizeof(host)) != 0)
        snprintf(host, sizeof(host), "localhost");
    host[sizeof(host) - 1] = '\0';
    snprintf(q->agent, sizeof(q->agent), "%s:%d:%08lx", host, (int)getpid(),
             (unsigned long)lrand48());
    return q;
}

void
queue_free(queue *q)
{
    if (q == NULL)
        return;
    forget_claimed(q);
    contact_free_list(&q->settling);
    free(q);
}
