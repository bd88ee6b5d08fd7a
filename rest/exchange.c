/*
 * exchange.c: one request: what is known of it, its answer, and its line in the log; see
 * exchange.h.
 */
#include "rest/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/sentry.h"
#include "rest/access_log.h"
#include "rest/log_rules.h"
#include "rest/metrics.h"
#include "rest/route.h"

#define LOG_TYPE "ctms.web"
#define JSON_TYPE "application/json"

static void
exchange_free(exchange *ex)
{
    free(ex->path_value.data);
    uri_query_free(&ex->query);
    free(ex->client_id);
    for (int i = 0; i < FIELD_COUNT; i++)
        free(ex->fields[i]);
    buf_free(&ex->first_part);
    free(ex);
}

/* ---- answers ----------------------------------------------------------------- */

static void
count_and_log(exchange *ex, int status, const char *body, size_t length)
{
    double duration_s = clock_now_s() - ex->started_s;

    rest_metrics_count(ex, status, duration_s);
    access_log_write(ex, status, duration_s, body, length);
}

/* The headers of every answer. */
static void
append_headers(const exchange *ex, const char *headers, buf *all)
{
    buf_printf(all, "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n%s", ex->rid,
               headers ? headers : "");
    if (ex->route != NULL && (ex->route->access != ACCESS_PUBLIC || ex->route->is_secret))
        buf_append_string(all, "Cache-Control: no-store\r\n");
}

/* After this call the request may have been freed. */
static server_call *
let_go(exchange *ex)
{
    server_call *call = ex->call;

    server_call_set_context(call, NULL);
    exchange_free(ex);
    return call;
}

typedef void (*answer_sender)(server_call *call, int status, const char *headers,
                              const char *content_type, const char *body, size_t length);

static void
answer_by(answer_sender send, exchange *ex, int status, const char *headers,
          const char *content_type, const char *body, size_t length)
{
    buf all = BUF_INIT;

    count_and_log(ex, status, body, length);
    append_headers(ex, headers, &all);
    send(let_go(ex), status, buf_text(&all), content_type, body, length);
    buf_free(&all);
}

void
exchange_answer(exchange *ex, int status, const char *headers, const char *content_type,
                const char *body, size_t length)
{
    answer_by(server_answer, ex, status, headers, content_type, body, length);
}

void
exchange_answer_fixed(exchange *ex, int status, const char *headers, const char *content_type,
                      const char *body, size_t length)
{
    answer_by(server_answer_fixed, ex, status, headers, content_type, body, length);
}

void
exchange_answer_json(exchange *ex, int status, const char *json)
{
    exchange_answer(ex, status, NULL, JSON_TYPE, json, strlen(json));
}

/* ---- answers in parts ------------------------------------------------------------ */

static void
begin_stream(exchange *ex)
{
    buf headers = BUF_INIT;

    append_headers(ex, NULL, &headers);
    ex->is_streaming = true;
    server_begin_stream(ex->call, 200, buf_text(&headers), JSON_TYPE);
    buf_free(&headers);
}

void
exchange_add_part(exchange *ex, const char *part, size_t length)
{
    /* If this stays the only part, it is sent with its length. */
    if (ex->first_part.length == 0 && !ex->is_streaming) {
        buf_append(&ex->first_part, part, length);
        return;
    }
    if (!server_can_stream(ex->call)) {
        buf_append(&ex->first_part, part, length);
        return;
    }
    if (!ex->is_streaming) {
        buf both = ex->first_part;

        ex->first_part = (buf)BUF_INIT;
        begin_stream(ex);
        buf_append(&both, part, length);
        server_stream(ex->call, both.data, both.length);
        buf_free(&both);
        return;
    }
    server_stream(ex->call, part, length);
}

void
exchange_end_parts(exchange *ex)
{
    if (ex->is_streaming) {
        count_and_log(ex, 200, "", 0);
        server_end_stream(let_go(ex));
    } else {
        buf whole = ex->first_part;

        ex->first_part = (buf)BUF_INIT;
        exchange_answer(ex, 200, NULL, JSON_TYPE, buf_text(&whole), whole.length);
        buf_free(&whole);
    }
}

void
exchange_answer_detail_with(exchange *ex, int status, const char *headers, const char *detail)
{
    buf body = BUF_INIT;

    buf_append_string(&body, "{\"detail\":");
    buf_append_json_string(&body, detail);
    buf_append_char(&body, '}');
    exchange_answer(ex, status, headers, JSON_TYPE, body.data, body.length);
    buf_free(&body);
}

void
exchange_answer_detail(exchange *ex, int status, const char *detail)
{
    exchange_answer_detail_with(ex, status, NULL, detail);
}

