/* Tests of heads and chunks, right and wrong. uses: rest/http/http.c rest/http/uri.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rest/http/http.h"

static http_request *
parse(const char *text, size_t length, http_refusal *refusal)
{
    size_t scanned = 0;
    long end = http_find_head_end(text, length, &scanned);

    *refusal = (http_refusal){400, NULL};
    return end <= 0 ? NULL : http_parse_head(text, (size_t)end, refusal);
}

static void
accepts_requests(void **state)
{
    static const char text[] = "PATCH /%61%20b?c HTTP/1.1\r\nhost: x\r\nCONTENT-length:\t12 \r\n"
                               "X-Empty:\r\nConnection: a, Close\r\n\r\nrest";
    http_refusal refusal;
    http_request *request = parse(text, sizeof(text) - 1, &refusal);

    (void)state;
    assert_non_null(request);
    assert_int_equal(request->method, HTTP_PATCH);
    assert_string_equal(request->target, "/a%20b?c");
    assert_int_equal(request->content_length, 12);
    assert_false(request->is_keep_alive);
    assert_string_equal(http_get_header(request, "x-empty"), "");
    assert_string_equal(http_get_header(request, "Host"), "x");
    assert_null(http_get_header(request, "Hos"));
    http_request_free(request);
}

static void
refuses_requests(void **state)
{
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456789\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505},
        {"GET / HTTP/11\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.9\r\n\r\n", 400},
        {"G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"\r\n", 400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_refusal refusal;
        http_request *request = parse(bad[i].text, strlen(bad[i].text), &refusal);

        if (request != NULL || refusal.status != bad[i].status)
            fail_msg("case %zu: %s", i, bad[i].text);
    }
}

/* A later minor version is a request of the latest that we know; of an earlier one, Host may be
 * absent. */
static void
reads_versions(void **state)
{
    static const char text[] = "GET / HTTP/1.%d\r\n%s\r\n";

    (void)state;
    for (int minor = 0; minor <= 9; minor++) {
        http_refusal refusal;
        http_request *request;
        buf head = BUF_INIT;

        buf_printf(&head, text, minor, minor == 0 ? "" : "Host: a\r\n");
        request = parse(head.data, head.length, &refusal);
        assert_non_null(request);
        assert_int_equal(request->minor_version, minor == 0 ? 0 : 1);
        assert_int_equal(request->is_keep_alive, minor > 0);
        http_request_free(request);
        buf_free(&head);
    }
}

static void
refuses_hosts_and_targets(void **state)
{
    static const struct {
        const char *line, *host;
        const char *detail;
    } bad[] = {
        {"GET / HTTP/1.1", NULL, "no Host header"},
        {"GET / HTTP/1.1", "", "empty Host header"},
        {"GET / HTTP/1.0", "", "empty Host header"},
        {"GET http://a/ HTTP/1.1", "", "empty Host header"},
        {"GET http://a/ HTTP/1.1", "a b", "invalid Host header"},
        {"GET / HTTP/1.1", "a b@c/d?e#f", "invalid Host header"},
        {"GET / HTTP/1.0", "a:x", "invalid Host header"},
        {"GET /#a HTTP/1.1", "a", "a fragment in the request target"},
        {"GET http:///x HTTP/1.1", "a", "no host in the request target"},
        {"GET http://b@a/x HTTP/1.0", "a", "user information in the request target"},
        {"GET * HTTP/1.1", "a", "only OPTIONS takes * as request target"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_refusal refusal;
        buf head = BUF_INIT;

        buf_printf(&head, "%s\r\n%s%s%s\r\n", bad[i].line, bad[i].host ? "Host:" : "",
                   bad[i].host ? bad[i].host : "", bad[i].host ? "\r\n" : "");
        assert_null(parse(head.data, head.length, &refusal));
        assert_int_equal(refusal.status, 400);
        assert_non_null(refusal.detail);
        assert_string_equal(refusal.detail, bad[i].detail);
        buf_free(&head);
    }
}

static void
parse_two(const char *first, const char *second, http_refusal *refusal, bool *is_keep_alive)
{
    buf text = BUF_INIT;
    http_request *request;

    buf_printf(&text, "GET / HTTP/1.1\r\n%s\r\nX: y\r\n%s\r\n\r\n", first, second);
    request = parse(text.data, text.length, refusal);
    if (request != NULL)
        refusal->status = 0;
    *is_keep_alive = request != NULL && request->is_keep_alive;
    http_request_free(request);
    buf_free(&text);
}

/* A header that is not a list may occur once; the error for a second one names it. */
static void
refuses_a_second_header(void **state)
{
    static const struct {
        const char *first, *second;
        const char *detail;
    } bad[] = {
        {"Host: a", "host: a", "more than one Host header"},
        {"Host: a\r\nAuthorization: Bearer a", "AUTHORIZATION: Bearer a",
         "more than one Authorization header"},
        {"Host: a\r\nAuthorization: Bearer a",
         "Authorization:", "more than one Authorization header"},
        {"Host: a\r\nContent-Type: a/b", "content-Type: c/d", "more than one Content-Type header"},
        {"Host: a\r\nContent-Length: 0", "Content-Length: 0",
         "more than one Content-Length header"},
        {"Host: a\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked",
         "more than one Transfer-Encoding header"},
    };
    http_refusal refusal;
    bool is_keep_alive;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        parse_two(bad[i].first, bad[i].second, &refusal, &is_keep_alive);
        assert_int_equal(refusal.status, 400);
        assert_non_null(refusal.detail);
        assert_string_equal(refusal.detail, bad[i].detail);
    }
    parse_two("Host: a\r\nAccept: a/b\r\nX-A: 1", "Accept: c/d\r\nX-A: 1", &refusal,
              &is_keep_alive);
    assert_int_equal(refusal.status, 0);
    assert_true(is_keep_alive);
    parse_two("Host: a\r\nConnection: close", "Connection: keep-alive", &refusal, &is_keep_alive);
    assert_int_equal(refusal.status, 0);
    assert_false(is_keep_alive);
}

