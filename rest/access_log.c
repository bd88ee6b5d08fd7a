/* access_log.c: writes the lines of the log and decides what may be in them; see access_log.h. */
#include "rest/access_log.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "rest/resource.h"
#include "rest/route.h"
#include "rest/trace.h"

#define LOG_TYPE "ctms.web"
#define OMITTED "[OMITTED]"
/* Answers larger than this are not searched for addresses to trace. */
#define TRACE_SEARCH_MAX (64 * 1024)
/* Larger bodies are not logged. */
#define TRACE_JSON_MAX (16 * 1024)
/* Longer names of headers and parameters are not shown. */
#define NAME_MAX_SHOWN 40

static const struct {
    const char *name;
    bool is_json;
} fields[FIELD_COUNT] = {
#define EXCHANGE_FIELD(field, name, is_json) {name, is_json},
    EXCHANGE_FIELDS(EXCHANGE_FIELD)
#undef EXCHANGE_FIELD
};

/* ---- what may be shown -------------------------------------------------------- */

/* An address may be anywhere in a text; an at sign shows that there may be one. */
static bool
may_hold_address(const char *text, size_t length)
{
    return memchr(text, '@', length) != NULL || memmem(text, length, "%40", 3) != NULL;
}

/* What a caller may call a header or a parameter and still be shown: shorter than any secret. */
static bool
is_plain_name(const char *name, size_t length)
{
    if (length == 0 || length > NAME_MAX_SHOWN)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && (name[i] == '\0' || strchr("-_.", name[i]) == NULL))
            return false;
    }
    return true;
}

/* Only the parameters of the route: the values of others may be anything. */
static bool
is_known_parameter(const exchange *ex, const uri_text *name)
{
    const resource *known = ex->route ? ex->route->resource : NULL;

    for (size_t i = 0; known != NULL && i < RESOURCE_PARAMETERS_MAX; i++) {
        const resource_parameter *parameter = &known->parameters[i];

        if (parameter->source == FROM_QUERY && strlen(parameter->name) == name->length &&
            memcmp(parameter->name, name->data, name->length) == 0)
            return true;
    }
    return false;
}

/* Of the known parameters, those that are addresses. email_id and basket_token are identifiers. */
static bool
is_address_parameter(const char *name)
{
    return strstr(name, "primary_email") != NULL;
}

static int
compare_names(const void *name, const void *entry)
{
    return strcmp(name, *(const char *const *)entry);
}

/* Other headers may be credentials, whatever they are called; more of them are invented each year.
 * name is in small letters. */
static bool
is_shown_header(const char *name)
{
    /* Sorted. */
    static const char *const names[] = {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "cf-ray",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "te",
        "traceparent",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-amzn-trace-id",
        "x-cloud-trace-context",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    };

    return bsearch(name, names, sizeof(names) / sizeof(names[0]), sizeof(names[0]),
                   compare_names) != NULL;
}

/* True if the last segment of the path must not be shown. */
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

/* value NULL: it must not be shown. */
static void
append_pair(buf *object, const char *name, size_t name_length, const char *value,
            size_t value_length)
{
    buf_append_string(object, object->length > 0 ? ", " : "{");
    buf_append_json(object, name, name_length);
    buf_append_string(object, ": ");
    if (value != NULL)
        buf_append_json(object, value, value_length);
    else
        buf_append_json_string(object, OMITTED);
}

static void
log_object(log_line *line, const char *name, buf *object)
{
    buf_append_string(object, object->length > 0 ? "}" : "{}");
    log_json(line, name, object->data, object->length);
    buf_free(object);
}

static void
log_path_parameters(log_line *line, const exchange *ex)
{
    buf object = BUF_INIT;

    if (ex->path_value.data != NULL && ex->route != NULL) {
        char name[64];

        route_name_parameter(ex->route, name, sizeof(name));
        append_pair(&object, name, strlen(name), is_private_path(ex) ? NULL : ex->path_value.data,
                    ex->path_value.length);
    }
    log_object(line, "path_params", &object);
}

static void
log_query(log_line *line, const exchange *ex)
{
    buf object = BUF_INIT;
    bool has_unnamed = false;

    for (size_t i = 0; i < ex->query.count; i++) {
        const uri_text *name = &ex->query.parameters[i].name;
        const uri_text *value = &ex->query.parameters[i].value;
        bool is_private = value->length > 0 &&
                          (!is_known_parameter(ex, name) || is_address_parameter(name->data) ||
                           may_hold_address(value->data, value->length));

        if (uri_query_get(&ex->query, name->data) != value)
            continue;
        if (is_plain_name(name->data, name->length))
            append_pair(&object, name->data, name->length, is_private ? NULL : value->data,
                        value->length);
        else
            has_unnamed = true;
    }
    if (has_unnamed)
        append_pair(&object, OMITTED, strlen(OMITTED), NULL, 0);
    log_object(line, "query", &object);
}