void
exchange_answer_reason(exchange *ex, int status, const char *detail, const char *reason)
{
    buf body = BUF_INIT;

    exchange_note_reason(ex, reason);
    buf_append_string(&body, "{\"detail\":");
    buf_append_json_string(&body, detail);
    buf_append_string(&body, ",\"reason\":");
    buf_append_json_string(&body, reason);
    buf_append_char(&body, '}');
    exchange_answer_json(ex, status, body.data);
    buf_free(&body);
}

void
exchange_answer_no_token(exchange *ex)
{
    exchange_answer_detail_with(ex, 401, "WWW-Authenticate: Bearer\r\n", "Not authenticated");
}

void
exchange_answer_bad_token(exchange *ex)
{
    exchange_answer_detail_with(ex, 401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
                                "Could not validate credentials");
}

void
exchange_answer_lacks_scope(exchange *ex, scope_set needed)
{
    buf names = BUF_INIT, header = BUF_INIT, detail = BUF_INIT;

    scope_append_names(needed, ' ', &names);
    buf_printf(&header, "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"%s\"\r\n",
               buf_text(&names));
    buf_printf(&detail, "This needs the scope %s", buf_text(&names));
    exchange_answer_detail_with(ex, 403, buf_text(&header), buf_text(&detail));
    buf_free(&names);
    buf_free(&header);
    buf_free(&detail);
}

void
exchange_answer_invalid(exchange *ex, const char *where, const char *name, const char *message,
                        const char *type)
{
    buf body = BUF_INIT;

    buf_printf(&body, "{\"detail\":[{\"loc\":[\"%s\"", where);
    if (name != NULL) {
        buf_append_char(&body, ',');
        buf_append_json_string(&body, name);
    }
    buf_append_string(&body, "],\"msg\":");
    buf_append_json_string(&body, message);
    buf_append_string(&body, ",\"type\":");
    buf_append_json_string(&body, type);
    buf_append_string(&body, "}]}");
    exchange_answer(ex, 422, NULL, JSON_TYPE, body.data, body.length);
    buf_free(&body);
}

void
exchange_answer_bad_body(exchange *ex, size_t offset, const char *message)
{
    buf body = BUF_INIT;

    buf_printf(&body, "{\"detail\":[{\"loc\":[\"body\",%zu],\"msg\":", offset);
    buf_append_json_string(&body, message);
    buf_append_string(&body, ",\"type\":\"value_error.jsondecode\"}]}");
    exchange_answer(ex, 422, NULL, JSON_TYPE, body.data, body.length);
    buf_free(&body);
}

void
exchange_answer_unavailable(exchange *ex, const char *why)
{
    log_line *line = log_begin(LOG_LEVEL_WARNING, LOG_TYPE);

    log_string(line, "rid", ex->rid);
    log_end(line, "answered 503: %s", why);
    exchange_answer_detail_with(ex, 503, "Retry-After: 1\r\n",
                                "Service unavailable, try again later");
}

static void
report_failure(const exchange *ex, const char *why, const char *sqlstate)
{
    const sentry_tag tags[] = {
        {"reason", sqlstate ? NULL : why},
        {"sqlstate", sqlstate},
        {"method", ex->route ? ex->request->method_name : NULL},
        {"path_template", ex->path_template},
        {"error_id", ex->is_rid_ours ? ex->rid : NULL},
    };

    sentry_report(LOG_LEVEL_ERROR, LOG_TYPE, "unexpected error", tags,
                  sizeof(tags) / sizeof(tags[0]));
}

void
exchange_answer_failure(exchange *ex, const char *why, const char *sqlstate)
{
    log_line *line = log_begin(LOG_LEVEL_ERROR, LOG_TYPE);
    buf body = BUF_INIT;

    log_string(line, "rid", ex->rid);
    log_string(line, "path_template", ex->path_template);
    log_end(line, "unexpected error: %s", why);
    report_failure(ex, why, sqlstate);
    buf_append_string(&body, "{\"detail\":\"Internal Server Error\",\"error_id\":");
    buf_append_json_string(&body, ex->rid);
    buf_append_char(&body, '}');
    exchange_answer(ex, 500, NULL, JSON_TYPE, body.data, body.length);
    buf_free(&body);
}

void
exchange_break_parts(exchange *ex, int status, const char *why, const char *sqlstate)
{
    log_line *line = log_begin(LOG_LEVEL_ERROR, LOG_TYPE);

    log_string(line, "rid", ex->rid);
    log_string(line, "path_template", ex->path_template);
    log_end(line, "answer broken off: %s", why);
    if (status == 500)
        report_failure(ex, why, sqlstate);
    count_and_log(ex, status, "", 0);
    server_break_stream(let_go(ex));
}

/* ---- waiting, and notes for the log --------------------------------------------------- */

void
exchange_wait(exchange *ex, void *awaited, void (*abandon)(void *awaited))
{
    ex->awaited = awaited;
    ex->abandon = abandon;
}

void
exchange_end_wait(exchange *ex)
{
    ex->awaited = NULL;
}

static void
abandon_request(void *awaited)
{
    pg_request_abandon(awaited);
}

