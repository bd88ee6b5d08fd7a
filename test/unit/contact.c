/*
 * Tests of agent/contact.c: rows from the database, and errors without personal data.
 *
 * uses: agent/contact.c acoustic/redact.c acoustic/table.c acoustic/xml.c agent/fields.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/contact.h"
#include "common/utf8.h"

static contact *
a_contact(void)
{
    return contact_new("332de237-cab7-4461-bcc3-48e68f42bd5c", "7", 0, "new", LANE_LIVE, 1.0);
}

static bool
take(contact *c, const char *kind, const char *fields)
{
    return contact_take_row(c, kind, fields, strlen(fields));
}

static void
takes_rows_in_order(void **state)
{
    contact *c = a_contact();

    (void)state;
    assert_true(take(c, "main", "{\"email\": \"a@example.com\", \"b\": \"\", \"a\": \"1\"}"));
    assert_true(take(c, "waitlist", "{\"waitlist_name\": \"vpn\"}"));
    assert_true(take(c, "newsletter", "{\"newsletter_name\": \"n\"}"));
    assert_true(take(c, "newsletter", "{\"newsletter_name\": \"m\"}"));
    assert_string_equal(buf_text(&c->columns),
                        "<COLUMN><NAME>email</NAME><VALUE>a@example.com</VALUE></COLUMN>"
                        "<COLUMN><NAME>b</NAME></COLUMN>"
                        "<COLUMN><NAME>a</NAME><VALUE>1</VALUE></COLUMN>");
    assert_int_equal(c->row_count, 3);
    assert_int_equal(c->rows_left, 3);
    assert_int_equal(c->row_counts[ACOUSTIC_NEWSLETTER], 2);
    assert_int_equal(c->rows[0]->table, ACOUSTIC_WAITLIST);
    assert_string_equal(c->domain, "example.com");
    assert_null(c->trace);
    contact_free(c);
}

static void
refuses_what_is_no_row(void **state)
{
    contact *c = a_contact();

    (void)state;
    assert_false(take(c, "main", ""));
    assert_false(take(c, "main", "[]"));
    assert_false(take(c, "main", "{\"a\": "));
    assert_false(take(c, "other", "{}"));
    assert_false(take(c, "newsletter",
                      "{\"a\": \"1\"} "
                      "x"));
    contact_free(c);
}

static void
notes_traced_addresses(void **state)
{
    contact *c = a_contact();

    (void)state;
    take(c, "main", "{\"email\": \"a+trace-me-mozilla-1@example.com\"}");
    assert_string_equal(c->trace, "a+trace-me-mozilla-1@example.com");
    contact_free(c);
}

static void
keeps_the_first_failure(void **state)
{
    contact *c = a_contact();

    (void)state;
    contact_fail(c, CLASS_TRANSIENT, "timed out", NULL);
    contact_fail(c, CLASS_CONTACT, "fault 121", "No EMAIL");
    assert_int_equal(c->class, CLASS_TRANSIENT);
    assert_string_equal(c->error, "timed out");
    contact_free(c);
}

static void
keeps_personal_data_out_of_errors(void **state)
{
    contact *c = a_contact();

    (void)state;
    take(c, "main",
         "{\"email\": \"zoe@example.com\", \"first_name\": \"Zo\xC3\xAB\","
         " \"last_name\": \"De Vries\", \"sumo_username\": \"\", \"x\": \"List\"}");
    take(c, "newsletter", "{\"newsletter_unsub_reason\": \"too loud\"}");
    contact_fail(
        c, CLASS_CONTACT, "fault 121",
        "ZOE@EXAMPLE.COM of Zo\xC3\xAB de vries, other@example.org: too loud. List is full");
    assert_null(strcasestr(c->error, "zoe"));
    assert_null(strcasestr(c->error, "vries"));
    assert_null(strstr(c->error, "Zo\xC3\xAB"));
    assert_null(strstr(c->error, "other@"));
    assert_null(strstr(c->error, "loud"));
    assert_non_null(strstr(c->error, "List is full"));
    contact_free(c);
}

static void
cuts_long_errors(void **state)
{
    contact *c = a_contact();
    buf text = BUF_INIT;

    (void)state;
    for (int i = 0; i < 3000; i++)
        buf_append_string(&text, "\xC3\xAB ");
    contact_fail(c, CLASS_CONTACT, "fault 1", buf_text(&text));
    assert_true(strlen(c->error) < sizeof(c->error));
    assert_int_equal(utf8_valid_prefix(c->error, strlen(c->error)), strlen(c->error));
    buf_free(&text);
    contact_free(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_rows_in_order),
        cmocka_unit_test(refuses_what_is_no_row),
        cmocka_unit_test(notes_traced_addresses),
        cmocka_unit_test(keeps_the_first_failure),
        cmocka_unit_test(keeps_personal_data_out_of_errors),
        cmocka_unit_test(cuts_long_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
