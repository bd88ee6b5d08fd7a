/*
 * resource.c: resources that are one SQL statement: gets its parameters from the request, sends it,
 * and answers with its result or its error. See resource.h.
 */
#include "rest/resource.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "rest/legacy.h"
#include "rest/metrics.h"
#include "rest/replica.h"
#include "rest/route.h"

#define LOG_TYPE "ctms.web"

/* Notes what is wrong with a body that Stripe's objects should be in: "body[12]: invalid UTF-8". */
static void
note_bad_body(exchange *ex, size_t offset, const char *message)
{
    buf reason = BUF_INIT;

    if (!ex->route->resource->is_stripe)
        return;
    buf_printf(&reason, "body[%zu]: %s", offset, message);
    exchange_note_reason(ex, buf_text(&reason));
    buf_free(&reason);
}

static void
answer_bad_body(exchange *ex, size_t offset, const char *message)
{
    note_bad_body(ex, offset, message);
    exchange_answer_bad_body(ex, offset, message);
}

/* ---- parameters ------------------------------------------------------------- */

/*
 * Reads the body as text into *body. When it is too large, has a NUL or is not UTF-8, answers that
 * and returns false.
 */
static bool
read_body(exchange *ex, const char **body)
{
    const http_request *request = ex->request;
    const char *nul;
    size_t valid;

    *body = request->body ? request->body : "";
    if (request->is_body_too_large) {
        exchange_answer_detail(ex, 413, "Request body too large");
        return false;
    }
    nul = memchr(*body, '\0', request->body_length);
    valid = utf8_valid_prefix(*body, request->body_length);
    if (nul != NULL && (size_t)(nul - *body) <= valid) {
        answer_bad_body(ex, (size_t)(nul - *body), "NUL is not allowed in JSON");
        return false;
    }
    if (valid < request->body_length) {
        answer_bad_body(ex, valid, "invalid UTF-8");
        return false;
    }
    return true;
}

/* A value that is given counts, also when it is empty: what that means, the SQL function decides.
 */
static bool
read_text(exchange *ex, const uri_text *text, const char *where, const char *name,
          const char **value)
{
    *value = NULL;
    if (text == NULL)
        return true;
    if (!uri_is_text(text)) {
        exchange_answer_invalid(ex, where, name, "value is not valid text", "type_error.str");
        return false;
    }
    *value = text->data;
    return true;
}

static bool
read_path_or_query(exchange *ex, const resource_parameter *parameter, const char **value)
{
    bool is_path = parameter->source == FROM_PATH;
    const char *where = is_path ? "path" : "query";
    const uri_text *text = is_path ? &ex->path_value : uri_query_get(&ex->query, parameter->name);

    if (!read_text(ex, text, where, parameter->name, value))
        return false;
    if (parameter->is_uuid && *value != NULL && **value != '\0' && !uri_is_uuid(*value)) {
        exchange_answer_invalid(ex, where, parameter->name, "value is not a valid uuid",
                                "type_error.uuid");
        return false;
    }
    return true;
}

static bool
read_parameter(exchange *ex, const resource_parameter *parameter, const char **value)
{
    switch (parameter->source) {
    case FROM_PATH: return read_path_or_query(ex, parameter, value);
    case FROM_QUERY:
        if (ex->has_too_many_parameters) {
            exchange_answer_invalid(ex, "query", NULL, "too many parameters", "value_error.query");
            return false;
        }
        return read_path_or_query(ex, parameter, value);
    case FROM_BODY: return read_body(ex, value);
    case FROM_SERVER: *value = ex->app->server_prefix; return true;
    case FROM_NOWHERE: break;
    }
    return true;
}

/* ---- errors --------------------------------------------------------------------- */

void
resource_log_conflict(const exchange *ex, const char *kind, const char *sqlstate)
{
    log_line *line = log_begin(LOG_LEVEL_ERROR, LOG_TYPE);

    log_string(line, "rid", ex->rid);
    log_string(line, "path_template", ex->path_template);
    log_string(line, "sqlstate", sqlstate);
    log_end(line, "%s converted to 409", kind);
}

