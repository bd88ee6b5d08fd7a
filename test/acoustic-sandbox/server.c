/*
 * server.c: Acoustic's paths, transport, latency and failing answers; see server.h. What is
 * answered is in api.c.
 *
 * Each answer has its own timer for its latency, so requests never wait for one another.
 */
#include "test/acoustic-sandbox/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/buf.h"

enum { MAX_BODY = 16 * 1024 * 1024, HUGE_BLOCK = 1024 * 1024 };

/* A request of Acoustic's API that is being answered. */
struct exchange {
    struct api *api;
    struct event_base *base;
    struct evhttp_request *request;
    struct answer answer;
    struct event *timer; /* of a slow answer */
    bool is_counted;     /* it is counted in api->in_flight */
};

static void
exchange_free(struct exchange *exchange)
{
    if (exchange->is_counted)
        api_done(exchange->api);
    if (exchange->timer != NULL)
        event_free(exchange->timer);
    evbuffer_free(exchange->answer.body);
    free(exchange);
}

static void
add_header(struct evhttp_request *request, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

/* ---- answers that fail ------------------------------------------------------------ */

static void
cut_connection(struct exchange *exchange)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);

    /* Now the answer cannot be written, and evhttp cleans up as for any lost client. */
    if (connection != NULL) {
        struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);

        shutdown(bufferevent_getfd(stream), SHUT_RDWR);
    }
}

static void
fill_huge(struct exchange *exchange)
{
    static char block[HUGE_BLOCK];

    memset(block, 'x', sizeof(block));
    for (long left = exchange->answer.bytes; left > 0; left -= HUGE_BLOCK) {
        size_t part = left < HUGE_BLOCK ? (size_t)left : HUGE_BLOCK;

        evbuffer_add_reference(exchange->answer.body, block, part, NULL, NULL);
    }
}

static void
send_byte(evutil_socket_t fd, short what, void *context)
{
    struct exchange *exchange = context;
    struct timeval delay = {exchange->answer.byte_ms / 1000,
                            exchange->answer.byte_ms % 1000 * 1000};
    struct evbuffer *byte;

    (void)fd;
    (void)what;
    if (evhttp_request_get_connection(exchange->request) == NULL ||
        evbuffer_get_length(exchange->answer.body) == 0) {
        evhttp_send_reply_end(exchange->request);
        exchange_free(exchange);
        return;
    }
    byte = evbuffer_new();
    evbuffer_remove_buffer(exchange->answer.body, byte, 1);
    evhttp_send_reply_chunk(exchange->request, byte);
    evbuffer_free(byte);
    event_add(exchange->timer, &delay);
}

static void
send_slowly(struct exchange *exchange)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);

    if (connection == NULL) {
        evhttp_send_reply(exchange->request, 200, NULL, NULL);
        exchange_free(exchange);
        return;
    }
    exchange->timer = event_new(evhttp_connection_get_base(connection), -1, 0, send_byte, exchange);
    evhttp_send_reply_start(exchange->request, exchange->answer.status, NULL);
    send_byte(-1, 0, exchange);
}

static void
end_work(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    exchange_free(context);
}

static void
send_answer(evutil_socket_t fd, short what, void *context)
{
    struct exchange *exchange = context;
    struct answer *answer = &exchange->answer;
    struct timeval work = {answer->work_ms / 1000, answer->work_ms % 1000 * 1000};

    (void)fd;
    (void)what;
    add_header(exchange->request, "Content-Type", answer->content_type);
    switch (answer->kind) {
    case ANSWER_SLOW: send_slowly(exchange); return;
    case ANSWER_CUT: cut_connection(exchange); break;
    case ANSWER_HUGE: fill_huge(exchange); break;
    case ANSWER_NORMAL:
    case ANSWER_FAULT:
    case ANSWER_FAILURE:
    case ANSWER_JOB:
    case ANSWER_HTML:
    case ANSWER_EMPTY:
    case ANSWER_BODY: break; /* the body that was made */
    }
    evhttp_send_reply(exchange->request, answer->status, NULL, answer->body);
    if (answer->work_ms == 0 ||
        event_base_once(exchange->base, -1, EV_TIMEOUT, end_work, exchange, &work) != 0)
        exchange_free(exchange);
}

static void
answer_later(struct exchange *exchange)
{
    const struct settings *settings = exchange->api->settings;
    long delay_ms = exchange->answer.delay_ms;
    struct timeval delay;

    if (exchange->is_counted)
        delay_ms += settings_draw_latency_ms(settings);
    delay = (struct timeval){delay_ms / 1000, delay_ms % 1000 * 1000};
    if (delay_ms == 0 ||
        event_base_once(exchange->base, -1, EV_TIMEOUT, send_answer, exchange, &delay) != 0)
        send_answer(-1, 0, exchange);
}

/* ---- Acoustic's paths ------------------------------------------------------------- */

char *
server_body(struct evhttp_request *request, size_t *len)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    char *body;

    *len = evbuffer_get_length(input);
    body = xmalloc(*len + 1);
    evbuffer_copyout(input, body, *len);
    body[*len] = '\0';
    return body;
}

static struct exchange *
exchange_new(struct api *api, struct evhttp_request *request)
{
    struct exchange *exchange = xmalloc(sizeof(*exchange));

    *exchange = (struct exchange){
        .api = api,
        .base = evhttp_connection_get_base(evhttp_request_get_connection(request)),
        .request = request};
    exchange->answer = (struct answer){.status = 200, .body = evbuffer_new()};
    return exchange;
}

static void
on_token(struct evhttp_request *request, void *context)
{
    struct exchange *exchange = exchange_new(context, request);
    size_t len;
    char *body = server_body(request, &len);

    api_token(exchange->api, body, &exchange->answer);
    free(body);
    answer_later(exchange);
}

static void
answer_xml(struct exchange *exchange, const char *xml, size_t len)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(exchange->request);

    exchange->is_counted = true;
    api_xml(exchange->api, evhttp_find_header(headers, "Authorization"), xml, len,
            &exchange->answer);
    answer_later(exchange);
}

static void
on_xmlapi(struct evhttp_request *request, void *context)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *type = evhttp_find_header(headers, "Content-Type");
    struct exchange *exchange = exchange_new(context, request);
    size_t len;
    char *body = server_body(request, &len);
    struct evkeyvalq fields;

    if (type != NULL && strncmp(type, "application/x-www-form-urlencoded", 33) == 0) {
        const char *xml = NULL;
        bool is_parsed = evhttp_parse_query_str(body, &fields) == 0;

        if (is_parsed)
            xml = evhttp_find_header(&fields, "xml");
        answer_xml(exchange, xml ? xml : "", xml ? strlen(xml) : 0);
        if (is_parsed)
            evhttp_clear_headers(&fields);
    } else {
        answer_xml(exchange, body, len);
    }
    free(body);
}

struct evhttp *
server_start(struct event_base *base, struct api *api)
{
    struct evhttp *http = evhttp_new(base);

    evhttp_set_max_headers_size(http, 64 * 1024);
    evhttp_set_max_body_size(http, MAX_BODY);
    evhttp_set_timeout(http, 300);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_cb(http, "/oauth/token", on_token, api);
    evhttp_set_cb(http, "/XMLAPI", on_xmlapi, api);
    own_set_paths(http, api);
    if (evhttp_bind_socket(http, api->settings->host, (ev_uint16_t)api->settings->port) != 0) {
        fprintf(stderr, "acoustic-sandbox: could not listen on \"%s\", port %d\n",
                api->settings->host, api->settings->port);
        evhttp_free(http);
        return NULL;
    }
    return http;
}
