/* access_log.c: writes the lines of the log and decides what may be in them; see access_log.h. */
#include "rest/access_log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "rest/log_rules.h"
#include "rest/resource.h"
#include "rest/route.h"
#include "rest/trace.h"

#define LOG_TYPE "ctms.web"
#define OMITTED LOG_OMITTED
/* Answers larger than this are not searched for addresses to trace. */
#define TRACE_SEARCH_MAX (64 * 1024)
/* Larger bodies are not logged. */
#define TRACE_JSON_MAX (16 * 1024)
/* Longer texts are cut, so that a line stays short enough for whoever collects them. */
#define TEXT_MAX 256
#define CUT "[CUT]"

static const struct {
    const char *name;
    bool is_json;
} fields[FIELD_COUNT] = {
#define EXCHANGE_FIELD(field, name, is_json) {name, is_json},
    EXCHANGE_FIELDS(EXCHANGE_FIELD)
#undef EXCHANGE_FIELD
};

/* ---- what may be shown -------------------------------------------------------- */

/* Only the parameters of the route: others may be anything, their names too. */
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

/* It is a secret, so that only its name is shown. */
static bool
is_secret_parameter(const uri_text *name)
{
    static const char pubsub_client[] = "pubsub_client";

    return name->length == strlen(pubsub_client) &&
           memcmp(name->data, pubsub_client, name->length) == 0;
}

/* Of the known parameters, those that are addresses. email_id and basket_token are identifiers. */
static bool
is_address_parameter(const char *name)
{
    return strstr(name, "primary_email") != NULL;
}

/* Appends a text that may be shown, but not all of it if it is long. */
static void
cut_text(buf *out, const char *text, size_t length)
{
    size_t shown = length;

    if (length > TEXT_MAX) {
        for (shown = TEXT_MAX; shown > TEXT_MAX - 4 && (text[shown] & 0xC0) == 0x80;)
            shown--;
    }
    buf_append(out, text, shown);
    buf_append_string(out, shown < length ? CUT : "");
}

/* A route has the path, or has it with another method. */
static bool
is_known_path(const exchange *ex)
{
    return ex->path_template[0] != '\0';
}

/* True if the parameter of a known path must not be shown. */
static bool
is_private_value(const exchange *ex)
{
    return ex->request->method == HTTP_DELETE ||
           log_rules_may_hold_address(ex->path_value.data, ex->path_value.length);
}

/* A path that is not known may be anything, such as that of a DELETE with a slash too many. */
static void
append_path(buf *out, const exchange *ex)
{
    if (is_known_path(ex) && ex->path_value.data != NULL && is_private_value(ex))
        buf_printf(out, "%.*s" OMITTED, (int)strcspn(ex->path_template, "{"), ex->path_template);
    else if (is_known_path(ex) || (ex->request->method != HTTP_DELETE &&
                                   log_rules_is_plain_path(ex->path, ex->path_length)))
        cut_text(out, ex->path, ex->path_length);
    else
        buf_append_string(out, "/" OMITTED);
}

/* ---- the objects of the line ------------------------------------------------------ */

/* value NULL: it must not be shown. */
static void
append_pair(buf *object, const char *name, size_t name_length, const char *value,
            size_t value_length)
{
    buf shown = BUF_INIT;

    buf_append_string(object, object->length > 0 ? ", " : "{");
    buf_append_json(object, name, name_length);
    buf_append_string(object, ": ");
    if (value != NULL)
        cut_text(&shown, value, value_length);
    else
        buf_append_string(&shown, OMITTED);
    buf_append_json(object, buf_text(&shown), shown.length);
    buf_free(&shown);
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
        append_pair(&object, name, strlen(name), is_private_value(ex) ? NULL : ex->path_value.data,
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
                           log_rules_may_hold_address(value->data, value->length));

        if (uri_query_get(&ex->query, name->data) != value)
            continue;
        if (is_known_parameter(ex, name) || is_secret_parameter(name))
            append_pair(&object, name->data, name->length, is_private ? NULL : value->data,
                        value->length);
        else
            has_unnamed = true;
    }
    if (has_unnamed)
        append_pair(&object, OMITTED, strlen(OMITTED), NULL, 0);
    log_object(line, "query", &object);
}

/* The bytes of a header's value that may be shown; 0 if it must not be shown. */
static size_t
shown_of_header(const exchange *ex, log_rules_header kind, const char *value)
{
    size_t length = strlen(value);

    switch (kind) {
    case LOG_HEADER_UNKNOWN:
    case LOG_HEADER_SECRET: return 0;
    case LOG_HEADER_TYPE: length = strcspn(value, "; \t"); break;
    case LOG_HEADER_ID: length = ex->is_rid_ours ? 0 : length; break;
    case LOG_HEADER_SHOWN: break;
    }
    return log_rules_may_hold_address(value, length) ? 0 : length;
}

static void
log_headers(log_line *line, const exchange *ex)
{
    const http_request *request = ex->request;
    buf object = BUF_INIT;
    bool has_unnamed = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const char *value = request->headers[i].value;
        const char *name;
        log_rules_header kind = log_rules_find_header(request->headers[i].name, &name);
        size_t shown;

        if (http_get_header(request, request->headers[i].name) != value)
            continue;
        if (kind == LOG_HEADER_UNKNOWN) {
            has_unnamed = true;
            continue;
        }
        shown = shown_of_header(ex, kind, value);
        append_pair(&object, name, strlen(name), shown > 0 || value[0] == '\0' ? value : NULL,
                    shown);
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
    log_string(line, "method", log_rules_method(ex->request));
    log_string_n(line, "path", path.data, path.length);
    log_string(line, "path_template", ex->path_template);
    log_path_parameters(line, ex);
    log_query(line, ex);
    log_headers(line, ex);
    log_string(line, "rid", ex->rid);
    log_client(line, ex);
    log_fields(line, ex);
    log_trace(line, ex, status, answer, length);
    if (ex->route != NULL && ex->route->is_monitoring && status == 200)
        log_bool(line, "trivial", true);
    log_int(line, "status_code", status);
    log_real(line, "duration_s", duration_s);
    log_end(line, "%s:%d %s '%s %s HTTP/1.%d' %d", server_call_host(ex->call),
            server_call_port(ex->call), client_id ? client_id : "-", log_rules_method(ex->request),
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
