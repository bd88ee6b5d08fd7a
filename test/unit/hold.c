/*
 * Tests of agent/hold.c: slots are held until their times.
 *
 * uses: agent/hold.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/hold.h"

static void
holds_until_the_end(void **state)
{
    holds h = {0};

    (void)state;
    assert_int_equal(hold_count(&h, 0), 0);
    assert_true(hold_first_end_s(&h) == 0 && hold_last_end_s(&h) == 0);
    hold_add(&h, 0, 5);
    assert_int_equal(hold_count(&h, 0), 0);
    hold_add(&h, 1, 5);
    hold_add(&h, 3, 4);
    hold_add(&h, 1, 9);
    assert_true(hold_first_end_s(&h) == 4 && hold_last_end_s(&h) == 9);
    assert_int_equal(hold_count(&h, 3.9), 5);
    assert_int_equal(hold_count(&h, 4), 2);
    assert_true(hold_first_end_s(&h) == 5);
    assert_int_equal(hold_count(&h, 8), 1);
    assert_int_equal(hold_count(&h, 9), 0);
    assert_true(hold_last_end_s(&h) == 0);
    hold_free(&h);
}

static void
holds_many(void **state)
{
    holds h = {0};

    (void)state;
    for (int i = 1; i <= 1000; i++)
        hold_add(&h, 1, i);
    assert_int_equal(hold_count(&h, 400), 600);
    hold_add(&h, 1000, 500.5);
    assert_int_equal(hold_count(&h, 500), 1500);
    assert_int_equal(hold_count(&h, 501), 499);
    hold_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_until_the_end),
        cmocka_unit_test(holds_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