/* Of several errors the log shows the first. */
static void
note_first_error(exchange *ex, const char *detail)
{
    json_t *errors = detail ? json_loads(detail, 0, NULL) : NULL;
    const json_t *error = json_array_get(errors, 0);
    const char *message = json_string_value(json_object_get(error, "msg"));
    const json_t *place = json_array_get(json_object_get(error, "loc"), 1);

    if (message != NULL)
        note_bad_body(ex, (size_t)json_integer_value(place), message);
    json_decref(errors);
}

/* DETAIL is the list of errors already. Only a list may be passed through. */
static void
answer_error_list(exchange *ex, const char *detail, const char *message)
{
    buf body = BUF_INIT;

    if (detail == NULL || detail[0] != '[') {
        exchange_answer_invalid(ex, "body", NULL, message, "value_error");
        return;
    }
    buf_printf(&body, "{\"detail\":%s}", detail);
    exchange_answer_json(ex, 422, body.data);
    buf_free(&body);
}

/* Turns errors of a waitlist's schema into those of a body. */
static void
answer_waitlist_errors(exchange *ex, const pg_reply *reply)
{
    json_t *errors = reply->detail ? json_loads(reply->detail, 0, NULL) : NULL;
    json_t *list = json_array();
    json_t *error;
    size_t i;
    char *text;

    json_array_foreach(errors, i, error)
    {
        json_t *message = json_object_get(error, "error");
        json_t *place = json_object_get(error, "instanceLocation");

        json_array_append_new(
            list, json_pack("{s:[s,s,s,s], s:s, s:s}", "loc", "body", "waitlists", "fields",
                            json_is_string(place) ? json_string_value(place) : "", "msg",
                            json_is_string(message) ? json_string_value(message) : "invalid",
                            "type", "value_error.schema"));
    }
    text = json_dumps(list, JSON_COMPACT);
    answer_error_list(ex, json_array_size(list) ? text : NULL, reply->message);
    free(text);
    json_decref(list);
    json_decref(errors);
}

static void
answer_unexpected(exchange *ex, const pg_reply *reply)
{
    buf why = BUF_INIT;

    /* Messages of data exceptions may quote the data, so they are left out. */
    buf_printf(&why, "SQLSTATE %s%s%s", reply->sqlstate,
               pg_reply_has_sqlstate(reply, "22") ? "" : ": ",
               pg_reply_has_sqlstate(reply, "22") ? "" : reply->message);
    exchange_answer_failure(ex, buf_text(&why), reply->sqlstate);
    buf_free(&why);
}

/* Answers errors of ctms itself (class CT). Returns false for an error that has no status of its
 * own. */
static bool
answer_own_error(exchange *ex, const pg_reply *reply)
{
    const char *state = reply->sqlstate;

    if (strcmp(state, "CT400") == 0) {
        exchange_answer_detail(ex, 400, reply->message);
    } else if (strcmp(state, "CT404") == 0) {
        exchange_answer_detail(ex, 404, reply->message);
    } else if (strcmp(state, "CT409") == 0) {
        resource_log_conflict(ex, "IntegrityError", reply->sqlstate);
        exchange_answer_detail(ex, 409, reply->message);
    } else if (strcmp(state, "CT422") == 0) {
        note_first_error(ex, reply->detail);
        answer_error_list(ex, reply->detail, reply->message);
    } else if (strcmp(state, "CT001") == 0) {
        answer_waitlist_errors(ex, reply);
    } else if (strcmp(state, "CTS01") == 0) {
        exchange_answer_reason(ex, 400, "Request JSON is not recognized.", reply->message);
    } else if (strcmp(state, "CTS02") == 0) {
        exchange_answer_reason(ex, 400, "Unable to process Stripe object.", reply->message);
    } else if (strcmp(state, "CTS03") == 0) {
        resource_log_conflict(ex, "IntegrityError", reply->sqlstate);
        exchange_answer_reason(ex, 409, "Write conflict, try again", reply->message);
    } else {
        return false;
    }
    return true;
}

static bool
is_unavailable(const pg_reply *reply)
{
    return pg_reply_has_sqlstate(reply, "08") || pg_reply_has_sqlstate(reply, "53") ||
           pg_reply_has_sqlstate(reply, "57") || pg_reply_has_sqlstate(reply, "55P03") ||
           pg_reply_has_sqlstate(reply, "25006") || pg_reply_has_sqlstate(reply, "26000") ||
           pg_reply_has_sqlstate(reply, "42P05");
}

