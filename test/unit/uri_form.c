/* Tests of targets, queries and forms. uses: rest/http/uri.c rest/http/form.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rest/http/form.h"
#include "rest/http/uri.h"

static void
splits_targets(void **state)
{
    static const char *const cases[][3] = {
        {"/a?b=c", "/a", "b=c"},     {"/a", "/a", NULL},       {"/a?", "/a", ""},
        {"http://h/a?b", "/a", "b"}, {"HTTPS://h", "/", NULL}, {"http://h?x", "/", "x"},
        {"/a/?x?y", "/a/", "x?y"},   {"*", "*", NULL},         {"/http://h/", "/http://h/", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path, *query;
        size_t length;

        uri_split(cases[i][0], &path, &length, &query);
        assert_int_equal(length, strlen(cases[i][1]));
        assert_memory_equal(path, cases[i][1], length);
        if (cases[i][2] == NULL)
            assert_null(query);
        else
            assert_string_equal(query, cases[i][2]);
    }
}

static void
knows_hosts(void **state)
{
    static const char *const good[] = {
        "a",
        "A.example",
        "my_host-1",
        "127.0.0.1:80",
        "a:",
        "a:65535",
        "a:00080",
        "[::1]",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
        "a%C3%A9.b",
        "a;b=c,d!e'(f)",
        "999.999.999.999:0",
        "xn--nxasmq6b.",
        "[2001:db8::1]:",
    };
    static const char *const bad[] = {
        "",
        ":80",
        "a b@c/d?e#f",
        "a b",
        "user@a",
        "a/",
        "a?b",
        "a#b",
        "a:b",
        "a:65536",
        "a:-1",
        "a:1:2",
        "a:99999999999999999999",
        "::1",
        "[::1",
        "[]",
        "[::1]80",
        "[::1%25lo]",
        "[a]",
        "[::1]:x",
        "a]",
        "a\\b",
        "a\"b",
        "\xc3\xa9",
        "a%zz",
        "a%4",
        "<a>",
        "[127.0.0.1]",
        "[v1.a]",
        "a\tb",
        "http://a",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!uri_is_host(good[i], strlen(good[i])))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (uri_is_host(bad[i], strlen(bad[i])))
            fail_msg("%s", bad[i]);
    }
    assert_false(uri_is_host("a\0b", 3));
    assert_true(uri_is_host("a/b", 1));
}

static void
checks_targets(void **state)
{
    static const char *const good[][2] = {
        {"GET", "/"},
        {"GET", "//a"},
        {"GET", "/a@b:c?d@e?/"},
        {"GET", "http://a"},
        {"PUT", "HTTPS://a?b"},
        {"GET", "http://a:1/@"},
        {"OPTIONS", "*"},
        {"OPTIONS", "/"},
        {"CONNECT", "a:80"},
        {"CONNECT", "[::1]:80"},
    };
    static const char *const bad[][3] = {
        {"GET", "/a#b", "fragment"},
        {"GET", "#", "fragment"},
        {"GET", "http://a/#", "fragment"},
        {"GET", "*", "only OPTIONS"},
        {"OPTIONS", "*a", "neither"},
        {"options", "*", "only OPTIONS"},
        {"GET", "a", "neither"},
        {"GET", "a:80", "neither"},
        {"GET", "ftp://a/", "neither"},
        {"GET", "http:/a", "neither"},
        {"GET", "?a", "neither"},
        {"GET", "http:///x", "no host"},
        {"GET", "http://", "no host"},
        {"GET", "http://?a", "no host"},
        {"GET", "http://:80/", "no host"},
        {"GET", "http://b@a/", "user information"},
        {"GET", "http://@a", "user information"},
        {"GET", "http://a:b@c/", "user information"},
        {"GET", "https://a:x/", "no valid host"},
        {"GET", "http://a\\b/", "no valid host"},
        {"CONNECT", "/a", "CONNECT"},
        {"CONNECT", "a", "CONNECT"},
        {"CONNECT", "a:", "CONNECT"},
        {"CONNECT", "[::1]", "CONNECT"},
        {"CONNECT", "*", "CONNECT"},
        {"CONNECT", "http://a:80/", "CONNECT"},
        {"CONNECT", "a:80/", "CONNECT"},
        {"CONNECT", "b@a:80", "CONNECT"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const char *detail = uri_check_target(good[i][0], good[i][1]);

        if (detail != NULL)
            fail_msg("%s %s: %s", good[i][0], good[i][1], detail);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *detail = uri_check_target(bad[i][0], bad[i][1]);

        if (detail == NULL || strstr(detail, bad[i][2]) == NULL)
            fail_msg("%s %s: %s", bad[i][0], bad[i][1], detail ? detail : "(good)");
    }
}

static void
normalizes_paths(void **state)
{
    static const char *const cases[][2] = {
        {"/%5F%5fheartbeat__", "/__heartbeat__"},
        {"/ctm%73?a=%73", "/ctms?a=%73"},
        {"http://%61/%61%7E%2D%2E%30", "http://%61/a~-.0"},
        {"/a%2Fb%2fc%40%7b%00%FF%20%2B%25%3F", "/a%2Fb%2fc%40%7b%00%FF%20%2B%25%3F"},
        {"/%2541", "/%2541"},
        {"/%2e%2E/%2e", "/../."},
        {"/%%341%41", "/%%341%41"},
        {"/%41%4", "/%41%4"},
        {"/%41?%4", "/A?%4"},
        {"/%41%?41", "/%41%?41"},
        {"http://a?%41", "http://a?%41"},
        {"*", "*"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *target = xstrdup(cases[i][0]);

        uri_normalize_path(target);
        assert_string_equal(target, cases[i][1]);
        free(target);
    }
}

static void
knows_uuids(void **state)
{
    static const char *const good[] = {
        "332de237-cab7-4461-bcc3-48e68f42bd5c",   "332DE237CAB74461BCC348E68F42BD5C",
        "{332de237-cab7-4461-bcc3-48e68f42bd5c}", "332d-e237-cab7-4461-bcc3-48e6-8f42-bd5c",
        "{332de237cab74461bcc348e68f42bd5c}",
    };
    static const char *const bad[] = {
        "",
        "x",
        "{}",
        "{",
        "332de237-cab7-4461-bcc3-48e68f42bd5",
        "332de237-cab7-4461-bcc3-48e68f42bd5cc",
        "332de237-cab7-4461-bcc3-48e68f42bd5c-",
        "332de237--cab7-4461-bcc3-48e68f42bd5c",
        "33-2de237cab74461bcc348e68f42bd5c",
        "-332de237cab74461bcc348e68f42bd5c",
        "{332de237-cab7-4461-bcc3-48e68f42bd5c",
        "332de237-cab7-4461-bcc3-48e68f42bd5c}",
        " 332de237-cab7-4461-bcc3-48e68f42bd5c",
        "332de237-cab7-4461-bcc3-48e68f42bd5g",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(uri_is_uuid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(uri_is_uuid(bad[i]));
}

static void
decodes(void **state)
{
    static const struct {
        const char *text, *decoded;
        bool plus_is_blank;
    } cases[] = {
        {"a%2Bb+c", "a+b+c", false},
        {"a%2Bb+c", "a+b c", true},
        {"%", "%", true},
        {"%4", "%4", true},
        {"%zz%41", "%zzA", true},
        {"%%41", "%A", true},
        {"%c3%AB", "\xc3\xab", true},
        {"", "", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uri_text decoded = uri_decode(cases[i].text, strlen(cases[i].text), cases[i].plus_is_blank);
        buf encoded = BUF_INIT;
        uri_text again;

        assert_string_equal(decoded.data, cases[i].decoded);
        uri_encode(&encoded, decoded.data, decoded.length);
        again = uri_decode(buf_text(&encoded), encoded.length, true);
        assert_string_equal(again.data, cases[i].decoded);
        free(decoded.data);
        free(again.data);
        buf_free(&encoded);
    }
}

static void
reads_queries(void **state)
{
    static const char text[] = "a=1&b&&=x&a=2&%61=3&c=%00";
    uri_query query;
    const uri_text *value;
    buf many = BUF_INIT;

    (void)state;
    assert_true(uri_parse_query(text, strlen(text), &query));
    assert_int_equal(query.count, 6);
    assert_string_equal(uri_query_get(&query, "a")->data, "3");
    assert_string_equal(uri_query_get(&query, "b")->data, "");
    assert_null(uri_query_get(&query, "x"));
    value = uri_query_get(&query, "c");
    assert_int_equal(value->length, 1);
    assert_false(uri_is_text(value));
    uri_query_free(&query);
    for (int i = 0; i <= URI_PARAMETERS_MAX; i++)
        buf_append_string(&many, "a=b&");
    assert_false(uri_parse_query(many.data, many.length, &query));
    uri_query_free(&query);
    buf_free(&many);
}

/* Reads client_id and client_secret; expected NULL means that the form is refused. */
static void
form_gives(const char *type, const char *body, const char *id, const char *secret)
{
    form_field fields[] = {{"client_id", NULL}, {"client_secret", NULL}};
    bool ok = form_read(type, body, strlen(body), fields, 2);

    if (ok != (id != NULL) ||
        (ok && (strcmp(fields[0].value ? fields[0].value : "-", id) != 0 ||
                strcmp(fields[1].value ? fields[1].value : "-", secret) != 0)))
        fail_msg("type %s, body %s", type ? type : "(none)", body);
    form_free(fields, 2);
}

