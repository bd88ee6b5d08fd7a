/* Tests of common/db_url.c: one URL for each host of a list. config.c has the problems of URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <libpq-fe.h>

#include "common/db_url.h"

#define MAX 3

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
    while (strcmp(options->keyword, keyword) != 0)
        options++;
    return options->val ? options->val : "";
}

/* What libpq reads of the URL of a host. */
static void
check_host(const char *url, const char *host, const char *address, const char *port)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);

    assert_non_null(options);
    assert_string_equal(value_of(options, "host"), host);
    assert_string_equal(value_of(options, "hostaddr"), address);
    assert_string_equal(value_of(options, "port"), port);
    assert_string_equal(value_of(options, "user"), "me");
    assert_string_equal(value_of(options, "password"), "it's \\ a@b, c");
    assert_string_equal(value_of(options, "dbname"), "ctms");
    PQconninfoFree(options);
}

static void
free_all(char **urls, int count)
{
    for (int i = 0; i < count; i++)
        free(urls[i]);
}

static void
gives_each_host_a_url(void **state)
{
    char *urls[MAX];

    (void)state;
    assert_int_equal(
        db_url_split("postgresql://me:it's%20%5C%20a%40b%2C%20c@db1,[::1]:2,db3:3/ctms", urls, MAX),
        3);
    check_host(urls[0], "db1", "", "");
    check_host(urls[1], "::1", "", "2");
    check_host(urls[2], "db3", "", "3");
    free_all(urls, 3);
    assert_int_equal(db_url_split("host=/run/a,b hostaddr=,127.0.0.2 port=7 user=me "
                                  "password='it\\'s \\\\ a@b, c' dbname=ctms",
                                  urls, MAX),
                     2);
    check_host(urls[0], "/run/a", "", "7");
    check_host(urls[1], "b", "127.0.0.2", "7");
    free_all(urls, 2);
    assert_int_equal(db_url_split("postgresql://me:it's%20%5C%20a%40b%2C%20c@/ctms", urls, MAX), 1);
    check_host(urls[0], "", "", "");
    free_all(urls, 1);
}

static void
counts_more_than_it_writes(void **state)
{
    char *urls[MAX] = {NULL};

    (void)state;
    assert_int_equal(db_url_split("host=a,b,c,d", urls, 1), 4);
    assert_non_null(urls[0]);
    assert_null(urls[1]);
    free_all(urls, 1);
    assert_int_equal(db_url_split("", NULL, 0), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_each_host_a_url),
        cmocka_unit_test(counts_more_than_it_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
