/* openapi.c: makes the OpenAPI 3.1 document from the table of routes; see openapi.h. */
#include "rest/openapi.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/include_file.h"
#include "common/version.h"
#include "rest/resource.h"
#include "rest/route.h"

/* What neither the routes nor the table of fields contain: schemas, descriptions, examples. */
INCLUDE_FILE(openapi_parts, "rest/openapi_parts.json");

#define REFERENCE "#/components/schemas/%s"

static const pg_statement get_schemas = {
    "SELECT ctms.contact_schemas()", 0, true, "contact_schemas", PG_ONE_ROW, false};

static json_t *
reference(const char *schema)
{
    char name[64];

    /* "[x]" is a list of x. */
    if (schema[0] == '[') {
        snprintf(name, sizeof(name), "%.*s", (int)strlen(schema) - 2, schema + 1);
        return json_pack("{s:s, s:o}", "type", "array", "items", reference(name));
    }
    return json_pack("{s:o}", "$ref", json_sprintf(REFERENCE, schema));
}

/* What the document is made of. */
typedef struct sources {
    const json_t *parts;   /* openapi_parts.json */
    const json_t *schemas; /* those of the parts and those of contacts, by name */
} sources;

static json_t *
first_example(const json_t *schema)
{
    return json_array_get(json_object_get(schema, "examples"), 0);
}

/* ---- parameters -------------------------------------------------------------------- */

/* An id of a contact; it is described where answers show it. */
static void
describe_identifier(json_t *parameter, const json_t *property)
{
    json_t *format = json_object_get(property, "format");
    json_t *schema = json_pack("{s:s}", "type", "string");

    if (format != NULL)
        json_object_set(schema, "format", format);
    json_object_set_new(parameter, "schema", schema);
    json_object_set(parameter, "description", json_object_get(property, "description"));
    json_object_set(parameter, "example", first_example(property));
}

/* where is "path" or "query". */
static json_t *
describe_parameter(const sources *from, const char *name, const char *where)
{
    json_t *known = json_object_get(json_object_get(from->parts, "parameters"), name);
    json_t *ids = json_object_get(json_object_get(from->schemas, "identity"), "properties");
    json_t *parameter = json_pack("{s:s, s:s}", "name", name, "in", where);

    if (known != NULL)
        json_object_update(parameter, known);
    else
        describe_identifier(parameter, json_object_get(ids, name));
    if (strcmp(where, "path") == 0)
        json_object_set_new(parameter, "required", json_true());
    return parameter;
}

static json_t *
describe_parameters(const sources *from, const route *r)
{
    json_t *list = json_array();
    char name[64];

    route_name_parameter(r, name, sizeof(name));
    if (name[0] != '\0')
        json_array_append_new(list, describe_parameter(from, name, "path"));
    for (size_t i = 0; r->resource != NULL && i < RESOURCE_PARAMETERS_MAX; i++) {
        const resource_parameter *parameter = &r->resource->parameters[i];

        switch (parameter->source) {
        case FROM_QUERY:
            json_array_append_new(list, describe_parameter(from, parameter->name, "query"));
            break;
        case FROM_NOWHERE:
        case FROM_PATH:
        case FROM_BODY:
        /* Not in the query: none, the path (see above), the body, a setting. */
        case FROM_SERVER: break;
        }
    }
    if (r->access == ACCESS_PUBSUB)
        json_array_append_new(list, describe_parameter(from, "pubsub_client", "query"));
    return list;
}

/* ---- bodies and answers ---------------------------------------------------------------- */

static json_t *
describe_body(const sources *from, const char *schema)
{
    bool is_form = strcmp(schema, "token_request") == 0;
    json_t *example = first_example(json_object_get(from->schemas, schema));

    return json_pack("{s:b, s:{s:{s:o, s:O*}}}", "required", !is_form, "content",
                     is_form ? "application/x-www-form-urlencoded" : "application/json", "schema",
                     reference(schema), "example", example);
}

static const char *
answer_schema(const route *r, int status)
{
    /* The codes of RFC 6749, 5.2, are for what the client can mend. */
    if (strcmp(r->path, "/token") == 0 && (status == 400 || status == 413))
        return "token_error";
    if (strcmp(r->path, "/stripe") == 0 && (status == 400 || status == 409))
        return "stripe_error";
    switch (status) {
    case 200:
    case 201: return r->answer;
    case 202: return "pubsub_refused";
    case 422: return "http_validation_error";
    case 500: return "internal_error";
    case 503: return strcmp(r->path, "/__heartbeat__") == 0 ? "heartbeat" : "api_error";
    default: return status >= 400 ? "api_error" : NULL;
    }
}

