/*
 * routes.c: the table of everything that the server answers, and the search for the row of a path.
 *
 * It names every handler, so only files that stand above all handlers include it: dispatch.c,
 * worker.c and main.c. The handlers read the rows through route.h.
 *
 * A function that answers a whole request is called <file>_handle_<what>; a function that makes the
 * answer of a resource from its result is called <file>_answer_<what>.
 */
#include "rest/routes.h"

#include <string.h>

#include "rest/contact.h"
#include "rest/docs.h"
#include "rest/openapi.h"
#include "rest/pubsub.h"
#include "rest/resource.h"
#include "rest/service.h"
#include "rest/stripe.h"
#include "rest/token.h"

/* The identifiers by which contacts are found, in the order of the SQL functions. */
/* clang-format off */
#define IDENTIFIERS \
    {{FROM_QUERY, "email_id", true}, {FROM_QUERY, "primary_email", false}, \
     {FROM_QUERY, "basket_token", false}, {FROM_QUERY, "sfdc_id", false}, \
     {FROM_QUERY, "mofo_contact_id", false}, {FROM_QUERY, "mofo_email_id", false}, \
     {FROM_QUERY, "amo_user_id", false}, {FROM_QUERY, "fxa_id", false}, \
     {FROM_QUERY, "fxa_primary_email", false}}

/* An empty email_id matches nothing. It is no UUID, so an empty address says it to the function. */
#define IDENTIFIER_VALUES \
    "nullif($1::text, '')::uuid, CASE $1 WHEN '' THEN '' ELSE $2 END, $3, $4, $5, $6, $7, $8, $9"

#define UNKNOWN_CONTACT "Unknown email_id"

static const resource get_contact = {
    .statement = {"SELECT ctms.get_contact($1::uuid)", 1, true, "get_contact", PG_ONE_ROW, false},
    .parameters = {{FROM_PATH, "email_id", true}},
    .status = 200,
    .missing = UNKNOWN_CONTACT,
};

static const resource find_contacts = {
    .statement = {"SELECT ctms.find_contacts(" IDENTIFIER_VALUES ")", 9, true, "find_contacts", PG_ONE_ROW, false},
    .parameters = IDENTIFIERS,
    .status = 200,
};

static const resource create_contact = {
    .statement = {"SELECT contact, is_created, email_id FROM ctms.create_contact($1)", 1, false, "contact,is_created,email_id", PG_ONE_ROW, false},
    .parameters = {{FROM_BODY, NULL, false}},
    .answer = contact_answer_created,
};

static const resource put_contact = {
    .statement = {"SELECT ctms.put_contact($1::uuid, $2)", 2, false, "put_contact", PG_ONE_ROW, true},
    .parameters = {{FROM_PATH, "email_id", true}, {FROM_BODY, NULL, false}},
    .status = 201,
};

static const resource patch_contact = {
    .statement = {"SELECT ctms.patch_contact($1::uuid, $2)", 2, false, "patch_contact", PG_ONE_ROW, true},
    .parameters = {{FROM_PATH, "email_id", true}, {FROM_BODY, NULL, false}},
    .status = 200,
};

static const resource delete_contact = {
    .statement = {"SELECT ctms.delete_contact($1)", 1, false, "delete_contact", PG_ONE_ROW, true},
    .parameters = {{FROM_PATH, "primary_email", false}},
    .answer = contact_answer_deleted,
};

static const resource get_updates = {
    .statement = {"SELECT ctms.get_updates_parts($1, $2, $3, $4, $5, $6)", 6, true, "get_updates_parts", PG_ONE_ROW, false},
    .is_streamed = true,
    .parameters = {{FROM_QUERY, "start", false}, {FROM_QUERY, "end", false},
                   {FROM_QUERY, "limit", false}, {FROM_QUERY, "after", false},
                   {FROM_QUERY, "mofo_relevant", false}, {FROM_SERVER, NULL, false}},
    .status = 200,
};