static void
reads_forms(void **state)
{
    (void)state;
    form_gives(NULL, "client_id=a&client_secret=b%26+c&json=%00", "a", "b& c");
    form_gives("text/plain", "client_id=a&client_id=b", "b", "-");
    form_gives(NULL, "", "-", "-");
    form_gives(NULL, "client_id=%00", NULL, NULL);
    form_gives(NULL, "client_id=%ff", NULL, NULL);
    form_gives("multipart/form-data; boundary=X",
               "--X\r\nContent-Disposition: form-data; name=\"client_id\"\r\n\r\na\r\n"
               "--X\r\nA: b\r\ncontent-disposition: form-data; x=y; name=client_secret\r\n"
               "C: d\r\n\r\nb\r\n--\r\n--X--",
               "a", "b\r\n--");
    form_gives("multipart/form-data; boundary=X", "--X--\r\n", "-", "-");
    form_gives("multipart/form-data; boundary=X", "--X\r\nno end", NULL, NULL);
    form_gives("multipart/form-data; boundary=X", "--X\r\nno head\r\n--X--", NULL, NULL);
    form_gives("multipart/form-data; boundary=X", "", NULL, NULL);
    form_gives("multipart/form-data; boundary=\"X", "--X--", NULL, NULL);
    form_gives("multipart/form-data", "--X--", NULL, NULL);
}

