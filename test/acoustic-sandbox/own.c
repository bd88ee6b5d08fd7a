/*
 * own.c: the sandbox's own paths: its page, and what it has been sent as JSON; see server.h.
 */
#include "test/acoustic-sandbox/server.h"

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/buf.h"

enum { PAGE_ROWS = 1000 };

static void
add_header(struct evhttp_request *request, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void
send_json(struct evhttp_request *request, int status, json_t *json)
{
    struct evbuffer *body = evbuffer_new();
    char *text = json_dumps(json, JSON_INDENT(1));

    add_header(request, "Content-Type", "application/json");
    evbuffer_add_printf(body, "%s\n", text ? text : "null");
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
    free(text);
    json_decref(json);
}

static long
query_number(struct evhttp_request *request, const char *name, long otherwise)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    struct evkeyvalq fields;
    long number = otherwise;

    if (query != NULL && evhttp_parse_query_str(query, &fields) == 0) {
        const char *value = evhttp_find_header(&fields, name);

        if (value != NULL)
            number = strtol(value, NULL, 10);
        evhttp_clear_headers(&fields);
    }
    return number >= 0 ? number : otherwise;
}

static void
on_recipients(struct evhttp_request *request, void *context)
{
    struct api *api = context;

    send_json(request, 200,
              store_recipients_json(&api->store, (size_t)query_number(request, "offset", 0),
                                    (size_t)query_number(request, "limit", PAGE_ROWS)));
}

static void
on_stats(struct evhttp_request *request, void *context)
{
    struct api *api = context;
    json_t *stats = store_stats_json(&api->store, query_number(request, "sent", 1) != 0);

    json_object_set_new(stats, "in_flight", json_integer(api->in_flight));
    json_object_set_new(stats, "jobs", jobs_counts_json(&api->jobs));
    json_object_set_new(stats, "ledger", json_integer(api->ledger.count));
    send_json(request, 200, stats);
}

static void
on_ledger(struct evhttp_request *request, void *context)
{
    struct api *api = context;

    send_json(request, 200,
              ledger_json(&api->ledger, query_number(request, "after", 0),
                          query_number(request, "limit", PAGE_ROWS)));
}

static void
on_jobs(struct evhttp_request *request, void *context)
{
    struct api *api = context;

    send_json(request, 200, jobs_json(&api->jobs));
}

static void
on_rows(struct evhttp_request *request, void *context)
{
    struct api *api = context;

    stream_rows(request, &api->store);
}

static void
on_settings(struct evhttp_request *request, void *context)
{
    struct api *api = context;
    const char *problem = "the body is not JSON";

    if (evhttp_request_get_command(request) == EVHTTP_REQ_POST) {
        size_t len;
        char *body = server_body(request, &len);
        json_t *object = json_loadb(body, len, 0, NULL);
        bool is_applied = object != NULL && settings_apply(api->settings, object, &problem);

        json_decref(object);
        free(body);
        jobs_wake(&api->jobs);
        if (!is_applied) {
            send_json(request, 400, json_pack("{s:s}", "detail", problem));
            return;
        }
    }
    send_json(request, 200, settings_json(api->settings));
}

static void
on_reset(struct evhttp_request *request, void *context)
{
    struct api *api = context;

    jobs_clear(&api->jobs);
    store_clear(&api->store);
    ledger_clear(&api->ledger);
    refusal_clear(&api->refusals);
    send_json(request, 200, json_object());
}

static void
on_revoke(struct evhttp_request *request, void *context)
{
    api_revoke_token(context);
    send_json(request, 200, json_object());
}

/* What was copied to be looked for often has a space with it. */
static char *
copy_trimmed(const char *text)
{
    size_t length;

    text += strspn(text, " \t\r\n");
    length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    return xstrndup(text, length);
}

static void
on_page(struct evhttp_request *request, void *context)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    struct evbuffer *body = evbuffer_new();
    struct evkeyvalq fields;
    bool is_parsed = query != NULL && evhttp_parse_query_str(query, &fields) == 0;
    const char *wanted = is_parsed ? evhttp_find_header(&fields, "q") : NULL;
    char *trimmed = copy_trimmed(wanted ? wanted : "");

    page_write(body, context, trimmed, (size_t)query_number(request, "page", 1));
    free(trimmed);
    if (is_parsed)
        evhttp_clear_headers(&fields);
    add_header(request, "Content-Type", "text/html; charset=utf-8");
    add_header(
        request, "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'");
    evhttp_send_reply(request, 200, NULL, body);
    evbuffer_free(body);
}

static void
on_other(struct evhttp_request *request, void *context)
{
    static const char recipients[] = "/_sandbox/recipients/";
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    struct api *api = context;

    if (path != NULL && strncmp(path, recipients, sizeof(recipients) - 1) == 0) {
        const struct contact *contact =
            store_contact(&api->store, path + sizeof(recipients) - 1, false);

        if (contact != NULL && contact->is_recipient) {
            send_json(request, 200, store_contact_json(contact));
            return;
        }
    }
    send_json(request, 404, json_pack("{s:s}", "detail", "Not Found"));
}

void
own_set_paths(struct evhttp *http, struct api *api)
{
    static const struct {
        const char *path;
        void (*answer)(struct evhttp_request *, void *);
    } paths[] = {{"/", on_page},
                 {"/_sandbox/recipients", on_recipients},
                 {"/_sandbox/rows", on_rows},
                 {"/_sandbox/jobs", on_jobs},
                 {"/_sandbox/stats", on_stats},
                 {"/_sandbox/ledger", on_ledger},
                 {"/_sandbox/settings", on_settings},
                 {"/_sandbox/reset", on_reset},
                 {"/_sandbox/revoke-token", on_revoke}};

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        evhttp_set_cb(http, paths[i].path, paths[i].answer, api);
    evhttp_set_gencb(http, on_other, api);
}