static json_t *
describe_texts(const route *r)
{
    json_t *content = json_object();

    for (size_t i = 0; i < sizeof(r->text_types) / sizeof(r->text_types[0]); i++) {
        if (r->text_types[i] != NULL)
            json_object_set_new(content, r->text_types[i],
                                json_pack("{s:{s:s}}", "schema", "type", "string"));
    }
    return content;
}

/* A POST that creates something tells where it is, also when it was there already. */
static bool
is_location_told(const route *r, int status)
{
    bool can_create = false;

    for (size_t i = 0; i < ROUTE_STATUSES_MAX; i++)
        can_create |= r->statuses[i] == 201;
    return r->method == HTTP_POST && can_create && (status == 200 || status == 201);
}

/* What the parts say of a status of the operation, or else of the status. */
static json_t *
find_in_answers(const sources *from, const route *r, int status, const char *member)
{
    char name[8];
    json_t *answers, *own;

    snprintf(name, sizeof(name), "%d", status);
    answers = json_object_get(json_object_get(from->parts, "answers"), name);
    own = json_object_get(json_object_get(answers, r->id), member);
    return own ? own : json_object_get(json_object_get(answers, "*"), member);
}

static const char *
answer_header(const route *r, int status)
{
    if (strcmp(r->path, "/__heartbeat__") == 0)
        return NULL;
    if (status == 307 || is_location_told(r, status))
        return "Location";
    if (status == 503 && r->answer != NULL)
        return "Retry-After";
    return status == 401 || status == 403 ? "WWW-Authenticate" : NULL;
}

static json_t *
describe_answer(const sources *from, const route *r, int status)
{
    const char *schema = answer_schema(r, status);
    const char *header = answer_header(r, status);
    json_t *description = find_in_answers(from, r, status, "description");
    json_t *example = find_in_answers(from, r, status, "example");
    json_t *answer = json_object();

    if (description != NULL)
        json_object_set(answer, "description", description);
    else
        json_object_set_new(answer, "description", json_string(http_reason(status)));
    if (schema != NULL)
        json_object_set_new(answer, "content",
                            json_pack("{s:{s:o, s:O*}}", "application/json", "schema",
                                      reference(schema), "example", example));
    else if (status == 200 && r->text_types[0] != NULL)
        json_object_set_new(answer, "content", describe_texts(r));
    if (header != NULL)
        json_object_set_new(answer, "headers",
                            json_pack("{s:{s:{s:s}}}", header, "schema", "type", "string"));
    return answer;
}

static json_t *
describe_answers(const sources *from, const route *r)
{
    json_t *answers = json_object();
    char name[8];

    for (size_t i = 0; i < ROUTE_STATUSES_MAX && r->statuses[i] != 0; i++) {
        snprintf(name, sizeof(name), "%d", r->statuses[i]);
        json_object_set_new(answers, name, describe_answer(from, r, r->statuses[i]));
    }
    return answers;
}

/* ---- operations -------------------------------------------------------------------------- */

static json_t *
list_scopes(scope_set set)
{
    json_t *list = json_array();

    for (const scope *s = scope_table; s->name != NULL; s++) {
        if (set & s->bit)
            json_array_append_new(list, json_string(s->name));
    }
    return list;
}

static json_t *
describe_access(const route *r)
{
    switch (r->access) {
    case ACCESS_BEARER:
        return json_pack("[{s:o}, {s:o}]", "client_credentials", list_scopes(r->scope),
                         "access_token", list_scopes(r->scope));
    case ACCESS_METRICS: return json_pack("[{}, {s:[]}]", "metrics_token");
    case ACCESS_PUBSUB: return json_pack("[{s:[]}]", "pubsub");
    case ACCESS_PUBLIC: break;
    }
    return json_array();
}

static const char *
tag_of(const route *r)
{
    static const char *const tags[][2] = {
        {"/ctms", "contacts"},       {"/updates", "contacts"}, {"/identit", "contacts"},
        {"/waitlists", "waitlists"}, {"/stripe", "Stripe"},    {"/token", "access"},
    };

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (strncmp(r->path, tags[i][0], strlen(tags[i][0])) == 0)
            return tags[i][1];
    }
    return "service";
}

