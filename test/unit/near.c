/*
 * Which names are near to a mistyped one, and in which order.
 * uses: cli/near.c common/utf8.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cli/near.h"

static const char *const words[] = {"acoustic", "clients", "waitlists", "newsletters", "fields",
                                    "add",      "list",    "remove",    "resync",      "x"};

static void
check(const char *given, const char *question)
{
    near_names near;

    near_begin(&near, given);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        near_offer(&near, words[i]);
    assert_string_equal(near_question(&near), question);
}

static void
finds_what_was_meant(void **state)
{
    (void)state;
    check("acustic", "; did you mean \"acoustic\"?");
    check("acousticc", "; did you mean \"acoustic\"?");
    check("acuostic", "; did you mean \"acoustic\"?");
    check("ACOUSTIK", "; did you mean \"acoustic\"?");
    check("waitlist", "; did you mean \"waitlists\"?");
    check("newsl", "; did you mean \"newsletters\"?");
    check("ad", "; did you mean \"add\"?");
    check("fileds", "; did you mean \"fields\"?");
    check("lits", "; did you mean \"list\"?");
}

/* A letter of another alphabet, an accent, and what cannot be seen are one letter each. */
static void
counts_characters(void **state)
{
    static const char *const mistyped[] = {"vp\u00f1",     "vpn\u200b", "vpn\u0303", "\u00a0vpn",
                                           "vp\U0001f600", "v\u0440n",  "vpn\xff"};
    near_names near;

    (void)state;
    for (size_t i = 0; i < sizeof(mistyped) / sizeof(*mistyped); i++) {
        near_begin(&near, mistyped[i]);
        near_offer(&near, "vpn");
        near_offer(&near, "r\u00fc\u00f1");
        assert_int_equal(near.count, 1);
        assert_string_equal(near.names[0], "vpn");
        assert_int_equal(near.distances[0], 1);
    }
    near_begin(&near, "\u00e4\u00f6\u00fc");
    near_offer(&near, "\u00e4");
    near_offer(&near, "\u00e4\u00f6\u00fc\u00df\u00df");
    assert_string_equal(near_question(&near), "; did you mean \"\u00e4\u00f6\u00fc\u00df\u00df\"?");
}

static void
offers_nothing_far(void **state)
{
    (void)state;
    check("", "");
    check("y", "");
    check("frobnicate", "");
    check("life", "");
    check("reload", "");
}

static void
gives_the_nearest_first(void **state)
{
    near_names near;

    (void)state;
    near_begin(&near, "clients");
    near_offer(&near, "client");
    near_offer(&near, "clonts");
    near_offer(&near, "clients");
    near_offer(&near, "clientes");
    near_offer(&near, "clients");
    assert_string_equal(near_question(&near),
                        "; did you mean \"clients\", \"client\" or \"clientes\"?");
}

static void
holds_names_of_any_length(void **state)
{
    char given[200];
    char name[200];
    near_names near;

    (void)state;
    for (size_t length = 55; length < sizeof(given); length++) {
        memset(given, 'g', sizeof(given));
        given[length] = '\0';
        near_begin(&near, given);
        for (size_t other = 50; other < sizeof(name); other++) {
            memset(name, 'g', sizeof(name));
            name[other] = '\0';
            near_offer(&near, name);
        }
        assert_int_equal(near.count, length < NEAR_SIZE ? NEAR_COUNT : 0);
        assert_true(strlen(near_question(&near)) < sizeof(near.question));
    }
    near_offer_rows(&near, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_meant),      cmocka_unit_test(counts_characters),
        cmocka_unit_test(offers_nothing_far),        cmocka_unit_test(gives_the_nearest_first),
        cmocka_unit_test(holds_names_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
