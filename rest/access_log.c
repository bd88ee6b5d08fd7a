/* access_log.c: the line that each request leaves in the log, without what must not be there. */
#include "rest/access_log.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "rest/route.h"

#define LOG_TYPE "ctms.web"
#define OMITTED "[OMITTED]"

/* ---- what may be shown -------------------------------------------------------- */

/* Wherever an address may hide, an at sign gives it away. */
static bool
may_hold_address(const char *text, size_t length)
{
    return memchr(text, '@', length) != NULL || memmem(text, length, "%40", 3) != NULL;
}

static bool
is_private_parameter(const char *name)
{
    static const char *const words[] = {"token", "secret", "password", "pubsub_client"};

    /* basket_token is an identifier, as email_id is. */
    if (strcasecmp(name, "basket_token") == 0 || strcasecmp(name, "email_id") == 0)
        return false;
    if (strcasestr(name, "email") != NULL && strcasestr(name, "email_id") == NULL)
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(name, words[i]) != NULL)
            return true;
    }
    return false;
}

static bool
is_private_header(const char *name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
                                        "set-cookie"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* True if the last segment of the path is not to be shown. */
static bool
is_private_path(const exchange *ex)
{
    if (ex->path_value.data == NULL)
        return may_hold_address(ex->path, ex->path_length);
    return ex->request->method == HTTP_DELETE ||
           may_hold_address(ex->path_value.data, ex->path_value.length);
}

static void
append_path(buf *out, const exchange *ex)
{
    if (!is_private_path(ex))
        buf_append(out, ex->path, ex->path_length);
    else if (ex->path_value.data != NULL)
        buf_printf(out, "%.*s" OMITTED, (int)strcspn(ex->path_template, "{"), ex->path_template);
    else
        buf_append_string(out, "/" OMITTED);
}

/* ---- the objects of the line ------------------------------------------------------ */

static void
append_pair(buf *out, const char *name, size_t name_length, const char *value, size_t value_length)
{
    if (out->length > 1)
        buf_append_string(out, ", ");
    buf_append_json(out, name, name_length);
    buf_append_string(out, ": ");
    buf_append_json(out, value, value_length);
}

static void
log_path_parameters(log_line *line, const exchange *ex)
{
    buf json = BUF_INIT;

    buf_append_char(&json, '{');
    if (ex->path_value.data != NULL && ex->route != NULL) {
        char name[64];

        route_name_parameter(ex->route, name, sizeof(name));
        if (is_private_path(ex))
            append_pair(&json, name, strlen(name), OMITTED, strlen(OMITTED));
        else
            append_pair(&json, name, strlen(name), ex->path_value.data, ex->path_value.length);
    }
    buf_append_char(&json, '}');
    log_json(line, "path_params", json.data, json.length);
    buf_free(&json);
}

static void
log_query(log_line *line, const exchange *ex)
{
    buf json = BUF_INIT;

    buf_append_char(&json, '{');
    for (size_t i = 0; i < ex->query.count; i++) {
        const uri_text *name = &ex->query.parameters[i].name;
        const uri_text *value = &ex->query.parameters[i].value;

        if (uri_query_get(&ex->query, name->data) != value)
            continue;
        if (may_hold_address(name->data, name->length))
            append_pair(&json, OMITTED, strlen(OMITTED), OMITTED, strlen(OMITTED));
        else if (value->length > 0 &&
                 (is_private_parameter(name->data) || may_hold_address(value->data, value->length)))
            append_pair(&json, name->data, name->length, OMITTED, strlen(OMITTED));
        else
            append_pair(&json, name->data, name->length, value->data, value->length);
    }
    buf_append_char(&json, '}');
    log_json(line, "query", json.data, json.length);
    buf_free(&json);
}

static void
log_headers(log_line *line, const http_request *request)
{
    buf json = BUF_INIT;

    buf_append_char(&json, '{');
    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;
        const char *value = request->headers[i].value;
        char lower[128];
        size_t length = 0;

        if (http_get_header(request, name) != value)
            continue;
        for (; name[length] != '\0' && length + 1 < sizeof(lower); length++)
            lower[length] = (char)tolower((unsigned char)name[length]);
        if (is_private_header(name) || may_hold_address(value, strlen(value)))
            append_pair(&json, lower, length, OMITTED, strlen(OMITTED));
        else
            append_pair(&json, lower, length, value, strlen(value));
    }
    buf_append_char(&json, '}');
    log_json(line, "headers", json.data, json.length);
    buf_free(&json);
}

/* ---- tracing --------------------------------------------------------------------------- */

