/* Tests of common/scope.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/scope.h"

static void
reads_names(void **state)
{
    static const struct {
        const char *text;
        scope_set set;
        bool is_known;
    } cases[] = {
        {"", SCOPE_NONE, true},
        {"   ", SCOPE_NONE, true},
        {"contacts:read", SCOPE_CONTACTS_READ, true},
        {" contacts:read  contacts:read stripe:write ", SCOPE_CONTACTS_READ | SCOPE_STRIPE_WRITE,
         true},
        {"contacts:read,stripe:write", SCOPE_NONE, false},
        {"contacts:rea", SCOPE_NONE, false},
        {"contacts:reads", SCOPE_NONE, false},
        {"Contacts:read", SCOPE_NONE, false},
        {"contacts:delete admin", SCOPE_CONTACTS_DELETE, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scope_set set;

        assert_int_equal(scope_read(cases[i].text, " ", &set), cases[i].is_known);
        assert_int_equal(set, cases[i].set);
    }
}

static void
knows_what_includes_what(void **state)
{
    (void)state;
    assert_int_equal(scope_expand(SCOPE_NONE), SCOPE_NONE);
    assert_int_equal(scope_expand(SCOPE_CONTACTS_WRITE),
                     SCOPE_CONTACTS_WRITE | SCOPE_CONTACTS_READ);
    assert_int_equal(scope_expand(SCOPE_CONTACTS_DELETE), SCOPE_CONTACTS_DELETE);
    assert_int_equal(scope_expand(SCOPE_ALL), SCOPE_ALL);
}

/* Every scope is in SCOPE_ALL, and what is written is read again. */
static void
writes_names(void **state)
{
    scope_set all = SCOPE_NONE;

    (void)state;
    for (const scope *s = scope_table; s->name != NULL; s++)
        all |= s->bit;
    assert_int_equal(all, SCOPE_ALL);
    for (scope_set set = SCOPE_NONE; set <= SCOPE_ALL; set++) {
        buf names = BUF_INIT;
        scope_set again;

        scope_append_names(set, ',', &names);
        assert_true(scope_read(buf_text(&names), ",", &again));
        assert_int_equal(again, set);
        buf_free(&names);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names),
        cmocka_unit_test(knows_what_includes_what),
        cmocka_unit_test(writes_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
