/*
 * Tests of agent/rate.c: contacts a second while more wait to be sent, and nothing else.
 *
 * uses: agent/rate.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/rate.h"

/* So many contacts a second for some seconds. Returns the time afterwards. */
static double
send(rate *r, double now_s, int seconds, int per_second, bool is_busy)
{
    for (int i = 0; i < seconds * per_second; i++) {
        rate_note_turn(r, is_busy, now_s);
        now_s += 1.0 / per_second;
        rate_note_contact(r);
    }
    rate_note_turn(r, false, now_s);
    return now_s;
}

static void
measures_while_contacts_wait(void **state)
{
    rate r = {0};
    double now_s;

    (void)state;
    assert_true(rate_per_second(&r, 1000) == 0);
    now_s = send(&r, 1000, 10, 20, false);
    assert_true(rate_per_second(&r, now_s) == 0);
    now_s = send(&r, now_s, 10, 100, true);
    assert_float_equal(rate_per_second(&r, now_s), 100, 1);
    /* A change from time to time is not what the agent can do. */
    now_s = send(&r, now_s, 100, 2, false);
    assert_float_equal(rate_per_second(&r, now_s), 100, 1);
}

static void
follows_within_minutes(void **state)
{
    rate r = {0};
    double now_s = send(&r, 1000, 600, 100, true);

    (void)state;
    now_s = send(&r, now_s, 60, 50, true);
    assert_float_equal(rate_per_second(&r, now_s), 68, 2);
    now_s = send(&r, now_s, 300, 50, true);
    assert_float_equal(rate_per_second(&r, now_s), 50, 1);
}

static void
forgets(void **state)
{
    rate r = {0};
    double now_s = send(&r, 1000, 10, 100, true);

    (void)state;
    assert_true(rate_per_second(&r, now_s + 299) > 0);
    assert_true(rate_per_second(&r, now_s + 301) == 0);
    /* A moment tells nothing. */
    r = (rate){0};
    rate_note_turn(&r, true, 1000);
    rate_note_contact(&r);
    rate_note_turn(&r, true, 1000.5);
    assert_true(rate_per_second(&r, 1000.5) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_while_contacts_wait),
        cmocka_unit_test(follows_within_minutes),
        cmocka_unit_test(forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
