/*
 * Tests of acoustic/classify.c: every row of the table by name, and that the more precise
 * part of an answer decides.
 *
 * It includes the file that it tests, to check that every row of its tables has a test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "acoustic/classify.c" /* NOLINT(bugprone-suspicious-include) */

enum { NO_NUMBER = -1 };

/* An answer, and the row of the table that must match it. */
static const struct fault_case {
    const char *rule;
    failure_class class;
    int status;
    long errorid;
    const char *text;
} fault_cases[] = {
    {"145 session", CLASS_AUTHENTICATION, 200, 145, "Anything"},
    {"session expired", CLASS_AUTHENTICATION, 200, 145, "Session has expired or is invalid"},
    {"access token expired", CLASS_AUTHENTICATION, 200, NO_NUMBER, "Your access token has expired"},
    {"HTTP 401", CLASS_AUTHENTICATION, 401, NO_NUMBER, ""},
    {"too many concurrent requests", CLASS_TRANSIENT, 200, NO_NUMBER,
     "You have exceeded the max number of concurrent authenticated requests"},
    {"50 server error", CLASS_TRANSIENT, 200, 50, "Server Error"},
    {"120 saving recipient", CLASS_TRANSIENT, 200, 120, ""},
    {"311 creating job", CLASS_TRANSIENT, 200, 311, ""},
    {"500 try later", CLASS_TRANSIENT, 200, 500, ""},
    {"1003 saving recipient", CLASS_TRANSIENT, 200, 1003, ""},
    {"1004 retrieving recipient", CLASS_TRANSIENT, 200, 1004, ""},
    {"1005 adding recipient", CLASS_TRANSIENT, 200, 1005, ""},
    {"1015 merging", CLASS_TRANSIENT, 200, 1015, ""},
    {"HTTP 429", CLASS_TRANSIENT, 429, NO_NUMBER, ""},
    {"HTTP 5xx", CLASS_TRANSIENT, 500, NO_NUMBER, ""},
    {"HTTP 5xx", CLASS_TRANSIENT, 503, 999999, "What is this"},
    {"unknown fault", CLASS_TRANSIENT, 200, 653, "The specified program status is Inactive"},
    {"unknown fault", CLASS_TRANSIENT, 200, NO_NUMBER, ""},
    {"address invalid", CLASS_CONTACT, 200, NO_NUMBER, "Email Address Is Invalid."},
    {"address blocked", CLASS_CONTACT, 200, 121, "Local part of Email Address is Blocked."},
    {"121 address", CLASS_CONTACT, 200, 121, "No EMAIL"},
    {"1017 address", CLASS_CONTACT, 200, 1017, ""},
    {"211 key values", CLASS_CONTACT, 200, 211, ""},
    {"1006 key values", CLASS_CONTACT, 200, 1006, ""},
    {"51 invalid XML", CLASS_CONFIGURATION, 200, 51, "Invalid XML Request"},
    {"106 list", CLASS_CONFIGURATION, 200, 106, ""},
    {"108 list", CLASS_CONFIGURATION, 200, 108, ""},
    {"no such list", CLASS_CONFIGURATION, 200, 108, "List with id 999 Does Not Exist."},
    {"314 column", CLASS_CONFIGURATION, 200, 314, ""},
    {"1007 column", CLASS_CONFIGURATION, 200, 1007, ""},
    {"no such column", CLASS_CONFIGURATION, 200, NO_NUMBER, "There is no column NAME"},
    {"150 permissions", CLASS_CONFIGURATION, 200, 150, ""},
    /* A text is more precise than a number, and a fault more than a status. */
    {"address invalid", CLASS_CONTACT, 200, 108, "Email Address Is Invalid."},
    {"too many concurrent requests", CLASS_TRANSIENT, 200, 51, "too many concurrent requests"},
    {"121 address", CLASS_CONTACT, 500, 121, ""},
    {"145 session", CLASS_AUTHENTICATION, 500, 145, ""},
};

/* The rules that a test has matched. */
static const char *met[256];
static size_t met_count;

