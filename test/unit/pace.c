/*
 * Tests of agent/pace.c: slower in trouble, then one request at a time, then faster again.
 *
 * uses: agent/pace.c common/clock.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/pace.h"
#include "common/clock.h"

enum { LIMIT = 10 };

static void
allows_all_at_first(void **state)
{
    pace p;

    (void)state;
    pace_init(&p, LIMIT);
    assert_int_equal(pace_allowed(&p, LIMIT, 1), LIMIT);
    assert_int_equal(pace_allowed(&p, 4, 1), 4);
}

static void
waits_then_tries_with_one(void **state)
{
    pace p;

    (void)state;
    pace_init(&p, LIMIT);
    pace_note_trouble(&p, true, 1, 2);
    assert_int_equal(pace_allowed(&p, LIMIT, 2.05), 0);
    assert_true(pace_wait_s(&p, 2) > 0.05 && pace_wait_s(&p, 2) <= 0.2);
    assert_int_equal(pace_allowed(&p, LIMIT, 3), 1);
    pace_note_success(&p, LIMIT, 3);
    assert_int_equal(pace_allowed(&p, LIMIT, 3), 5);
    for (int i = 0; i < 100; i++)
        pace_note_success(&p, LIMIT, 3);
    assert_int_equal(pace_allowed(&p, LIMIT, 3), LIMIT);
}

static void
counts_trouble_of_one_moment_once(void **state)
{
    pace p;

    (void)state;
    pace_init(&p, LIMIT);
    for (int i = 0; i < 10; i++)
        pace_note_trouble(&p, true, 1, 2);
    assert_int_equal(p.troubles, 1);
    pace_note_success(&p, LIMIT, 2);
    assert_int_equal(pace_allowed(&p, LIMIT, 2), 5);
}

static void
waits_longer_each_time(void **state)
{
    pace p;
    double now_s = 1, last_s = 0;

    (void)state;
    pace_init(&p, LIMIT);
    for (int i = 0; i < 40; i++) {
        double wait_s;

        pace_note_trouble(&p, true, now_s, now_s);
        wait_s = pace_wait_s(&p, now_s);
        assert_true(wait_s > 0 && wait_s <= 60);
        if (i == 12)
            last_s = wait_s;
        now_s += wait_s + 1;
    }
    assert_true(last_s >= 30);
    assert_int_equal(pace_allowed(&p, LIMIT, now_s), 1);
}

static void
waits_no_longer_for_what_failed_before(void **state)
{
    pace p;

    (void)state;
    pace_init(&p, LIMIT);
    for (int i = 1; i < 20; i++) {
        pace_note_trouble(&p, false, i, i);
        assert_true(pace_wait_s(&p, i) > 0 && pace_wait_s(&p, i) <= 0.2);
    }
}

static void
one_success_ends_the_waiting(void **state)
{
    pace p;

    (void)state;
    pace_init(&p, LIMIT);
    pace_note_trouble(&p, true, 1, 2);
    pace_note_success(&p, LIMIT, 2.01);
    assert_int_equal(pace_allowed(&p, LIMIT, 2.02), 5);
    assert_true(pace_is_healthy_since(&p, 2));
    assert_false(pace_is_healthy_since(&p, 3));
}

static void
backs_off_within_bounds(void **state)
{
    (void)state;
    for (int failures = 0; failures < 2000; failures++) {
        double delay_s = clock_backoff_s(1, 60, failures);

        assert_true(delay_s >= (failures < 6 ? 0.5 * (1 << failures) : 30) && delay_s <= 60);
    }
    assert_int_equal(clock_timeval(-1).tv_sec, 0);
    assert_int_equal(clock_timeval(2.25).tv_usec, 250000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allows_all_at_first),
        cmocka_unit_test(waits_then_tries_with_one),
        cmocka_unit_test(counts_trouble_of_one_moment_once),
        cmocka_unit_test(waits_longer_each_time),
        cmocka_unit_test(waits_no_longer_for_what_failed_before),
        cmocka_unit_test(one_success_ends_the_waiting),
        cmocka_unit_test(backs_off_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
