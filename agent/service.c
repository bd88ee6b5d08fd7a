/*
 * service.c: see service.h. It is meant for a few trusted callers; limits protect it from others.
 */
#include "agent/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "agent/report.h"
#include "common/bearer.h"
#include "common/http_client.h"
#include "common/log.h"

enum { HEADERS_MAX = 16 * 1024, BODY_MAX = 1024, IDLE_S = 30, PUSH_ANSWER_MAX = 64 * 1024 };
#define PUSH_TIMEOUT_S 5.0
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct service {
    service_options options;
    struct evhttp *http;
    http_client *client; /* for pushing */
    char *push_url;
    bool is_pushing;
    bool is_push_failing; /* logged already */
};

static void
answer(struct evhttp_request *request, int status, const char *type, const buf *text)
{
    struct evbuffer *body = evbuffer_new();

    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    evbuffer_add(body, buf_text(text), text->length);
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
}

static void
write_metrics(service *s, buf *text)
{
    service_health health = s->options.health(s->options.arg);

    agent_metrics_show_in_flight(s->options.metrics, health.in_flight, health.in_flight_allowed);
    agent_metrics_write(s->options.metrics, text);
}

/* How to ask for the token of the metrics, or NULL if the request has it or none is needed. */
static const char *
challenge(const service *s, struct evhttp_request *request)
{
    const char *expected = s->options.settings->metrics_token;
    const char *token = bearer_find_token(
        evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization"));

    if (expected == NULL || (token != NULL && bearer_is_same(token, expected)))
        return NULL;
    return token ? "Bearer error=\"invalid_token\"" : "Bearer";
}

static void
on_metrics(struct evhttp_request *request, void *arg)
{
    const char *wanted = challenge(arg, request);
    buf text = BUF_INIT;

    if (wanted != NULL) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "WWW-Authenticate", wanted);
        buf_append_string(&text, "{\"detail\":\"Could not validate credentials\"}");
        answer(request, 401, "application/json", &text);
        buf_free(&text);
        return;
    }
    write_metrics(arg, &text);
    answer(request, 200, METRICS_TYPE, &text);
    buf_free(&text);
}

static void
on_heartbeat(struct evhttp_request *request, void *arg)
{
    service *s = arg;
    service_health health = s->options.health(s->options.arg);
    bool is_well = health.is_database_up && health.stopped == NULL;
    buf text = BUF_INIT;

    buf_printf(&text,
               "{\"database\":{\"up\":%s,\"listening\":%s},"
               "\"acoustic\":{\"success\":%s,\"stopped\":",
               health.is_database_up ? "true" : "false", health.is_listening ? "true" : "false",
               health.stopped ? "false" : "true");
    buf_append_json_string(&text, health.stopped);
    buf_printf(&text, ",\"in_flight\":%d,\"in_flight_allowed\":%d}}", health.in_flight,
               health.in_flight_allowed);
    answer(request, is_well ? 200 : 503, "application/json", &text);
    buf_free(&text);
}

static void
on_lbheartbeat(struct evhttp_request *request, void *arg)
{
    buf text = BUF_INIT;

    (void)arg;
    buf_append_string(&text, "{\"status\":\"OK\"}");
    answer(request, 200, "application/json", &text);
    buf_free(&text);
}

static bool
listen_on(service *s, struct event_base *base, char *message, size_t size)
{
    s->http = evhttp_new(base);
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    evhttp_set_max_body_size(s->http, BODY_MAX);
    evhttp_set_timeout(s->http, IDLE_S);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_cb(s->http, "/metrics", on_metrics, s);
    evhttp_set_cb(s->http, "/__heartbeat__", on_heartbeat, s);
    evhttp_set_cb(s->http, "/__lbheartbeat__", on_lbheartbeat, s);
    if (evhttp_bind_socket(s->http, s->options.host, (ev_uint16_t)s->options.port) == 0)
        return true;
    snprintf(message, size, "could not listen on %s port %d (CTMS_HOST, CTMS_AGENT_METRICS_PORT)",
             s->options.host, s->options.port);
    return false;
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
    if (s->http != NULL)
        evhttp_free(s->http);
    http_client_free(s->client);
    free(s->push_url);
    free((char *)s->options.host);
    free(s);
}