static const resource get_identity = {
    .statement = {"SELECT ctms.get_identity($1::uuid)", 1, true, "get_identity", PG_ONE_ROW, false},
    .parameters = {{FROM_PATH, "email_id", true}},
    .status = 200,
    .missing = UNKNOWN_CONTACT,
};

static const resource find_identities = {
    .statement = {"SELECT ctms.find_identities(" IDENTIFIER_VALUES ")", 9, true, "find_identities", PG_ONE_ROW, false},
    .parameters = IDENTIFIERS,
    .status = 200,
};

static const resource upsert_stripe = {
    .statement = {"SELECT ctms.upsert_stripe(coalesce(ctms.parse_stripe($1), ctms.parse_body($1)))", 1, false, "upsert_stripe", PG_ONE_ROW, false},
    .parameters = {{FROM_BODY, NULL, false}},
    .answer = stripe_answer_stored,
    .is_stripe = true,
};

static const resource ingest_pubsub = {
    .statement = {"SELECT ctms.ingest_pubsub($1::text)", 1, false, "ingest_pubsub", PG_ONE_ROW, false},
    .parameters = {{FROM_BODY, NULL, false}},
    .answer = pubsub_answer_report,
    .is_stripe = true,
};

static const resource list_waitlists = {
    .statement = {"SELECT ctms.list_waitlists()", 0, true, "list_waitlists", PG_ONE_ROW, false},
    .status = 200,
};

static const resource get_waitlist = {
    .statement = {"SELECT ctms.get_waitlist($1)", 1, true, "get_waitlist", PG_ONE_ROW, false},
    .parameters = {{FROM_PATH, "name", false}},
    .status = 200,
    .missing = "Unknown waitlist",
};

static const resource acoustic_configuration = {
    .statement = {"SELECT ctms.acoustic_configuration()", 0, true, "acoustic_configuration", PG_ONE_ROW, false},
    .status = 200,
};

#define RESOURCE(r) .handler = resource_handle_request, .resource = &(r)

