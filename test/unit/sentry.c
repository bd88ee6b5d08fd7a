/* Tests of common/sentry.c: how a DSN is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/sentry.h"

static void
leads_to(const char *dsn, const char *expected_url, const char *expected_key)
{
    char *url, *key;

    assert_true(sentry_parse_dsn(dsn, &url, &key));
    assert_string_equal(url, expected_url);
    assert_string_equal(key, expected_key);
    free(url);
    free(key);
}

static void
reads_dsns(void **state)
{
    (void)state;
    leads_to("https://abc@sentry.example.com/42", "https://sentry.example.com/api/42/envelope/",
             "abc");
    leads_to("http://abc:def@localhost:9000/a/b/42", "http://localhost:9000/a/b/api/42/envelope/",
             "abc");
}

static void
refuses_others(void **state)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "https://",
                                        "https://sentry.example.com/42",
                                        "https://@sentry.example.com/42",
                                        "https://abc@sentry.example.com",
                                        "https://abc@sentry.example.com/",
                                        "https://abc@sentry.example.com/x",
                                        "https://abc@/42",
                                        "ftp://abc@sentry.example.com/42"};
    char *url, *key;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(sentry_parse_dsn(wrong[i], &url, &key));
        assert_null(url);
    }
}

static void
reports_go_nowhere_without_one(void **state)
{
    sentry_options options = {.dsn = NULL, .program = "test"};
    char message[100];

    (void)state;
    assert_true(sentry_open(NULL, &options, message, sizeof(message)));
    sentry_report(LOG_LEVEL_ERROR, "test", "nothing", NULL, 0);
    sentry_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_dsns),
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(reports_go_nowhere_without_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
