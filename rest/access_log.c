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

#define LOG_TYPE "ctms.web"
#define OMITTED "[OMITTED]"
/* Answers larger than this are not searched for addresses to trace. */
#define TRACE_SEARCH_MAX (64 * 1024)
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
        if (!isalnum((unsigned char)name[i]) && memchr("-_.", name[i], 3) == NULL)
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

static bool
is_address_char(unsigned char c)
{
    return isalnum(c) || c >= 0x80 || (c != '\0' && strchr("+-_.@!#$%&'*/=?^`{|}~", c) != NULL);
}

/* The first address in a text that has a trace mark, or NULL. The caller frees it. */
static char *
trace_in(const char *text, size_t length)
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

/* The address may be in the request, or only in the answer. */
static char *
find_trace(const exchange *ex, const char *answer, size_t length)
{
    const http_request *request = ex->request;
    char *trace = NULL;

    if (ex->path_value.data != NULL)
        trace = trace_in(ex->path_value.data, ex->path_value.length);
    for (size_t i = 0; i < ex->query.count && trace == NULL; i++)
        trace = trace_in(ex->query.parameters[i].value.data, ex->query.parameters[i].value.length);
    if (trace == NULL && request->body_length > 0 && ex->is_client_allowed)
        trace = trace_in(request->body, request->body_length);
    if (trace == NULL && length <= TRACE_SEARCH_MAX)
        trace = trace_in(answer, length);
    return trace;
}

/* Logs the body if it is JSON; anything else could break the JSON of the line. */
static void
log_body(log_line *line, const http_request *request)
{
    json_t *json = request->body_length > 0
                       ? json_loadb(request->body, request->body_length, JSON_DECODE_ANY, NULL)
                       : NULL;

    if (json != NULL)
        log_json(line, fields[FIELD_TRACE_JSON].name, request->body, request->body_length);
    json_decref(json);
}

/* The address may have been noted before, and so may the JSON that is shown instead of the body. */
static void
log_trace(log_line *line, const exchange *ex, const char *answer, size_t length)
{
    char *found = ex->fields[FIELD_TRACE] ? NULL : find_trace(ex, answer, length);

    if (found != NULL)
        log_string(line, fields[FIELD_TRACE].name, found);
    if ((found != NULL || ex->fields[FIELD_TRACE] != NULL) && ex->fields[FIELD_TRACE_JSON] == NULL)
        log_body(line, ex->request);
    free(found);
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
    log_trace(line, ex, answer, length);
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
