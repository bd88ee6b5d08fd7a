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
        {"/a#f?x", "/a", NULL},      {"*", "*", NULL},         {"/http://h/", "/http://h/", NULL},
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
        cmocka_unit_test(splits_targets), cmocka_unit_test(knows_uuids),
        cmocka_unit_test(decodes),        cmocka_unit_test(reads_queries),
        cmocka_unit_test(reads_forms),    cmocka_unit_test(reads_basic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