static json_t *
describe_operation(const sources *from, const route *r)
{
    json_t *operation = json_pack(
        "{s:s, s:s, s:O*, s:[s], s:o, s:o}", "operationId", r->id, "summary", r->summary,
        "description", json_object_get(json_object_get(from->parts, "operations"), r->id), "tags",
        tag_of(r), "security", describe_access(r), "responses", describe_answers(from, r));
    json_t *parameters = describe_parameters(from, r);

    if (json_array_size(parameters) > 0)
        json_object_set(operation, "parameters", parameters);
    json_decref(parameters);
    if (r->body != NULL)
        json_object_set_new(operation, "requestBody", describe_body(from, r->body));
    return operation;
}

/* OpenAPI wants methods in small letters. */
static void
write_method(http_method method, char *name, size_t size)
{
    snprintf(name, size, "%s", http_method_name(method));
    for (; *name != '\0'; name++)
        *name = (char)tolower((unsigned char)*name);
}

/*
 * A path whose parameter has two names is there twice. For OpenAPI these are one path, but then the
 * parameter would have one name, and that of DELETE is another than that of the others.
 */
static json_t *
describe_paths(const sources *from, const app *a)
{
    json_t *paths = json_object();

    for (size_t i = 0; i < a->route_count; i++) {
        const route *r = &a->routes[i];
        char method[16];

        write_method(r->method, method, sizeof(method));
        if (json_object_get(paths, r->path) == NULL)
            json_object_set_new(paths, r->path, json_object());
        json_object_set_new(json_object_get(paths, r->path), method, describe_operation(from, r));
    }
    return paths;
}

/* The path under which clients reach the server, which may be behind a proxy; "" for the root. */
static const char *
base_path(const char *prefix)
{
    const char *host = strstr(prefix, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;

    return path ? path : "";
}

/*
 * Completes the scheme client_credentials of the parts: the scopes that there are, and the path for
 * tokens. That begins with a slash, because clients differ in what they resolve a relative one by.
 */
static void
complete_schemes(json_t *schemes, const char *base)
{
    json_t *flows = json_object_get(json_object_get(schemes, "client_credentials"), "flows");
    json_t *flow = json_object_get(flows, "clientCredentials");
    json_t *scopes = json_object_get(flow, "scopes");

    json_object_set_new(flow, "tokenUrl", json_sprintf("%s/token", base));
    for (const scope *s = scope_table; s->name != NULL; s++)
        json_object_set_new(scopes, s->name, json_string(s->description));
}

/* Null if there is no memory. */
static char *
build(const char *contact_schemas, const app *a)
{
    json_t *parts = json_loadb(openapi_parts, (size_t)(openapi_parts_end - openapi_parts), 0, NULL);
    json_t *schemas = json_loads(contact_schemas, 0, NULL);
    const sources from = {parts, schemas};
    const char *base = base_path(a->server_prefix);
    json_t *document;
    char *text;

    json_object_update(schemas, json_object_get(parts, "schemas"));
    complete_schemes(json_object_get(parts, "securitySchemes"), base);
    document = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:O, s:o, s:{s:o, s:O}}", "openapi",
        "3.1.0", "info", "title", "ctms", "version", CTMS_VERSION, "description",
        "Contacts, their newsletters and waitlists. HEAD works where GET does.", "license", "name",
        "Mozilla Public License 2.0", "identifier", "MPL-2.0", "servers", "url",
        base[0] == '\0' ? "/" : base, "tags", json_object_get(parts, "tags"), "paths",
        describe_paths(&from, a), "components", "schemas", schemas, "securitySchemes",
        json_object_get(parts, "securitySchemes"));
    text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    json_decref(parts);
    return text;
}

/*
 * Everybody may ask for the document, and making it costs a hundred times as much as sending it. So
 * it is made anew only when the database describes contacts otherwise than for the last one.
 */
static const char *
find_document(app *a, const char *contact_schemas)
{
    if (a->openapi == NULL || strcmp(a->contact_schemas, contact_schemas) != 0) {
        free(a->openapi);
        free(a->contact_schemas);
        a->openapi = build(contact_schemas, a);
        a->contact_schemas = xstrdup(contact_schemas);
    }
    return a->openapi;
}

static void
on_schemas(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    const char *text;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    text = find_document(ex->app, PQgetvalue(reply->result, 0, 0));
    if (text != NULL)
        exchange_answer_json(ex, 200, text);
    else
        exchange_answer_failure(ex, "could not make the OpenAPI document", NULL);
}

void
openapi_handle_document(exchange *ex)
{
    exchange_query(ex, &get_schemas, NULL, on_schemas);
}