static void
check(verdict v, const char *name, failure_class class)
{
    if (strcmp(v.rule, name) != 0 || v.class != class)
        fail_msg("expected \"%s\" (%s), found \"%s\" (%s)", name, classify_class_name(class),
                 v.rule, classify_class_name(v.class));
    assert_true(met_count < sizeof(met) / sizeof(*met));
    met[met_count++] = v.rule;
}

static void
classifies_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fault_cases) / sizeof(*fault_cases); i++) {
        const struct fault_case *c = &fault_cases[i];
        acoustic_answer answer = {.result = ACOUSTIC_FAULT, .errorid = c->errorid};

        snprintf(answer.text, sizeof(answer.text), "%s", c->text);
        check(classify_answer(NULL, c->status, &answer), c->rule, c->class);
    }
}

static void
classifies_what_is_no_envelope(void **state)
{
    acoustic_answer answer = {.result = ACOUSTIC_UNREADABLE, .errorid = -1};

    (void)state;
    check(classify_answer(NULL, 401, &answer), "HTTP 401", CLASS_AUTHENTICATION);
    check(classify_answer(NULL, 429, &answer), "HTTP 429", CLASS_TRANSIENT);
    check(classify_answer(NULL, 500, &answer), "HTTP 5xx", CLASS_TRANSIENT);
    check(classify_answer(NULL, 503, &answer), "HTTP 5xx", CLASS_TRANSIENT);
    check(classify_answer(NULL, 200, &answer), "no XML", CLASS_TRANSIENT);
    check(classify_answer(NULL, 404, &answer), "no XML", CLASS_TRANSIENT);
    check(classify_answer("timed out", 0, &answer), "no answer", CLASS_TRANSIENT);
    check(classify_answer("Connection reset by peer", 200, &answer), "no answer", CLASS_TRANSIENT);
}

static void
classifies_success(void **state)
{
    acoustic_answer answer = {.result = ACOUSTIC_SUCCESS, .errorid = -1};

    (void)state;
    check(classify_answer(NULL, 200, &answer), "success", CLASS_SUCCESS);
    check(classify_answer(NULL, 201, &answer), "success", CLASS_SUCCESS);
    check(classify_answer(NULL, 503, &answer), "HTTP 5xx", CLASS_TRANSIENT);
    check(classify_answer("timed out", 200, &answer), "no answer", CLASS_TRANSIENT);
}

static void
classifies_rows(void **state)
{
    acoustic_failure permanent = {.description = "Invalid Date Value in column: changed"};
    acoustic_failure keys = {.description = "All key columns are not present"};
    acoustic_failure transient = {.is_transient = true, .description = "Database Deadlock"};
    acoustic_failure column = {.description = "There is no column NAME"};

    (void)state;
    check(classify_row(&permanent), "row: permanent", CLASS_CONTACT);
    check(classify_row(&keys), "row: permanent", CLASS_CONTACT);
    check(classify_row(&transient), "row: transient", CLASS_TRANSIENT);
    check(classify_row(&column), "row: no such column", CLASS_CONFIGURATION);
}

static void
classifies_refused_rows(void **state)
{
    (void)state;
    check(classify_refused(""), "refused: no reason", CLASS_TRANSIENT);
    check(classify_refused("Invalid email address"), "refused: permanent", CLASS_CONTACT);
    check(classify_refused("There is no column x"), "refused: no such column", CLASS_CONFIGURATION);
    check(classify_refused("Please TRY AGAIN later"), "refused: try again", CLASS_TRANSIENT);
    check(classify_refused("Temporarily unavailable"), "refused: temporary", CLASS_TRANSIENT);
    check(classify_refused("The operation timed out"), "refused: timed out", CLASS_TRANSIENT);
    check(classify_refused("Timeout"), "refused: time-out", CLASS_TRANSIENT);
    check(classify_refused("Database Deadlock"), "refused: deadlock", CLASS_TRANSIENT);
    check(classify_refused("Internal error"), "refused: internal error", CLASS_TRANSIENT);
    check(classify_refused("concurrent change"), "refused: concurrent", CLASS_TRANSIENT);
}