/* The document and the page at /docs have this order, in which a newcomer tries the calls. */
const route routes_table[] = {
    {HTTP_POST, "/ctms", ACCESS_BEARER, SCOPE_CONTACTS_WRITE, RESOURCE(create_contact),
     .id = "create_contact", .summary = "Create a contact", .body = "new_contact", .answer = "contact",
     .statuses = {200, 201, 400, 401, 403, 409, 413, 422, 500, 503}},
    {HTTP_GET, "/ctms", ACCESS_BEARER, SCOPE_CONTACTS_READ, RESOURCE(find_contacts),
     .id = "find_contacts", .summary = "Find the contacts that match all given identifiers", .answer = "[contact]",
     .statuses = {200, 400, 401, 403, 422, 500, 503}},
    {HTTP_GET, "/ctms/{email_id}", ACCESS_BEARER, SCOPE_CONTACTS_READ, RESOURCE(get_contact),
     .id = "get_contact", .summary = "Get a contact", .answer = "contact",
     .statuses = {200, 400, 401, 403, 404, 422, 500, 503}},
    {HTTP_PUT, "/ctms/{email_id}", ACCESS_BEARER, SCOPE_CONTACTS_WRITE, RESOURCE(put_contact),
     .id = "put_contact", .summary = "Create or replace a contact", .body = "new_contact", .answer = "contact",
     .statuses = {201, 400, 401, 403, 409, 413, 422, 500, 503}},
    {HTTP_PATCH, "/ctms/{email_id}", ACCESS_BEARER, SCOPE_CONTACTS_WRITE, RESOURCE(patch_contact),
     .id = "patch_contact", .summary = "Change parts of a contact", .body = "changed_contact", .answer = "contact",
     .statuses = {200, 400, 401, 403, 404, 409, 413, 422, 500, 503}},
    {HTTP_DELETE, "/ctms/{primary_email}", ACCESS_BEARER, SCOPE_CONTACTS_DELETE, RESOURCE(delete_contact),
     .id = "delete_contact_by_primary_email", .summary = "Delete all data of the contact with an address", .answer = "[identity]",
     .statuses = {200, 400, 401, 403, 404, 422, 500, 503}},
    {HTTP_GET, "/updates", ACCESS_BEARER, SCOPE_CONTACTS_READ, RESOURCE(get_updates),
     .id = "get_updates", .summary = "Page through contacts by the time of their last change", .answer = "updates_page",
     .statuses = {200, 400, 401, 403, 422, 500, 503}},
    {HTTP_GET, "/identities", ACCESS_BEARER, SCOPE_CONTACTS_READ, RESOURCE(find_identities),
     .id = "find_identities", .summary = "Find the identities that match all given identifiers", .answer = "[identity]",
     .statuses = {200, 400, 401, 403, 422, 500, 503}},
    {HTTP_GET, "/identity/{email_id}", ACCESS_BEARER, SCOPE_CONTACTS_READ, RESOURCE(get_identity),
     .id = "get_identity", .summary = "Get the identity of a contact", .answer = "identity",
     .statuses = {200, 400, 401, 403, 404, 422, 500, 503}},
    {HTTP_POST, "/token", ACCESS_PUBLIC, SCOPE_NONE, .handler = token_handle_grant,
     .id = "get_token", .summary = "Get an access token", .body = "token_request", .answer = "token",
     .is_secret = true,
     .statuses = {200, 400, 413, 500, 503}},
    {HTTP_POST, "/stripe", ACCESS_BEARER, SCOPE_STRIPE_WRITE, RESOURCE(upsert_stripe),
     .id = "store_stripe_objects", .summary = "Store a Stripe object, or those of an event or list",
     .body = "stripe_object", .answer = "stripe_done",
     .statuses = {200, 400, 401, 403, 409, 413, 422, 500, 503}},
    {HTTP_POST, "/stripe_from_pubsub", ACCESS_PUBSUB, SCOPE_NONE, .handler = pubsub_handle_message,
     .resource = &ingest_pubsub, .has_large_body = true,
     .id = "store_pubsub_message", .summary = "Store the Stripe objects of a push message of Google Pub/Sub",
     .body = "pubsub_message", .answer = "pubsub_done",
     .statuses = {200, 202, 401, 409, 413, 500, 503}},
    {HTTP_GET, "/waitlists", ACCESS_BEARER, SCOPE_NONE, RESOURCE(list_waitlists),
     .id = "list_waitlists", .summary = "List the waitlists with the schemas of their fields", .answer = "waitlist_list",
     .statuses = {200, 400, 401, 500, 503}},
    {HTTP_GET, "/waitlists/{name}", ACCESS_BEARER, SCOPE_NONE, RESOURCE(get_waitlist),
     .id = "get_waitlist", .summary = "Get the schema of the fields of a waitlist", .answer = "waitlist_schema",
     .statuses = {200, 400, 401, 404, 422, 500, 503}},
    {HTTP_GET, "/acoustic_configuration", ACCESS_PUBLIC, SCOPE_NONE, RESOURCE(acoustic_configuration),
     .id = "get_acoustic_configuration", .summary = "Show what is synced to Acoustic", .answer = "acoustic_configuration",
     .statuses = {200, 500, 503}},
    {HTTP_GET, "/", ACCESS_PUBLIC, SCOPE_NONE, .handler = service_handle_root,
     .id = "go_to_docs", .summary = "Go to the documentation", .statuses = {307}},
    {HTTP_GET, "/docs", ACCESS_PUBLIC, SCOPE_NONE, .handler = docs_handle_page,
     .id = "get_docs", .summary = "Show the interactive documentation",
     .text_types = {"text/html; charset=utf-8"}, .statuses = {200}},
    {HTTP_GET, "/docs/{file}", ACCESS_PUBLIC, SCOPE_NONE, .handler = docs_handle_file,
     .id = "get_docs_file", .summary = "Get a file of the interactive documentation",
     .text_types = {"text/javascript; charset=utf-8", "text/css; charset=utf-8"}, .statuses = {200, 404}},
    {HTTP_GET, "/openapi.json", ACCESS_PUBLIC, SCOPE_NONE, .handler = openapi_handle_document,
     .id = "get_openapi", .summary = "Get this document", .answer = "openapi_document", .statuses = {200, 500, 503}},
    {HTTP_GET, "/__version__", ACCESS_PUBLIC, SCOPE_NONE, .handler = service_handle_version,
     .id = "get_version", .summary = "Show the version", .answer = "version",
     .is_monitoring = true, .statuses = {200}},
    {HTTP_GET, "/__heartbeat__", ACCESS_PUBLIC, SCOPE_NONE, .handler = service_handle_heartbeat,
     .id = "get_heartbeat", .summary = "Tell whether the database is up and the queue short", .answer = "heartbeat",
     .is_monitoring = true, .statuses = {200, 503}},
    {HTTP_GET, "/__lbheartbeat__", ACCESS_PUBLIC, SCOPE_NONE, .handler = service_handle_lbheartbeat,
     .id = "get_lbheartbeat", .summary = "Tell that the server is there", .answer = "ok",
     .is_monitoring = true, .statuses = {200}},
    {HTTP_GET, "/__crash__", ACCESS_BEARER, SCOPE_NONE, .handler = service_handle_crash,
     .id = "crash", .summary = "Fail, to test error reporting", .statuses = {400, 401, 500, 503}},
    {HTTP_GET, "/metrics", ACCESS_METRICS, SCOPE_NONE, .handler = service_handle_metrics,
     .id = "get_metrics", .summary = "Show metrics for Prometheus", .text_types = {"text/plain; version=0.0.4; charset=utf-8"},
     .is_monitoring = true, .statuses = {200, 401}},
};
/* clang-format on */

