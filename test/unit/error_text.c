/*
 * Error details of the extension as lines for people.
 * uses: cli/error_text.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/error_text.h"

static void
check(const char *detail, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    error_text_print_detail(stream, detail);
    fclose(stream);
    assert_string_equal(text, expected);
    free(text);
}

static void
prints_contact_errors(void **state)
{
    (void)state;
    check("[{\"loc\": [\"body\", \"newsletters\", 0, \"name\"], \"msg\": \"field required\", "
          "\"type\": \"value_error.missing\"}]",
          "  at body.newsletters[0].name: field required\n");
    check("[{\"loc\": [\"body\", 17], \"msg\": \"not JSON\"}, {\"loc\": [\"path\"], \"msg\": "
          "\"bad\"}]",
          "  at body[17]: not JSON\n  at path: bad\n");
}

static void
prints_schema_errors(void **state)
{
    (void)state;
    check("[{\"instanceLocation\": \"/geo\", \"keyword\": \"type\", \"keywordLocation\": "
          "\"/properties/geo/type\", \"error\": \"must be a string\"}]",
          "  at /geo: must be a string (schema: /properties/geo/type)\n");
    check("[{\"instanceLocation\": \"\", \"error\": \"x\"}]", "  at the top: x\n");
    check("[{\"keywordLocation\": \"/type\", \"error\": \"x\"}]", "  at /type: x\n");
}

static void
prints_rows(void **state)
{
    (void)state;
    check(
        "[{\"email_id\": \"a-b\", \"name\": \"vpn\", \"errors\": [{\"instanceLocation\": \"/geo\", "
        "\"keywordLocation\": \"/required\", \"error\": \"missing\"}]}, {\"email_id\": \"c\", "
        "\"errors\": []}, {\"more\": 5}]",
        "  contact a-b on \"vpn\":\n    at /geo: missing (schema: /required)\n  contact c:\n"
        "  and 5 more\n");
}

static void
prints_anything_else(void **state)
{
    (void)state;
    check("Found at \"x\".", "  Found at \"x\".\n");
    check("one\ntwo\n", "  one\n  two\n");
    check("", "");
    check("a\033[31mb\x7f", "  a\\x1b[31mb\\x7f\n");
    check("[{\"loc\": [\"\\u001b[2J\"], \"msg\": \"x\"}]", "  at \\x1b[2J: x\n");
    check("[not json", "  [not json\n");
    check("[]", "  []\n");
    check("[1]", "  [1]\n");
    check("[{\"a\": 1}]", "  [{\"a\": 1}]\n");
    check("[{\"loc\": 1, \"msg\": \"x\"}]", "  [{\"loc\": 1, \"msg\": \"x\"}]\n");
}

/* The text, repeated with the separator in between; the caller frees it. */
static char *
repeat(const char *text, const char *separator, int times)
{
    char *repeated = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&repeated, &length);

    for (int i = 0; i < times; i++)
        fprintf(stream, "%s%s", i > 0 ? separator : "", text);
    fclose(stream);
    return repeated;
}

static void
stops_after_twenty(void **state)
{
    char *entries = repeat("{\"loc\":[1],\"msg\":\"x\"}", ",", 30);
    char *lines = repeat("  at [1]: x\n", "", 20);
    char detail[4096];
    char expected[4096];

    (void)state;
    snprintf(detail, sizeof(detail), "[%s]", entries);
    snprintf(expected, sizeof(expected), "%s  and 10 more\n", lines);
    check(detail, expected);
    free(entries);
    free(lines);
}

static void
check_login_of(const char *role, const char *message, bool is_local, const char *part)
{
    char *advice = error_text_advise_login(message, role, is_local);

    if (part)
        assert_non_null(strstr(advice ? advice : "", part));
    else
        assert_null(advice);
    free(advice);
}

static void
check_login(const char *message, bool is_local, const char *part)
{
    check_login_of("web", message, is_local, part);
}

/* What somebody is told to run does no more than it seems to. */
static void
quotes_names(void **state)
{
    const char *role = "a\"; DROP ROLE b; --";
    char *advice;

    (void)state;
    check_login_of(role, "FATAL:  role \"a\"; DROP ROLE b; --\" does not exist", true,
                   "CREATE ROLE \"a\"\"; DROP ROLE b; --\" LOGIN");
    check_login_of(role, "permission denied for database", true,
                   "GRANT ctms_admin TO \"a\"\"; DROP ROLE b; --\",");
    advice =
        error_text_advise_login("Peer authentication failed for user \"$(id)\"", "$(id)", true);
    assert_non_null(advice);
    assert_null(strstr(advice, "sudo"));
    free(advice);
}

static void
advises_refused_logins(void **state)
{
    (void)state;
    check_login("FATAL:  role \"web\" does not exist", true, "sudo -u postgres ctms ...");
    check_login("FATAL:  role \"web\" does not exist", true,
                "CREATE ROLE \"web\" LOGIN IN ROLE ctms_admin");
    check_login("FATAL:  role \"web\" does not exist", false, "name another user in CTMS_DB_URL");
    check_login("FATAL:  Peer authentication failed for user \"web\"", true, "sudo -u web ctms");
    check_login("FATAL:  permission denied for database \"ctms\"", true,
                "GRANT ctms_admin TO \"web\"");
    check_login("FATAL:  database \"web\" does not exist", true, NULL);
    check_login("", true, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_contact_errors), cmocka_unit_test(prints_schema_errors),
        cmocka_unit_test(prints_rows),           cmocka_unit_test(prints_anything_else),
        cmocka_unit_test(stops_after_twenty),    cmocka_unit_test(advises_refused_logins),
        cmocka_unit_test(quotes_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
