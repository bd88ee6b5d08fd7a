/*
 * dispatch.c: takes a request from its arrival to its handler: finds the row of the table that
 * matches it, then checks that the client is authorised.
 *
 * Owns nothing: an exchange is freed by its answer. The server calls it with each request.
 */
#include "rest/dispatch.h"

#include "rest/exchange.h"
#include "rest/pubsub.h"
#include "rest/resource.h"
#include "rest/routes.h"
#include "rest/service.h"

/* ---- authorisation ------------------------------------------------------------- */

static void
refuse_token(exchange *ex, const char *reason)
{
    exchange_note(ex, FIELD_AUTH_FAIL, reason);
    exchange_answer_bad_token(ex);
}

static void
use_auth_result(exchange *ex, auth_result result, const pg_reply *reply)
{
    switch (result) {
    case AUTH_ALLOWED:
        ex->is_client_known = ex->is_client_allowed = true;
        ex->route->handler(ex);
        break;
    case AUTH_NO_TOKEN:
        exchange_note(ex, FIELD_AUTH_FAIL, "no token");
        exchange_answer_no_token(ex);
        break;
    case AUTH_BAD_TOKEN: refuse_token(ex, "bad token"); break;
    case AUTH_EXPIRED_TOKEN: refuse_token(ex, "expired token"); break;
    case AUTH_EARLY_TOKEN: refuse_token(ex, "token not valid yet"); break;
    case AUTH_ENDED_TOKEN: refuse_token(ex, "token of an older secret"); break;
    case AUTH_UNKNOWN_CLIENT: refuse_token(ex, "unknown client"); break;
    case AUTH_DISABLED_CLIENT:
        ex->is_client_known = true;
        exchange_note(ex, FIELD_AUTH_FAIL, "disabled client");
        exchange_answer_detail(ex, 400, "API Client has been disabled");
        break;
    case AUTH_LACKS_SCOPE:
        ex->is_client_known = true;
        exchange_note(ex, FIELD_AUTH_FAIL, "insufficient scope");
        exchange_answer_lacks_scope(ex, ex->route->scope);
        break;
    case AUTH_UNAVAILABLE:
        exchange_note(ex, FIELD_AUTH_FAIL, "database unavailable");
        if (reply != NULL)
            resource_answer_error(ex, reply);
        else
            exchange_answer_unavailable(ex, EXCHANGE_NO_DATABASE);
        break;
    }
}

static void
on_auth_result(void *arg, auth_result result, const pg_reply *reply)
{
    exchange *ex = arg;

    exchange_end_wait(ex);
    use_auth_result(ex, result, reply);
}

static void
abandon_lookup(void *awaited)
{
    auth_abandon(awaited);
}

static void
authorize(exchange *ex)
{
    const char *authorization = http_get_header(ex->request, "Authorization");
    auth_lookup *lookup;
    auth_result result;

    if (auth_check(ex->app->auth, authorization, ex->route->scope, &ex->client_id, &result, &lookup,
                   on_auth_result, ex))
        use_auth_result(ex, result, NULL);
    else
        exchange_wait(ex, lookup, abandon_lookup);
}

/* ---- routing ------------------------------------------------------------------- */

static void
answer_redirect(exchange *ex)
{
    buf header = BUF_INIT;
    const char *path, *query;
    size_t path_length;

    uri_split(ex->request->target, &path, &path_length, &query);
    buf_printf(&header, "Location: %.*s%s%s\r\n", (int)path_length - 1, path, query ? "?" : "",
               query ? query : "");
    exchange_answer(ex, 307, buf_text(&header), NULL, "", 0);
    buf_free(&header);
}

static void
answer_wrong_method(exchange *ex, const route *found)
{
    buf header = BUF_INIT;

    buf_append_string(&header, "Allow: ");
    routes_append_methods(found, &header);
    buf_append_string(&header, "\r\n");
    ex->path_template = found->path;
    exchange_answer_detail_with(ex, 405, buf_text(&header), "Method Not Allowed");
    buf_free(&header);
}

static void
dispatch(exchange *ex)
{
    const route *found = NULL;
    const char *value;
    size_t value_length;
    routes_match match =
        routes_find(ex->request->method, ex->path, ex->path_length, &found, &value, &value_length);

    if (value != NULL && match != ROUTES_REDIRECT)
        ex->path_value = uri_decode(value, value_length, false);
    switch (match) {
    case ROUTES_FOUND: break;
    case ROUTES_NOT_FOUND: exchange_answer_detail(ex, 404, "Not Found"); return;
    case ROUTES_WRONG_METHOD: answer_wrong_method(ex, found); return;
    case ROUTES_REDIRECT: answer_redirect(ex); return;
    }
    ex->route = found;
    ex->path_template = found->path;
    switch (found->access) {
    case ACCESS_PUBLIC: found->handler(ex); break;
    case ACCESS_BEARER: authorize(ex); break;
    case ACCESS_METRICS: service_authorize_scrape(ex); break;
    case ACCESS_PUBSUB: pubsub_authorize_push(ex); break;
    }
}

void
dispatch_request(void *arg, server_call *call, const http_request *request)
{
    dispatch(exchange_new(arg, call, request));
}
