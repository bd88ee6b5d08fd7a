/*
 * service.c: see service.h. It is meant for a few trusted callers; the limits of rest/http, with
 * which it speaks HTTP, protect it from others.
 */
#include "agent/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/report.h"
#include "common/bearer.h"
#include "common/http_client.h"
#include "common/log.h"
#include "rest/http/listen.h"
#include "rest/http/server.h"
#include "rest/http/uri.h"

enum { CONNECTIONS_MAX = 64, BUFFERED_MAX = 4 * 1024 * 1024, BODY_MAX = 1024 };
#define HEAD_TIMEOUT_S 5.0
#define REQUEST_TIMEOUT_S 30.0
#define IDLE_S 30.0
enum { PUSH_ANSWER_MAX = 64 * 1024 };
#define PUSH_TIMEOUT_S 5.0
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define JSON_TYPE "application/json"

struct service {
    service_options options;
    int listening_fd; /* -1: none */
    server *server;
    http_client *client; /* for pushing */
    char *push_url;
    bool is_pushing;
    bool is_push_failing; /* logged already */
};

static void
write_metrics(service *s, buf *text)
{
    service_health health = s->options.health(s->options.arg);

    agent_metrics_show_in_flight(s->options.metrics, health.in_flight, health.in_flight_allowed);
    agent_metrics_write(s->options.metrics, text);
}

/* ---- requests --------------------------------------------------------------------- */

static void
answer(server_call *call, int status, const char *headers, const char *type, const buf *text)
{
    server_answer(call, status, headers, type, buf_text(text), text->length);
}

static void
refuse(server_call *call, int status, const char *headers, const char *detail)
{
    buf text = BUF_INIT;

    buf_printf(&text, "{\"detail\":\"%s\"}", detail);
    answer(call, status, headers, JSON_TYPE, &text);
    buf_free(&text);
}

/* The header that asks for the token of the metrics, or NULL if the request has it or none is
 * needed. */
static const char *
challenge(const service *s, const http_request *request)
{
    const char *expected = s->options.settings->metrics_token;
    const char *token = bearer_find_token(http_get_header(request, "Authorization"));

    if (expected == NULL || (token != NULL && bearer_is_same(token, expected)))
        return NULL;
    return token ? "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
                 : "WWW-Authenticate: Bearer\r\n";
}

static void
answer_metrics(service *s, server_call *call, const http_request *request)
{
    const char *wanted = challenge(s, request);
    buf text = BUF_INIT;

    if (wanted != NULL) {
        refuse(call, 401, wanted, "Could not validate credentials");
        return;
    }
    write_metrics(s, &text);
    answer(call, 200, NULL, METRICS_TYPE, &text);
    buf_free(&text);
}

static void
answer_heartbeat(service *s, server_call *call, const http_request *request)
{
    service_health health = s->options.health(s->options.arg);
    bool is_well = health.is_database_up && health.stopped == NULL;
    buf text = BUF_INIT;

    (void)request;
    buf_printf(&text,
               "{\"database\":{\"up\":%s,\"listening\":%s},"
               "\"acoustic\":{\"success\":%s,\"stopped\":",
               health.is_database_up ? "true" : "false", health.is_listening ? "true" : "false",
               health.stopped ? "false" : "true");
    buf_append_json_string(&text, health.stopped);
    buf_printf(&text, ",\"in_flight\":%d,\"in_flight_allowed\":%d}}", health.in_flight,
               health.in_flight_allowed);
    answer(call, is_well ? 200 : 503, NULL, JSON_TYPE, &text);
    buf_free(&text);
}

static void
answer_lbheartbeat(service *s, server_call *call, const http_request *request)
{
    static const char text[] = "{\"status\":\"OK\"}";

    (void)s;
    (void)request;
    server_answer(call, 200, NULL, JSON_TYPE, text, sizeof(text) - 1);
}

static void
on_request(void *arg, server_call *call, const http_request *request)
{
    static const struct {
        const char *path;
        void (*handler)(service *s, server_call *call, const http_request *request);
    } routes[] = {
        {"/metrics", answer_metrics},
        {"/__heartbeat__", answer_heartbeat},
        {"/__lbheartbeat__", answer_lbheartbeat},
    };
    const char *path, *query;
    size_t length;

    uri_split(request->target, &path, &length, &query);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strlen(routes[i].path) != length || memcmp(routes[i].path, path, length) != 0)
            continue;
        if (request->method != HTTP_GET && request->method != HTTP_HEAD)
            refuse(call, 405, "Allow: GET, HEAD\r\n", "Method Not Allowed");
        else if (request->is_body_too_large)
            refuse(call, 413, NULL, http_reason(413));
        else
            routes[i].handler(arg, call, request);
        return;
    }
    refuse(call, 404, NULL, "Not Found");
}