static void
log_headers(log_line *line, const http_request *request)
{
    buf object = BUF_INIT;
    bool has_unnamed = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;
        const char *value = request->headers[i].value;
        size_t length = strlen(name);
        char lower[NAME_MAX_SHOWN + 1];

        if (http_get_header(request, name) != value)
            continue;
        if (!is_plain_name(name, length)) {
            has_unnamed = true;
            continue;
        }
        for (size_t j = 0; j <= length; j++)
            lower[j] = (char)tolower((unsigned char)name[j]);
        if (is_shown_header(lower) && !may_hold_address(value, strlen(value)))
            append_pair(&object, lower, length, value, strlen(value));
        else
            append_pair(&object, lower, length, NULL, 0);
    }
    if (has_unnamed)
        append_pair(&object, OMITTED, strlen(OMITTED), NULL, 0);
    log_object(line, "headers", &object);
}

/* ---- tracing --------------------------------------------------------------------------- */

/* Only who is allowed to see contacts can make the log show them. */
static bool
is_authorized(const exchange *ex, int status)
{
    return ex->route != NULL && ex->route->access != ACCESS_PUBLIC && ex->is_client_allowed &&
           status != 401 && status != 403;
}

/* The addresses may be in the request, or only in the answer. */
static void
search(trace *found, const exchange *ex, const char *answer, size_t length)
{
    const http_request *request = ex->request;

    if (ex->path_value.data != NULL)
        trace_search(found, ex->path_value.data, ex->path_value.length);
    for (size_t i = 0; i < ex->query.count; i++)
        trace_search(found, ex->query.parameters[i].value.data,
                     ex->query.parameters[i].value.length);
    if (request->body_length > 0)
        trace_search(found, request->body, request->body_length);
    if (length <= TRACE_SEARCH_MAX)
        trace_search(found, answer, length);
}

static bool
is_json(const char *text, size_t length)
{
    json_t *json = json_loadb(text, length, JSON_DECODE_ANY, NULL);

    json_decref(json);
    return json != NULL;
}

/* is_valid: it is known to be JSON. Anything else could break the JSON of the line. */
static void
log_traced_json(log_line *line, const char *text, size_t length, bool is_valid)
{
    const char *name = fields[FIELD_TRACE_JSON].name;
    char note[64];

    if (length > TRACE_JSON_MAX) {
        snprintf(note, sizeof(note), "[TOO LARGE: %zu bytes]", length);
        log_string(line, name, note);
    } else if (is_valid || is_json(text, length)) {
        log_json(line, name, text, length);
    }
}

/* The addresses may have been noted before, and so may the JSON that is shown instead of the body.
 */
static void
log_trace(log_line *line, const exchange *ex, int status, const char *answer, size_t length)
{
    const char *noted = ex->fields[FIELD_TRACE], *json = ex->fields[FIELD_TRACE_JSON];
    trace found = TRACE_INIT;

    if (!is_authorized(ex, status))
        return;
    if (noted == NULL)
        search(&found, ex, answer, length);
    if (noted != NULL || found.count > 0)
        log_string(line, fields[FIELD_TRACE].name, noted ? noted : buf_text(&found.addresses));
    if (json != NULL)
        log_traced_json(line, json, strlen(json), true);
    else if ((noted != NULL || found.count > 0) && ex->request->body_length > 0)
        log_traced_json(line, ex->request->body, ex->request->body_length, false);
    trace_free(&found);
}

/* ---- lines --------------------------------------------------------------------------------- */

/* What a request says of its client is not logged before it is known that there is one. */
static const char *
known_client_id(const exchange *ex)
{
    return ex->is_client_known ? ex->client_id : NULL;
}

static void
log_client(log_line *line, const exchange *ex)
{
    log_string(line, "client_id", known_client_id(ex));
    if (ex->is_client_known)
        log_bool(line, "client_allowed", ex->is_client_allowed);
}

static void
log_fields(log_line *line, const exchange *ex)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *text = ex->fields[i];

        if (i == FIELD_TRACE || i == FIELD_TRACE_JSON)
            continue;
        if (text != NULL && fields[i].is_json)
            log_json(line, fields[i].name, text, strlen(text));
        else if (text != NULL)
            log_string(line, fields[i].name, text);
    }
}

void
access_log_write(const exchange *ex, int status, double duration_s, const char *answer,
                 size_t length)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);
    const char *client_id = known_client_id(ex);
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
    log_fields(line, ex);
    log_trace(line, ex, status, answer, length);
    if (ex->route != NULL && ex->route->is_monitoring && status == 200)
        log_bool(line, "trivial", true);
    log_int(line, "status_code", status);
    log_real(line, "duration_s", duration_s);
    log_end(line, "%s:%d %s '%s %s HTTP/1.%d' %d", server_call_host(ex->call),
            server_call_port(ex->call), client_id ? client_id : "-", ex->request->method_name,
            buf_text(&path), ex->request->minor_version, status);
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