static void
finds_the_end_in_pieces(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET";
    size_t scanned = 0;

    (void)state;
    for (size_t i = 1; i < sizeof(text) - 4; i++)
        assert_int_equal(http_find_head_end(text, i, &scanned), 0);
    assert_int_equal(http_find_head_end(text, sizeof(text) - 1, &scanned), sizeof(text) - 4);
}

/* Reads text in pieces of the given size; returns the last result. */
static http_chunks_result
read_pieces(const char *text, size_t piece, buf *body, buf *in, size_t max)
{
    http_chunks chunks = {0};
    http_chunks_result result = CHUNKS_MORE;
    size_t length = strlen(text);

    for (size_t at = 0; at < length && result == CHUNKS_MORE; at += piece) {
        buf_append(in, text + at, length - at < piece ? length - at : piece);
        result = http_read_chunks(&chunks, in, body, max);
    }
    return result;
}

static void
reads_chunks(void **state)
{
    static const char text[] = "5;a=b\r\nhello\r\n00C\r\n, wide world\r\n0\r\nA: b\r\n\r\n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        buf body = BUF_INIT, in = BUF_INIT;

        assert_int_equal(read_pieces(text, piece, &body, &in, 17), CHUNKS_DONE);
        assert_string_equal(buf_text(&body), "hello, wide world");
        assert_int_equal(in.length, 0);
        buf_free(&body);
        buf_free(&in);
    }
}

static void
refuses_chunks(void **state)
{
    static const struct {
        const char *text;
        http_chunks_result result;
    } bad[] = {
        {"x\r\n", CHUNKS_BAD},
        {"\r\n", CHUNKS_BAD},
        {"-1\r\n", CHUNKS_BAD},
        {"1 \r\na\r\n", CHUNKS_BAD},
        {"1\na\r\n", CHUNKS_BAD},
        {"1\r\nab\r\n", CHUNKS_BAD},
        {"fffffffffffffffff\r\n", CHUNKS_BAD},
        {"12\r\n", CHUNKS_TOO_LARGE},
        {"a\r\n0123456789\r\n8\r\n", CHUNKS_TOO_LARGE},
        {"1\r\na", CHUNKS_MORE},
        {"0\r\nA: \x01\r\n", CHUNKS_BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf body = BUF_INIT, in = BUF_INIT;

        if (read_pieces(bad[i].text, 1000, &body, &in, 17) != bad[i].result)
            fail_msg("case %zu: %s", i, bad[i].text);
        buf_free(&body);
        buf_free(&in);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_requests),        cmocka_unit_test(refuses_requests),
        cmocka_unit_test(finds_the_end_in_pieces), cmocka_unit_test(reads_chunks),
        cmocka_unit_test(refuses_chunks),          cmocka_unit_test(refuses_a_second_header),
        cmocka_unit_test(reads_versions),          cmocka_unit_test(refuses_hosts_and_targets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