const size_t routes_count = sizeof(routes_table) / sizeof(routes_table[0]);

/* True if the path has the form of the template. value becomes its parameter. */
static bool
has_form(const char *form, const char *path, size_t length, const char **value,
         size_t *value_length)
{
    size_t fixed = strcspn(form, "{");

    *value = NULL;
    *value_length = 0;
    if (form[fixed] == '\0')
        return length == fixed && memcmp(form, path, length) == 0;
    if (length <= fixed || memcmp(form, path, fixed) != 0 ||
        memchr(path + fixed, '/', length - fixed) != NULL)
        return false;
    *value = path + fixed;
    *value_length = length - fixed;
    return true;
}

static routes_match
find_exact(http_method method, const char *path, size_t length, const route **found,
           const char **value, size_t *value_length)
{
    bool is_known = false;

    for (size_t i = 0; i < routes_count; i++) {
        const route *candidate = &routes_table[i];
        const char *own_value;
        size_t own_length;

        if (!has_form(candidate->path, path, length, &own_value, &own_length))
            continue;
        *found = candidate;
        *value = own_value;
        *value_length = own_length;
        is_known = true;
        if (candidate->method == method || (method == HTTP_HEAD && candidate->method == HTTP_GET))
            return ROUTES_FOUND;
    }
    return is_known ? ROUTES_WRONG_METHOD : ROUTES_NOT_FOUND;
}

routes_match
routes_find(http_method method, const char *path, size_t path_length, const route **found,
            const char **value, size_t *value_length)
{
    routes_match match;

    *found = NULL;
    *value = NULL;
    *value_length = 0;
    match = find_exact(method, path, path_length, found, value, value_length);
    if (match == ROUTES_NOT_FOUND && path_length > 1 && path[path_length - 1] == '/') {
        if (find_exact(method, path, path_length - 1, found, value, value_length) !=
            ROUTES_NOT_FOUND)
            match = ROUTES_REDIRECT;
        *found = NULL;
    }
    return match;
}

void
routes_append_methods(const route *found, buf *out)
{
    bool is_first = true;

    for (size_t i = 0; i < routes_count; i++) {
        if (!route_is_same_path(routes_table[i].path, found->path))
            continue;
        buf_printf(out, "%s%s", is_first ? "" : ", ", http_method_name(routes_table[i].method));
        if (routes_table[i].method == HTTP_GET)
            buf_append_string(out, ", HEAD");
        is_first = false;
    }
}
