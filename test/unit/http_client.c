/* Tests of common/http_client.c against a server in the same event loop. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/http_client.h"

enum { LARGE = 300 * 1024 };

static struct {
    struct event_base *base;
    struct evhttp *server;
    http_client *client;
    int port;
    ev_uint16_t client_port; /* of the last request */
    struct evhttp_request *unanswered;
    int answers;
    char problem[200];
    int status;
    bool is_sent_once, was_sent, was_closed;
    int closed; /* connections */
    buf body;
    double duration_s, max_age_s;
} t;

/* Answers with a description of the request. */
static void
echo(struct evhttp_request *request, void *arg)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    struct evbuffer *out = evbuffer_new();
    const char *expect = evhttp_find_header(headers, "Expect");
    const char *own = evhttp_find_header(headers, "X-Own");
    char *address;

    (void)arg;
    evhttp_connection_get_peer(evhttp_request_get_connection(request), &address, &t.client_port);
    evbuffer_add_printf(out, "%s %s %s %s ",
                        evhttp_request_get_command(request) == EVHTTP_REQ_POST ? "POST" : "GET",
                        evhttp_find_header(headers, "User-Agent"), own ? own : "-",
                        expect ? expect : "-");
    evbuffer_add_buffer(out, in);
    evhttp_send_reply(request, 200, "OK", out);
    evbuffer_free(out);
}

static void
answer_large(struct evhttp_request *request, void *arg)
{
    struct evbuffer *out = evbuffer_new();
    char *bytes = calloc(1, LARGE);

    (void)arg;
    evbuffer_add(out, bytes, LARGE);
    evhttp_send_reply(request, 200, "OK", out);
    evbuffer_free(out);
    free(bytes);
}

/* A redirection with the Cache-Control that arg gives. */
static void
answer_cacheable(struct evhttp_request *request, void *arg)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    evhttp_add_header(headers, "Cache-Control", arg);
    evhttp_add_header(headers, "Location", "/echo");
    evhttp_send_reply(request, 302, "Found", NULL);
}

static void
answer_never(struct evhttp_request *request, void *arg)
{
    (void)arg;
    t.unanswered = request;
}

/* Every second request only. */
static void
close_connection(struct evhttp_request *request, void *arg)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);

    (void)arg;
    if (++t.closed % 2 == 1)
        shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SHUT_RDWR);
    evhttp_send_reply(request, 200, "OK", NULL);
}

static int
set_up(void **state)
{
    (void)state;
    /* Nothing listens at this proxy, so a request to this machine must not use it. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    signal(SIGPIPE, SIG_IGN); /* the server writes to connections that it has closed */
    t.base = event_base_new();
    t.server = evhttp_new(t.base);
    evhttp_set_cb(t.server, "/echo", echo, NULL);
    evhttp_set_cb(t.server, "/large", answer_large, NULL);
    evhttp_set_cb(t.server, "/hour", answer_cacheable, "public, max-age=3600");
    evhttp_set_cb(t.server, "/never-kept", answer_cacheable, "no-store, max-age=3600");
    evhttp_set_cb(t.server, "/never", answer_never, NULL);
    evhttp_set_cb(t.server, "/closed", close_connection, NULL);
    for (t.port = 20000 + (int)(getpid() % 20000);
         evhttp_bind_socket(t.server, "127.0.0.1", (ev_uint16_t)t.port) != 0;)
        t.port++;
    t.client = http_client_new(t.base, "unit-test");
    return t.client == NULL;
}

static int
tear_down(void **state)
{
    (void)state;
    http_client_free(t.client);
    evhttp_free(t.server);
    event_base_free(t.base);
    buf_free(&t.body);
    return 0;
}

static void
on_answer(void *arg, const http_client_answer *answer)
{
    (void)arg;
    t.answers++;
    snprintf(t.problem, sizeof(t.problem), "%s", answer->problem ? answer->problem : "");
    t.status = answer->status;
    t.was_sent = answer->was_sent;
    t.was_closed = answer->was_closed;
    buf_reset(&t.body);
    buf_append(&t.body, answer->body, answer->length);
    t.duration_s = answer->duration_s;
    t.max_age_s = answer->max_age_s;
    event_base_loopbreak(t.base);
}

static void
send_to(const char *host, int port, const char *path, buf *body, double timeout_s)
{
    static const char *const headers[] = {"X-Own: header", NULL};
    http_client_request request = {.headers = body ? headers : NULL,
                                   .answer_max = LARGE - 1,
                                   .timeout_s = timeout_s,
                                   .is_sent_once = t.is_sent_once};
    char url[100];

    snprintf(url, sizeof(url), "http://%s:%d%s", host, port, path);
    request.url = url;
    http_client_send(t.client, &request, body, on_answer, NULL);
}