static bool
is_address_char(unsigned char c)
{
    return isalnum(c) || c >= 0x80 || (c != '\0' && strchr("+-_.@!#$%&'*/=?^`{|}~", c) != NULL);
}

char *
access_log_find_trace(const char *text, size_t length)
{
    static const char *const marks[] = {"+trace_me_mozilla_", "+trace-me-mozilla-"};

    for (size_t i = 0; i < 2; i++) {
        const char *mark = length ? memmem(text, length, marks[i], strlen(marks[i])) : NULL;
        const char *begin = mark, *end = mark;

        if (mark == NULL)
            continue;
        while (begin > text && is_address_char((unsigned char)begin[-1]))
            begin--;
        while (end < text + length && is_address_char((unsigned char)*end))
            end++;
        return xstrndup(begin, (size_t)(end - begin));
    }
    return NULL;
}

/* The request's JSON, if it is JSON: a line of the log must stay one. */
static void
log_trace(log_line *line, const exchange *ex)
{
    json_t *json;

    if (ex->trace == NULL)
        return;
    log_string(line, "trace", ex->trace);
    if (ex->trace_json != NULL)
        log_json(line, "trace_json", ex->trace_json, strlen(ex->trace_json));
    if (ex->trace_json != NULL || ex->request->body_length == 0)
        return;
    json = json_loadb(ex->request->body, ex->request->body_length, JSON_DECODE_ANY, NULL);
    if (json != NULL)
        log_json(line, "trace_json", ex->request->body, ex->request->body_length);
    json_decref(json);
}

/* ---- lines --------------------------------------------------------------------------------- */

static void
log_client(log_line *line, const exchange *ex)
{
    log_string(line, "client_id", ex->client_id);
    if (ex->is_client_known)
        log_bool(line, "client_allowed", ex->is_client_allowed);
    if (ex->auth_fail != NULL)
        log_string(line, "auth_fail", ex->auth_fail);
    if (ex->token_fail != NULL)
        log_string(line, "token_fail", ex->token_fail);
    if (ex->token_creds_from != NULL)
        log_string(line, "token_creds_from", ex->token_creds_from);
}

static void
log_json_text(log_line *line, const char *name, const char *json)
{
    if (json != NULL)
        log_json(line, name, json, strlen(json));
}

static void
log_stripe(log_line *line, const exchange *ex)
{
    const char *name;
    json_t *value;

    log_json_text(line, "ingest_actions", ex->ingest_actions);
    log_json_text(line, "ingest_errors", ex->ingest_errors);
    log_json_text(line, "ingest_warnings", ex->ingest_warnings);
    log_json_text(line, "fxa_id_conflict", ex->fxa_id_conflict);
    json_object_foreach(ex->pubsub_claims, name, value)
    {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        char full_name[64];

        snprintf(full_name, sizeof(full_name), "pubsub_%s", name);
        log_json_text(line, full_name, text);
        free(text);
    }
}

void
access_log_write(const exchange *ex, int status, double duration_s)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);
    buf path = BUF_INIT;

    if (line == NULL)
        return;
    append_path(&path, ex);
    log_string(line, "client_host", server_call_host(ex->call));
    log_string(line, "method", ex->request->method_name);
    log_string_n(line, "path", path.data, path.length);
    log_string(line, "path_template", ex->path_template);
    log_path_parameters(line, ex);
    log_query(line, ex);
    log_headers(line, ex->request);
    log_string(line, "rid", ex->rid);
    log_client(line, ex);
    log_stripe(line, ex);
    log_trace(line, ex);
    if (ex->route != NULL && ex->route->is_monitoring && status == 200)
        log_bool(line, "trivial", true);
    log_int(line, "status_code", status);
    log_real(line, "duration_s", duration_s);
    log_end(line, "%s:%d %s '%s %s HTTP/1.%d' %d", server_call_host(ex->call),
            server_call_port(ex->call), ex->client_id ? ex->client_id : "-",
            ex->request->method_name, buf_text(&path), ex->request->minor_version, status);
    buf_free(&path);
}

void
access_log_write_refused(const server_call *call, int status, const char *detail)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);

    log_string(line, "client_host", server_call_host(call));
    log_int(line, "status_code", status);
    log_end(line, "%s:%d - refused before it was a request: %d %s", server_call_host(call),
            server_call_port(call), status, detail);
}

void
access_log_write_cut_off(const server_call *call, const char *why)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);

    log_string(line, "client_host", server_call_host(call));
    log_end(line, "%s:%d - answer cut off: %s", server_call_host(call), server_call_port(call),
            why);
}