static void
classifies_deletions(void **state)
{
    static const struct fault_case cases[] = {
        {"deletion: not a member", CLASS_SUCCESS, 200, NO_NUMBER,
         "Recipient not found or is not a member of the list."},
        {"deletion: 128 not a member", CLASS_SUCCESS, 200, 128, ""},
        {"deletion: 123 no recipient", CLASS_SUCCESS, 200, 123, ""},
        {"deletion: 1009 deleted", CLASS_SUCCESS, 200, 1009, ""},
        {"50 server error", CLASS_TRANSIENT, 200, 50, "Server Error"},
    };
    acoustic_failure gone = {.description = "Row Not Found"};
    acoustic_failure deadlock = {.is_transient = true, .description = "Database Deadlock"};
    acoustic_answer success = {.result = ACOUSTIC_SUCCESS, .errorid = -1};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        acoustic_answer answer = {.result = ACOUSTIC_FAULT, .errorid = cases[i].errorid};

        snprintf(answer.text, sizeof(answer.text), "%s", cases[i].text);
        check(classify_deletion(NULL, cases[i].status, &answer), cases[i].rule, cases[i].class);
        /* For other requests it is not a success. */
        if (cases[i].class == CLASS_SUCCESS)
            assert_int_not_equal(classify_answer(NULL, 200, &answer).class, CLASS_SUCCESS);
    }
    check(classify_deletion(NULL, 200, &success), "success", CLASS_SUCCESS);
    check(classify_deletion("timed out", 0, &success), "no answer", CLASS_TRANSIENT);
    check(classify_deleted_row(&gone), "deletion: no such row", CLASS_SUCCESS);
    check(classify_deleted_row(&deadlock), "row: transient", CLASS_TRANSIENT);
    check(classify_row(&gone), "row: permanent", CLASS_CONTACT);
}

static void
is_met(const rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;

        while (j < met_count && strcmp(met[j], rules[i].name) != 0)
            j++;
        if (j == met_count)
            fail_msg("no test of the row \"%s\"", rules[i].name);
    }
}

#define IS_MET(rules) is_met(rules, sizeof(rules) / sizeof(*(rules)))

/* Must be the last test. */
static void
has_met_every_row(void **state)
{
    (void)state;
    IS_MET(fault_rules);
    IS_MET(status_rules);
    IS_MET(success_rules);
    IS_MET(row_rules);
    IS_MET(refused_rules);
    IS_MET(deletion_rules);
    IS_MET(deleted_row_rules);
}

static void
slows_down_for_the_service_only(void **state)
{
    acoustic_answer answer = {.result = ACOUSTIC_FAULT, .errorid = -1};
    acoustic_answer unreadable = {.result = ACOUSTIC_UNREADABLE};
    verdict v;

    (void)state;
    snprintf(answer.text, sizeof(answer.text), "max number of concurrent requests");
    v = classify_answer(NULL, 200, &answer);
    assert_true(v.is_overload && v.slows_down);
    v = classify_answer(NULL, 429, &unreadable);
    assert_true(v.is_overload && v.slows_down);
    v = classify_answer(NULL, 503, &unreadable);
    assert_true(!v.is_overload && v.slows_down);
    v = classify_answer("timed out", 0, &unreadable);
    assert_true(!v.is_overload && v.slows_down);
    snprintf(answer.text, sizeof(answer.text), "Email Address Is Invalid.");
    v = classify_answer(NULL, 200, &answer);
    assert_true(!v.is_overload && !v.slows_down);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifies_faults),
        cmocka_unit_test(classifies_what_is_no_envelope),
        cmocka_unit_test(classifies_success),
        cmocka_unit_test(classifies_rows),
        cmocka_unit_test(classifies_refused_rows),
        cmocka_unit_test(classifies_deletions),
        cmocka_unit_test(slows_down_for_the_service_only),
        cmocka_unit_test(has_met_every_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