double
exchange_database_deadline_s(const exchange *ex)
{
    return ex->started_s + ex->app->database_timeout_s;
}

/* Returns false when there is no request to wait for. */
static bool
wait_for_request(exchange *ex, pg_request *request)
{
    if (request == NULL)
        return false;
    pg_request_end_by(request, exchange_database_deadline_s(ex));
    exchange_wait(ex, request, abandon_request);
    return true;
}

bool
exchange_try_query(exchange *ex, const pg_statement *statement, const char *const *values,
                   pg_callback callback)
{
    return wait_for_request(ex, pg_pool_query(ex->app->pool, statement, values, callback, ex));
}

void
exchange_query(exchange *ex, const pg_statement *statement, const char *const *values,
               pg_callback callback)
{
    if (!exchange_try_query(ex, statement, values, callback))
        exchange_answer_unavailable(ex, EXCHANGE_NO_DATABASE);
}

void
exchange_query_rows(exchange *ex, const pg_statement *statement, const char *const *values,
                    pg_callback callback)
{
    if (!wait_for_request(ex, pg_pool_stream(ex->app->pool, statement, values, callback, ex)))
        exchange_answer_unavailable(ex, EXCHANGE_NO_DATABASE);
}

/* Takes ownership of the text. */
static void
set_field(exchange *ex, exchange_field field, char *text)
{
    if (text == NULL)
        return;
    free(ex->fields[field]);
    ex->fields[field] = text;
}

void
exchange_note(exchange *ex, exchange_field field, const char *text)
{
    set_field(ex, field, text ? xstrdup(text) : NULL);
}

void
exchange_note_json(exchange *ex, exchange_field field, const json_t *value)
{
    set_field(ex, field, value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL);
}

void
exchange_note_report(exchange *ex, exchange_field field, const json_t *value)
{
    json_t *shown = value ? log_rules_hide_texts(value, field == FIELD_INGEST_WARNINGS) : NULL;

    exchange_note_json(ex, field, shown);
    json_decref(shown);
}

void
exchange_note_list(exchange *ex, exchange_field field, const json_t *list)
{
    buf text = BUF_INIT;
    size_t i;
    json_t *one;

    json_array_foreach((json_t *)list, i, one)
    {
        buf_append_string(&text, i > 0 ? "," : "");
        buf_append_string(&text, log_rules_shown_identifier(one));
    }
    if (text.length > 0)
        set_field(ex, field, buf_steal(&text));
    buf_free(&text);
}

void
exchange_note_reason(exchange *ex, const char *reason)
{
    exchange_note(ex, FIELD_REASON,
                  log_rules_may_hold_address(reason, strlen(reason)) ? LOG_OMITTED : reason);
}

/* ---- its beginning and its end ------------------------------------------------------- */

/* Uses the client's id for the request if it is acceptable, otherwise makes one. */
static void
set_rid(exchange *ex)
{
    const char *given = http_get_header(ex->request, "X-Request-Id");
    size_t length = given ? strlen(given) : 0;

    if (length > 0 && length < sizeof(ex->rid) &&
        strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=") ==
            length) {
        memcpy(ex->rid, given, length + 1);
        return;
    }
    ex->is_rid_ours = true;
    hex_write_id(ex->rid);
}

exchange *
exchange_new(app *a, server_call *call, const http_request *request)
{
    exchange *ex = xcalloc(1, sizeof(*ex));
    const char *query;

    ex->app = a;
    ex->call = call;
    ex->request = request;
    ex->started_s = clock_now_s();
    ex->path_template = "";
    server_call_set_context(call, ex);
    set_rid(ex);
    uri_split(request->target, &ex->path, &ex->path_length, &query);
    if (query != NULL)
        ex->has_too_many_parameters = !uri_parse_query(query, strlen(query), &ex->query);
    return ex;
}

/* The exchange no longer wants what it waits for. The database may still execute it. */
static void
stop_waiting(exchange *ex)
{
    if (ex->awaited != NULL)
        ex->abandon(ex->awaited);
    ex->awaited = NULL;
}

void
exchange_overdue(void *arg, server_call *call)
{
    exchange *ex = server_call_context(call);

    (void)arg;
    stop_waiting(ex);
    if (ex->is_streaming)
        exchange_break_parts(ex, 503, "the request took too long", NULL);
    else
        exchange_answer_unavailable(ex, "the request took too long");
}

void
exchange_gone(void *arg, server_call *call, const char *why)
{
    exchange *ex = server_call_context(call);
    log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);

    (void)arg;
    stop_waiting(ex);
    log_string(line, "client_host", server_call_host(call));
    log_string(line, "method", log_rules_method(ex->request));
    log_string(line, "path_template", ex->path_template);
    log_string(line, "rid", ex->rid);
    log_real(line, "duration_s", clock_now_s() - ex->started_s);
    log_end(line, "no answer given: %s", why);
    exchange_free(ex);
}
