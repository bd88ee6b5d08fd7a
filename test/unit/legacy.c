/*
 * Bodies that use the older fields of waitlists: which are found.
 * uses: rest/legacy.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "rest/legacy.h"

static void
assert_found(bool expected, const char *const *bodies)
{
    for (; *bodies != NULL; bodies++) {
        if (legacy_uses_waitlists(*bodies) != expected)
            fail_msg("%s: %s", *bodies, expected ? "not found" : "found");
    }
}

static void
finds_members(void **state)
{
    static const char *const bodies[] = {
        "{\"vpn_waitlist\":{\"geo\":\"fr\"}}",
        " \r\n\t{ \"relay_waitlist\" : null } \n",
        "{\"email\":{\"a\":[1,{\"b\":\"}]\"}]},\"vpn_waitlist\":\"DELETE\"}",
        "{\"a\":\"\\\\\",\"vpn_waitlist\":1,\"b\":\"\\\"\"}",
        "{\"waitlists\":[],\"vpn_waitlist\":1}",
        "{\"vpn_waitlist\":1,\"waitlists\" : [ \n ]}",
        "{\"vpn_waitlist\":1,\"waitlists\":null}",
        "{\"vpn_waitlist\":1,\"waitlists\":{\"a\":1}}",
        "{\"vpn_waitlist\":1,\"waitlists\":\"[1]\"}",
        "{\"waitlists\":[1],\"vpn_waitlist\":1,\"waitlists\":[]}",
        "{\"vpn_waitlist\":1,\"a\":{\"waitlists\":[1]}}",
        NULL,
    };

    (void)state;
    assert_found(true, bodies);
}

static void
finds_nothing_else(void **state)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "null",
        "\"vpn_waitlist\"",
        "[{\"vpn_waitlist\":1}]",
        "{\"a\":\"vpn_waitlist\"}",
        "{\"a\":\"\\\"vpn_waitlist\\\":1\"}",
        "{\"a\":{\"vpn_waitlist\":1}}",
        "{\"a\":[{\"vpn_waitlist\":1}],\"b\":[\"vpn_waitlist\"]}",
        "{\"vpn_waitlists\":1,\"pn_waitlist\":2,\"\":3}",
        "{\"vpn_waitlist\":1,\"waitlists\":[{\"name\":\"vpn\"}]}",
        "{\"waitlists\":[ [] ],\"relay_waitlist\":1}",
        "{\"vpn_waitlist\":1,\"waitlists\":[],\"waitlists\":[1]}",
        /* no JSON */
        "{\"vpn_waitlist\":1",
        "{\"vpn_waitlist\":1,\"",
        "{\"vpn_waitlist\":1,\"a\\",
        "{\"vpn_waitlist",
        "{\"vpn_waitlist\"",
        "{\"vpn_waitlist\":",
        "{\"vpn_waitlist\":1,\"waitlists\":[",
        "{\"vpn_waitlist\":1}}",
        "{\"vpn_waitlist\":1} x",
        NULL,
    };

    (void)state;
    assert_found(false, bodies);
}

/* Deeper than any stack, with the member at the end. */
static void
bears_depth(void **state)
{
    size_t depth = 4000000;
    static const char begin[] = "{\"a\":", end[] = ",\"vpn_waitlist\":1}";
    char *body = malloc(sizeof(begin) + 2 * depth + sizeof(end));

    (void)state;
    memcpy(body, begin, sizeof(begin) - 1);
    memset(body + sizeof(begin) - 1, '[', depth);
    memset(body + sizeof(begin) - 1 + depth, ']', depth);
    memcpy(body + sizeof(begin) - 1 + 2 * depth, end, sizeof(end));
    assert_true(legacy_uses_waitlists(body));
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_members),
        cmocka_unit_test(finds_nothing_else),
        cmocka_unit_test(bears_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