/* Every request is answered at once. */
static void
on_overdue(void *arg, server_call *call)
{
    (void)arg;
    refuse(call, 503, NULL, http_reason(503));
}

static void
on_gone(void *arg, server_call *call, const char *why)
{
    (void)arg;
    (void)call;
    (void)why;
}

static void
on_cut_off(void *arg, const server_call *call, const char *why)
{
    (void)arg;
    (void)call;
    (void)why;
}

static void
on_refused(void *arg, const server_call *call, int status, const char *detail)
{
    (void)arg;
    (void)call;
    (void)status;
    (void)detail;
}

static size_t
body_max(void *arg, const http_request *request)
{
    (void)arg;
    (void)request;
    return BODY_MAX;
}

static bool
listen_on(service *s, struct event_base *base, char *message, size_t size)
{
    static const server_events events = {on_request, on_overdue, on_gone,
                                         on_cut_off, on_refused, body_max};
    static const server_options limits = {.connections_max = CONNECTIONS_MAX,
                                          .connections_per_peer_max = CONNECTIONS_MAX,
                                          .buffered_max = BUFFERED_MAX,
                                          .head_timeout_s = HEAD_TIMEOUT_S,
                                          .request_timeout_s = REQUEST_TIMEOUT_S,
                                          .keepalive_timeout_s = IDLE_S};
    char problem[256];
    int port = s->options.port;

    if (!listen_open_sockets(s->options.host, &port, &s->listening_fd, 1, problem,
                             sizeof(problem))) {
        snprintf(message, size, "%s (CTMS_HOST, CTMS_AGENT_METRICS_PORT)", problem);
        return false;
    }
    s->server = server_new(base, s->listening_fd, &limits, &events, s);
    return true;
}

/* ---- pushing ---------------------------------------------------------------------- */

/* One group for each host; agents on the same host overwrite one another's metrics. */
static char *
make_push_url(const char *gateway)
{
    size_t length = strlen(gateway);
    char host[64] = "localhost";
    buf url = BUF_INIT;

    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = '\0';
    while (length > 0 && gateway[length - 1] == '/')
        length--;
    buf_append(&url, gateway, length);
    buf_printf(&url, "/metrics/job/ctms/instance/%s", host);
    return buf_steal(&url);
}

static void
on_pushed(void *arg, const http_client_answer *http)
{
    service *s = arg;
    bool is_taken = http->problem == NULL && http->status / 100 == 2;

    s->is_pushing = false;
    if (!is_taken && !s->is_push_failing) {
        if (http->problem != NULL)
            log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "could not push metrics: %s",
                        http->problem);
        else
            log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "could not push metrics: HTTP %d",
                        http->status);
    }
    s->is_push_failing = !is_taken;
}

void
service_push(service *s)
{
    static const char *const headers[] = {"Content-Type: " METRICS_TYPE, NULL};
    http_client_request push = {.url = s->push_url,
                                .headers = headers,
                                .answer_max = PUSH_ANSWER_MAX,
                                .timeout_s = PUSH_TIMEOUT_S};
    buf body = BUF_INIT;

    if (s->push_url == NULL || s->is_pushing)
        return;
    write_metrics(s, &body);
    s->is_pushing = true;
    http_client_send(s->client, &push, &body, on_pushed, s);
}

/* ---- life ------------------------------------------------------------------------- */

service *
service_new(struct event_base *base, const service_options *options, char *message, size_t size)
{
    service *s = xcalloc(1, sizeof(*s));

    s->listening_fd = -1;
    s->options = *options;
    s->options.host = xstrdup(options->host);
    if (options->gateway != NULL) {
        s->client = http_client_new(base, "ctms-agent");
        s->push_url = make_push_url(options->gateway);
    }
    if (options->gateway != NULL && s->client == NULL) {
        snprintf(message, size, "could not set up HTTP");
        service_free(s);
        return NULL;
    }
    if (options->port != 0 && !listen_on(s, base, message, size)) {
        service_free(s);
        return NULL;
    }
    return s;
}

void
service_free(service *s)
{
    if (s == NULL)
        return;
    server_free(s->server);
    if (s->listening_fd >= 0)
        close(s->listening_fd);
    http_client_free(s->client);
    free(s->push_url);
    free((char *)s->options.host);
    free(s);
}