static void
exchange(const char *path, buf *body)
{
    t.answers = 0;
    send_to("127.0.0.1", t.port, path, body, 30);
    assert_int_equal(t.answers, 0);
    event_base_dispatch(t.base);
    assert_int_equal(t.answers, 1);
}

static void
gets_and_posts(void **state)
{
    buf body = BUF_INIT;
    ev_uint16_t client_port;

    (void)state;
    exchange("/echo", NULL);
    assert_string_equal(t.problem, "");
    assert_int_equal(t.status, 200);
    assert_string_equal(buf_text(&t.body), "GET unit-test - - ");
    assert_true(t.max_age_s == -1);
    assert_true(t.duration_s > 0);
    client_port = t.client_port;
    /* Many clients ask for permission before they send a body of this size. */
    for (int i = 0; i < 100000; i++)
        buf_append_char(&body, 'x');
    exchange("/echo", &body);
    assert_int_equal(body.length, 0);
    assert_null(body.data);
    assert_int_equal(t.body.length, strlen("POST unit-test header - ") + 100000);
    assert_memory_equal(t.body.data, "POST unit-test header - xxx", 27);
    exchange("/echo", &body);
    assert_string_equal(buf_text(&t.body), "POST unit-test header - ");
    /* Nothing but the connection is kept from one request to the next. */
    exchange("/echo", NULL);
    assert_string_equal(buf_text(&t.body), "GET unit-test - - ");
    assert_int_equal(t.client_port, client_port);
}

static void
tells_how_long_an_answer_is_good(void **state)
{
    (void)state;
    exchange("/hour", NULL);
    assert_int_equal(t.status, 302);
    assert_true(t.max_age_s == 3600);
    exchange("/never-kept", NULL);
    assert_true(t.max_age_s == 0);
}

/* The environment's proxy is not used for names that mean exactly this machine, because it would
 * not reach it. */
static void
asks_others_through_the_proxy(void **state)
{
    char proxy[50];

    (void)state;
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", t.port);
    setenv("http_proxy", proxy, 1);
    t.answers = 0;
    send_to("localhost.example", 1, "/echo", NULL, 30);
    event_base_dispatch(t.base);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_string_equal(t.problem, "");
    assert_int_equal(t.status, 200);
    send_to("localhost", t.port, "/echo", NULL, 30);
    event_base_dispatch(t.base);
    assert_string_equal(t.problem, "");
    assert_int_equal(t.answers, 2);
}

static void
has_limits(void **state)
{
    (void)state;
    exchange("/large", NULL);
    assert_string_equal(t.problem, "the answer is too large");
    assert_true(t.body.length < LARGE);
    send_to("127.0.0.1", t.port, "/never", NULL, 0.1);
    event_base_dispatch(t.base);
    assert_string_equal(t.problem, "timed out");
    assert_int_equal(t.status, 0);
    assert_true(t.was_sent);
    evhttp_send_reply(t.unanswered, 200, "OK", NULL); /* evhttp waits for it */
    send_to("127.0.0.1", 1, "/", NULL, 30);
    event_base_dispatch(t.base);
    assert_string_not_equal(t.problem, "");
    assert_int_equal(t.status, 0);
    assert_false(t.was_sent);
    exchange("/echo", NULL);
    assert_string_equal(t.problem, "");
}

static void
sends_again_unless_told(void **state)
{
    (void)state;
    exchange("/echo", NULL); /* a connection is kept */
    exchange("/closed", NULL);
    assert_string_equal(t.problem, "");
    assert_int_equal(t.closed, 2);
    t.is_sent_once = true;
    exchange("/echo", NULL);
    exchange("/closed", NULL);
    t.is_sent_once = false;
    assert_string_equal(t.problem, "the server closed the connection");
    assert_true(t.was_closed && t.was_sent);
    assert_int_equal(t.closed, 3);
}

static void
takes_many_at_once(void **state)
{
    (void)state;
    t.answers = 0;
    for (int i = 0; i < 200; i++)
        send_to("127.0.0.1", t.port, "/echo", NULL, 30);
    while (t.answers < 200)
        event_base_dispatch(t.base);
}

static void
forgets_what_is_in_flight(void **state)
{
    (void)state;
    t.answers = 0;
    send_to("127.0.0.1", t.port, "/echo", NULL, 30);
    http_client_free(t.client);
    t.client = http_client_new(t.base, "unit-test");
    event_base_loop(t.base, EVLOOP_NONBLOCK);
    assert_int_equal(t.answers, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_and_posts),
        cmocka_unit_test(tells_how_long_an_answer_is_good),
        cmocka_unit_test(asks_others_through_the_proxy),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(sends_again_unless_told),
        cmocka_unit_test(takes_many_at_once),
        cmocka_unit_test(forgets_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
