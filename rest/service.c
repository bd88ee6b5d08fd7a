/* service.c: answers operators and load balancers: health, version, metrics; see service.h. */
#include "rest/service.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/bearer.h"
#include "common/clock.h"
#include "rest/metrics.h"
#include "rest/route.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const pg_statement get_backlog = {
    .sql = "SELECT backlog, retry_backlog FROM ctms.acoustic_backlog($1::int)",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = "backlog,retry_backlog",
};

/* Neither of the first two numbers is found by counting rows; the third is bounded. */
static const pg_statement get_numbers = {
    .sql = "SELECT backlog, (SELECT greatest(reltuples, pg_stat_get_live_tuples(oid), 0)"
           " FROM pg_class WHERE oid = 'ctms.emails'::regclass) AS contacts,"
           " ctms.count_stripe_refused() AS refused"
           " FROM ctms.acoustic_backlog($1::int)",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = "backlog,contacts,refused",
};

static int
elapsed_ms(const exchange *ex)
{
    return (int)((clock_now_s() - ex->started_s) * 1000);
}

void
service_handle_root(exchange *ex)
{
    exchange_answer(ex, 307, "Location: /docs\r\n", NULL, "", 0);
}

void
service_handle_version(exchange *ex)
{
    exchange_answer_json(ex, 200, ex->app->version);
}

void
service_handle_lbheartbeat(exchange *ex)
{
    exchange_answer_json(ex, 200, "{\"status\":\"OK\"}");
}

void
service_handle_crash(exchange *ex)
{
    exchange_answer_failure(ex, "asked for by /__crash__", NULL);
}

/* ---- heartbeat -------------------------------------------------------------------- */

static json_t *
limit_or_null(long long limit)
{
    return limit < 0 ? json_null() : json_integer(limit);
}

/* The part of the heartbeat about the queue; backlog is -1 when it could not be asked for. */
static json_t *
describe_queue(const exchange *ex, long long backlog, long long retry_backlog, bool *is_healthy)
{
    const config *settings = ex->app->settings;
    long long max = config_int_or(settings, "CTMS_ACOUSTIC_MAX_BACKLOG", -1);
    long long max_retry = config_int_or(settings, "CTMS_ACOUSTIC_MAX_RETRY_BACKLOG", -1);
    double loop_s = config_real(settings, "CTMS_ACOUSTIC_LOOP_MIN_SECS");

    *is_healthy = backlog >= 0 && (max < 0 || backlog <= max) &&
                  (max_retry < 0 || retry_backlog <= max_retry);
    return json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:i}", "success", *is_healthy, "backlog",
        limit_or_null(backlog), "max_backlog", limit_or_null(max), "retry_backlog",
        limit_or_null(retry_backlog), "max_retry_backlog", limit_or_null(max_retry), "retry_limit",
        (json_int_t)config_int(settings, "CTMS_ACOUSTIC_RETRY_LIMIT"), "batch_limit",
        (json_int_t)config_int(settings, "CTMS_ACOUSTIC_BATCH_LIMIT"), "loop_min_sec",
        loop_s == (double)(json_int_t)loop_s ? json_integer((json_int_t)loop_s) : json_real(loop_s),
        "time_ms", elapsed_ms(ex));
}

static void
answer_heartbeat(exchange *ex, bool is_up, json_t *queue, bool is_healthy)
{
    json_t *database =
        json_pack("{s:b, s:b, s:i}", "up", is_up, "listening",
                  pg_listener_is_listening(ex->app->listener), "time_ms", elapsed_ms(ex));
    json_t *body = json_pack("{s:O}", "database", database);
    char *text;

    if (queue != NULL)
        json_object_set_new(database, "acoustic", queue);
    text = json_dumps(body, JSON_COMPACT);
    exchange_answer_json(ex, is_up && is_healthy ? 200 : 503, text);
    free(text);
    json_decref(body);
    json_decref(database);
}

static void
on_backlog(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    long long backlog = -1, retry_backlog = -1;
    bool is_healthy;
    json_t *queue;

    exchange_end_wait(ex);
    if (reply->status == PG_LOST || reply->status == PG_UNAVAILABLE) {
        answer_heartbeat(ex, false, NULL, false);
        return;
    }
    if (reply->status == PG_OK && PQntuples(reply->result) == 1) {
        backlog = strtoll(PQgetvalue(reply->result, 0, 0), NULL, 10);
        retry_backlog = strtoll(PQgetvalue(reply->result, 0, 1), NULL, 10);
    }
    queue = describe_queue(ex, backlog, retry_backlog, &is_healthy);
    answer_heartbeat(ex, true, queue, is_healthy);
}

static bool
ask_queue(exchange *ex, const pg_statement *statement, pg_callback callback)
{
    const char *limit = config_string(ex->app->settings, "CTMS_ACOUSTIC_RETRY_LIMIT");

    return exchange_try_query(ex, statement, (const char *const[]){limit}, callback);
}

void
service_handle_heartbeat(exchange *ex)
{
    if (!ask_queue(ex, &get_backlog, on_backlog))
        answer_heartbeat(ex, false, NULL, false);
}

/* ---- metrics --------------------------------------------------------------------------- */

static void
answer_metrics(exchange *ex)
{
    buf body = BUF_INIT;

    rest_metrics_write(ex->app, &body);
    exchange_answer(ex, 200, NULL, METRICS_TYPE, body.data, body.length);
    buf_free(&body);
}

static void
on_numbers(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;

    exchange_end_wait(ex);
    if (reply->status == PG_OK && PQntuples(reply->result) == 1) {
        rest_metrics_set_backlog(ex->app->metrics, strtod(PQgetvalue(reply->result, 0, 0), NULL));
        rest_metrics_set_contacts(ex->app->metrics, strtod(PQgetvalue(reply->result, 0, 1), NULL));
        rest_metrics_set_refused(ex->app->metrics, strtod(PQgetvalue(reply->result, 0, 2), NULL));
    }
    answer_metrics(ex);
}

void
service_authorize_scrape(exchange *ex)
{
    const char *expected = ex->app->metrics_token;
    const char *token = bearer_find_token(http_get_header(ex->request, "Authorization"));

    if (expected == NULL || (token != NULL && bearer_is_same(token, expected))) {
        ex->route->handler(ex);
        return;
    }
    exchange_note(ex, FIELD_AUTH_FAIL, token ? "wrong metrics token" : "no token");
    if (token != NULL)
        exchange_answer_bad_token(ex);
    else
        exchange_answer_no_token(ex);
}

/* When the database cannot be asked, its numbers are the last known ones. */
void
service_handle_metrics(exchange *ex)
{
    if (!ask_queue(ex, &get_numbers, on_numbers))
        answer_metrics(ex);
}
