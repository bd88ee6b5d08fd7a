/*
 * Tests of rest/auth/jwks.c against a key server in the same event loop.
 * uses: rest/auth/jwks.c rest/auth/jose_text.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <netinet/in.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "rest/auth/jwks.h"

static struct {
    struct event_base *base;
    struct evhttp *server;
    http_client *client;
    char url[64];
    char *body; /* NULL: the key server answers 503 */
    int asked;
    int log_fd;
    jwks_result result;
    bool is_answered, has_key;
} t;

static void
answer_keys(struct evhttp_request *request, void *arg)
{
    struct evbuffer *out = evbuffer_new();

    (void)arg;
    t.asked++;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Cache-Control", "max-age=0");
    if (t.body != NULL)
        evbuffer_add(out, t.body, strlen(t.body));
    evhttp_send_reply(request, t.body ? 200 : 503, t.body ? "OK" : "Away", out);
    evbuffer_free(out);
}

/* Publishes one RSA key of that many bits as "k". */
/* False: newer versions of cjose make no keys so short. */
static bool
publish(size_t bits)
{
    cjose_err error;
    cjose_jwk_t *jwk = cjose_jwk_create_RSA_random(bits, (const uint8_t *)"\1\0\1", 3, &error);
    json_t *key, *set;
    char *text;

    if (!jwk)
        return false;
    text = cjose_jwk_to_json(jwk, false, &error);
    key = json_loads(text, 0, NULL);
    set = json_pack("{s:[o]}", "keys", key);
    json_object_set_new(key, "kid", json_string("k"));
    free(t.body);
    t.body = json_dumps(set, JSON_COMPACT);
    json_decref(set);
    free(text);
    cjose_jwk_release(jwk);
    return true;
}

static void
go_away(void)
{
    free(t.body);
    t.body = NULL;
}

static void
on_key(void *arg, jwks_result result, const cjose_jwk_t *key)
{
    (void)arg;
    t.is_answered = true;
    t.result = result;
    t.has_key = key != NULL;
}

static jwks_result
find(jwks *j, const char *kid)
{
    t.is_answered = false;
    jwks_find(j, kid, on_key, NULL);
    while (!t.is_answered)
        event_base_loop(t.base, EVLOOP_ONCE);
    assert_int_equal(t.has_key, t.result == JWKS_FOUND);
    return t.result;
}

/* What was logged since the last call, as one text; free it. */
static char *
take_log(void)
{
    off_t length;
    char *text;

    log_flush();
    length = lseek(t.log_fd, 0, SEEK_END);
    text = xcalloc(1, (size_t)length + 1);
    assert_int_equal(pread(t.log_fd, text, (size_t)length, 0), length);
    assert_int_equal(ftruncate(t.log_fd, 0), 0);
    lseek(t.log_fd, 0, SEEK_SET);
    return text;
}

static void
assert_logged(const char *part)
{
    char *text = take_log();

    if ((strstr(text, part) == NULL) != (*part == '\0' && *text != '\0'))
        fail_msg("the log is not \"%s\": %s", part, text);
    free(text);
}

static void
refuses_short_keys(void **state)
{
    jwks *j = jwks_new(t.client, &(jwks_options){t.url, 60, 0});

    (void)state;
    assert_true(publish(2048));
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    assert_int_equal(find(j, "other"), JWKS_UNKNOWN);
    jwks_free(j);
    for (size_t bits = 1024; bits < 2048; bits += 1023) {
        if (!publish(bits))
            continue;
        j = jwks_new(t.client, &(jwks_options){t.url, 60, 0});
        free(take_log());
        assert_int_equal(find(j, "k"), JWKS_UNAVAILABLE);
        assert_logged(bits == 1024 ? "it has 1024 bits, fewer than 2048"
                                   : "it has 2047 bits, fewer than 2048");
        jwks_free(j);
    }
}

/* Keys are used while the key server is away, and end. */
static void
ends_old_keys(void **state)
{
    jwks *j = jwks_new(t.client, &(jwks_options){t.url, 4, 0});
    double end_s;

    (void)state;
    assert_true(publish(2048));
    free(take_log());
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    end_s = clock_now_s() + 4;
    assert_logged("");
    go_away();
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    assert_logged("status 503; the known ones stay in use for");
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    assert_int_equal(find(j, "other"), JWKS_UNKNOWN);
    assert_logged("");
    while (find(j, "k") == JWKS_FOUND)
        assert_true(clock_now_s() < end_s);
    assert_int_equal(t.result, JWKS_UNAVAILABLE);
    assert_logged("too old and no longer used");
    assert_int_equal(find(j, "k"), JWKS_UNAVAILABLE);
    assert_true(publish(2048));
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    assert_logged("fetched the keys of Pub/Sub again");
    jwks_free(j);
}

/* Where it may not ask again, old keys end all the same. */
static void
asks_seldom(void **state)
{
    jwks *j = jwks_new(t.client, &(jwks_options){t.url, 0.2, 3600});
    int asked = t.asked;

    (void)state;
    assert_true(publish(2048));
    assert_int_equal(find(j, "k"), JWKS_FOUND);
    assert_int_equal(find(j, "other"), JWKS_UNKNOWN);
    while (find(j, "k") == JWKS_FOUND)
        event_base_loop(t.base, EVLOOP_NONBLOCK);
    assert_int_equal(t.result, JWKS_UNAVAILABLE);
    assert_int_equal(t.asked, asked + 1);
    jwks_free(j);
}

static int
set_up(void **state)
{
    char path[] = "/tmp/jwks-log-XXXXXX";
    struct evhttp_bound_socket *socket;
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);

    (void)state;
    t.base = event_base_new();
    t.server = evhttp_new(t.base);
    socket = evhttp_bind_socket_with_handle(t.server, "127.0.0.1", 0);
    getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&address, &size);
    snprintf(t.url, sizeof(t.url), "http://127.0.0.1:%d/certs", ntohs(address.sin_port));
    evhttp_set_gencb(t.server, answer_keys, NULL);
    t.client = http_client_new(t.base, "test");
    t.log_fd = mkstemp(path);
    unlink(path);
    log_open(true, "INFO");
    log_set_fd(t.log_fd);
    return t.log_fd < 0;
}

static int
tear_down(void **state)
{
    (void)state;
    http_client_free(t.client);
    evhttp_free(t.server);
    event_base_free(t.base);
    log_set_fd(1);
    close(t.log_fd);
    free(t.body);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_short_keys),
        cmocka_unit_test(ends_old_keys),
        cmocka_unit_test(asks_seldom),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