static void
basic_gives(const char *authorization, const char *user, const char *password)
{
    char *own_user = NULL, *own_password = NULL;
    bool ok = form_read_basic(authorization, &own_user, &own_password);

    if (ok != (user != NULL) ||
        (ok && (strcmp(own_user, user) != 0 || strcmp(own_password, password) != 0)))
        fail_msg("%s", authorization);
    free(own_user);
    free(own_password);
}

static void
reads_basic(void **state)
{
    (void)state;
    basic_gives("Basic YTpi", "a", "b");
    basic_gives("basic  YTpiOmM=", "a", "b:c");
    basic_gives("Basic YTo", "a", "");
    basic_gives("Basic OmI=", "", "b");
    basic_gives("Basic YWI=", NULL, NULL);
    basic_gives("Basic YTpi!", NULL, NULL);
    basic_gives("Basic YToA", NULL, NULL);
    basic_gives("Basic ", NULL, NULL);
    basic_gives("Bearer YTpi", NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_targets), cmocka_unit_test(knows_hosts),
        cmocka_unit_test(checks_targets), cmocka_unit_test(normalizes_paths),
        cmocka_unit_test(knows_uuids),    cmocka_unit_test(decodes),
        cmocka_unit_test(reads_queries),  cmocka_unit_test(reads_forms),
        cmocka_unit_test(reads_basic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
