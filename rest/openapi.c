/* openapi.c: makes the OpenAPI 3.1 document from the table of routes; see openapi.h. */
#include "rest/openapi.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/include_file.h"
#include "rest/resource.h"
#include "rest/route.h"

/* What the routes do not contain: schemas, descriptions, examples. */
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

/* ---- parameters -------------------------------------------------------------------- */

/* where is "path" or "query". about is the name under which the value is described; it may differ
 * from name. */
static json_t *
describe_parameter(const json_t *parts, const char *name, const char *where, const char *about)
{
    json_t *known = json_object_get(json_object_get(parts, "parameters"), about);
    json_t *parameter = json_pack("{s:s, s:s}", "name", name, "in", where);

    json_object_update(parameter, known);
    if (strcmp(where, "path") == 0)
        json_object_set_new(parameter, "required", json_true());
    return parameter;
}

static json_t *
describe_parameters(const json_t *parts, const route *r, const char *path)
{
    json_t *list = json_array();
    const char *open = strchr(path, '{');
    char own[64], shown[64];

    if (open != NULL) {
        /* Methods of one path may name its parameter differently, but the document needs one
         * name. */
        route_name_parameter(r, own, sizeof(own));
        snprintf(shown, sizeof(shown), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
        json_array_append_new(list, describe_parameter(parts, shown, "path", own));
    }
    for (size_t i = 0; r->resource != NULL && i < RESOURCE_PARAMETERS_MAX; i++) {
        const resource_parameter *parameter = &r->resource->parameters[i];

        switch (parameter->source) {
        case FROM_QUERY:
            json_array_append_new(
                list, describe_parameter(parts, parameter->name, "query", parameter->name));
            break;
        case FROM_NOWHERE:
        case FROM_PATH:
        case FROM_BODY:
        /* Not in the query: none, the path (see above), the body, a setting. */
        case FROM_SERVER: break;
        }
    }
    if (r->access == ACCESS_PUBSUB)
        json_array_append_new(list,
                              describe_parameter(parts, "pubsub_client", "query", "pubsub_client"));
    return list;
}

/* ---- bodies and answers ---------------------------------------------------------------- */

static json_t *
describe_body(const json_t *parts, const char *schema)
{
    json_t *content = json_object();
    json_t *media = json_pack("{s:o}", "schema", reference(schema));
    json_t *example = json_object_get(json_object_get(parts, "examples"), schema);

    if (example != NULL)
        json_object_set(media, "example", example);
    if (strcmp(schema, "token_request") == 0) {
        json_object_set(content, "application/x-www-form-urlencoded", media);
        json_object_set(content, "multipart/form-data", media);
    } else {
        json_object_set(content, "application/json", media);
    }
    json_decref(media);
    return json_pack("{s:b, s:o}", "required", strcmp(schema, "token_request") != 0, "content",
                     content);
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
    case 422: return "invalid";
    case 500: return "failure";
    case 503: return strcmp(r->path, "/__heartbeat__") == 0 ? "heartbeat" : "error";
    default: return status >= 400 ? "error" : NULL;
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

static json_t *
describe_answer(const route *r, int status)
{
    const char *schema = answer_schema(r, status);
    json_t *answer = json_pack("{s:s}", "description", http_reason(status));
    const char *header = status == 307 || is_location_told(r, status) ? "Location"
                         : status == 503 && r->answer != NULL         ? "Retry-After"
                         : status == 401 || status == 403             ? "WWW-Authenticate"
                                                                      : NULL;

    if (schema != NULL)
        json_object_set_new(
            answer, "content",
            json_pack("{s:{s:o}}", "application/json", "schema", reference(schema)));
    else if (status == 200 && r->text_types[0] != NULL)
        json_object_set_new(answer, "content", describe_texts(r));
    if (header != NULL && strcmp(r->path, "/__heartbeat__") != 0)
        json_object_set_new(answer, "headers",
                            json_pack("{s:{s:{s:s}}}", header, "schema", "type", "string"));
    return answer;
}

static json_t *
describe_answers(const route *r)
{
    json_t *answers = json_object();
    char name[8];

    for (size_t i = 0; i < ROUTE_STATUSES_MAX && r->statuses[i] != 0; i++) {
        snprintf(name, sizeof(name), "%d", r->statuses[i]);
        json_object_set_new(answers, name, describe_answer(r, r->statuses[i]));
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
describe_operation(const json_t *parts, const route *r, const char *path, const char *method)
{
    json_t *operation =
        json_pack("{s:s, s:[s], s:o, s:o}", "summary", r->summary, "tags", tag_of(r), "security",
                  describe_access(r), "responses", describe_answers(r));
    json_t *parameters = describe_parameters(parts, r, path);
    buf id = BUF_INIT;

    buf_append_string(&id, method);
    for (const char *c = r->path; *c != '\0'; c++) {
        if (strchr("{}", *c) == NULL)
            buf_append_char(&id, strchr("/.", *c) ? '_' : *c);
    }
    json_object_set_new(operation, "operationId", json_string(buf_text(&id)));
    buf_free(&id);
    if (json_array_size(parameters) > 0)
        json_object_set(operation, "parameters", parameters);
    json_decref(parameters);
    if (r->body != NULL)
        json_object_set_new(operation, "requestBody", describe_body(parts, r->body));
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

static json_t *
describe_paths(const json_t *parts, const app *a)
{
    json_t *paths = json_object();

    for (size_t i = 0; i < a->route_count; i++) {
        const route *r = &a->routes[i];
        const char *path = r->path;
        char method[16];
        json_t *item;

        for (size_t j = i; j > 0; j--) {
            if (route_is_same_path(a->routes[j - 1].path, r->path))
                path = a->routes[j - 1].path;
        }
        item = json_object_get(paths, path);
        if (item == NULL) {
            json_object_set_new(paths, path, json_object());
            item = json_object_get(paths, path);
        }
        write_method(r->method, method, sizeof(method));
        json_object_set_new(item, method, describe_operation(parts, r, path, method));
    }
    return paths;
}

/* The scheme client_credentials of the parts, with the scopes that there are. */
static void
add_scopes(json_t *schemes)
{
    json_t *flows = json_object_get(json_object_get(schemes, "client_credentials"), "flows");
    json_t *scopes = json_object_get(json_object_get(flows, "clientCredentials"), "scopes");

    for (const scope *s = scope_table; s->name != NULL; s++)
        json_object_set_new(scopes, s->name, json_string(s->description));
}

/* The path under which clients reach the server, which may be behind a proxy. */
static const char *
base_path(const char *prefix)
{
    const char *host = strstr(prefix, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;

    return path ? path : "/";
}

static char *
build(const char *contact_schemas, const app *a)
{
    json_t *parts = json_loadb(openapi_parts, (size_t)(openapi_parts_end - openapi_parts), 0, NULL);
    json_t *schemas = json_loads(contact_schemas, 0, NULL);
    json_t *document;
    char *text;

    json_object_update(schemas, json_object_get(parts, "schemas"));
    add_scopes(json_object_get(parts, "securitySchemes"));
    document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:o, s:{s:o, s:O}}", "openapi", "3.1.0", "info",
        "title", "ctms", "version", config_version(), "description",
        "Contacts, their newsletters and waitlists. HEAD works where GET does.", "servers", "url",
        base_path(a->server_prefix), "paths", describe_paths(parts, a), "components", "schemas",
        schemas, "securitySchemes", json_object_get(parts, "securitySchemes"));
    text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    json_decref(parts);
    return text;
}

static void
on_schemas(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    char *text;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    text = build(PQgetvalue(reply->result, 0, 0), ex->app);
    if (text != NULL)
        exchange_answer_json(ex, 200, text);
    else
        exchange_answer_failure(ex, "could not make the OpenAPI document", NULL);
    free(text);
}

void
openapi_handle_document(exchange *ex)
{
    exchange_query(ex, &get_schemas, NULL, on_schemas);
}