static void
answer_server_error(exchange *ex, const pg_reply *reply)
{
    bool is_stripe = ex->route->resource != NULL && ex->route->resource->is_stripe;

    if (pg_reply_has_sqlstate(reply, "CT") && answer_own_error(ex, reply))
        return;
    if (pg_reply_has_sqlstate(reply, "23505") ||
        (is_stripe && pg_reply_has_sqlstate(reply, "23"))) {
        resource_log_conflict(ex, "IntegrityError", reply->sqlstate);
        exchange_answer_detail(ex, 409, is_stripe ? "Write conflict, try again" : "Conflict");
    } else if (pg_reply_has_sqlstate(reply, "40")) {
        if (!is_stripe) {
            exchange_answer_unavailable(ex, "deadlock or serialisation failure, twice");
            return;
        }
        resource_log_conflict(ex, "OperationalError", reply->sqlstate);
        exchange_answer_detail(ex, 409, "Deadlock or other issue, try again");
    } else if (pg_reply_has_sqlstate(reply, "54")) {
        exchange_answer_invalid(ex, "body", NULL, "too deeply nested or too large", "value_error");
    } else if (is_unavailable(reply)) {
        exchange_answer_unavailable(ex, reply->message);
    } else {
        answer_unexpected(ex, reply);
    }
}

void
resource_answer_error(exchange *ex, const pg_reply *reply)
{
    switch (reply->status) {
    case PG_ERROR: answer_server_error(ex, reply); break;
    case PG_LOST:
    case PG_UNAVAILABLE: exchange_answer_unavailable(ex, reply->message); break;
    case PG_GUARD_HELD:
    case PG_ROW:
    case PG_OK: exchange_answer_failure(ex, "not an error", NULL); break;
    }
}

/* ---- the request itself ------------------------------------------------------------ */

static void
break_off(exchange *ex, const pg_reply *reply)
{
    bool is_expected = reply->status != PG_ERROR || is_unavailable(reply);

    exchange_break_parts(ex, is_expected ? 503 : 500,
                         pg_reply_has_sqlstate(reply, "22") ? "SQLSTATE 22" : reply->message,
                         reply->sqlstate);
}

/* The answer is the value of row and column 0, or a part of it. */
static void
on_part(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;

    if (reply->status == PG_ROW) {
        exchange_add_part(ex, PQgetvalue(reply->result, 0, 0),
                          (size_t)PQgetlength(reply->result, 0, 0));
        return;
    }
    exchange_end_wait(ex);
    if (reply->status == PG_OK)
        exchange_end_parts(ex);
    else if (ex->is_streaming)
        break_off(ex, reply);
    else
        resource_answer_error(ex, reply);
}

static void
on_reply(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    const resource *r = ex->route->resource;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    if (r->answer != NULL) {
        r->answer(ex, reply->result);
        return;
    }
    if (PQntuples(reply->result) == 0 || PQgetisnull(reply->result, 0, 0)) {
        if (r->missing != NULL)
            exchange_answer_detail(ex, 404, r->missing);
        else
            exchange_answer_failure(ex, "the database returned nothing", NULL);
        return;
    }
    exchange_answer(ex, r->status, NULL, "application/json", PQgetvalue(reply->result, 0, 0),
                    (size_t)PQgetlength(reply->result, 0, 0));
}

void
resource_handle_request(exchange *ex)
{
    const resource *r = ex->route->resource;
    const char *values[RESOURCE_PARAMETERS_MAX] = {NULL};
    pg_callback callback = r->is_streamed ? on_part : on_reply;

    for (int i = 0; i < r->statement.parameter_count; i++) {
        if (!read_parameter(ex, &r->parameters[i], &values[i]))
            return;
        if (r->parameters[i].source == FROM_BODY && !r->is_stripe &&
            legacy_uses_waitlists(values[i]))
            rest_metrics_count_legacy_waitlists(ex->app->metrics);
    }
    if (r->statement.is_read_only && ex->app->replicas != NULL)
        replica_query(ex, &r->statement, values, r->is_streamed, callback);
    else if (r->is_streamed)
        exchange_query_rows(ex, &r->statement, values, callback);
    else
        exchange_query(ex, &r->statement, values, callback);
}
