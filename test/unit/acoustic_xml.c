/*
 * Tests of acoustic/xml.c and acoustic/answer.c: what is written, and that any answer
 * is read without harm.
 *
 * uses: acoustic/xml.c acoustic/answer.c acoustic/reader.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <libxml/parser.h>

#include "acoustic/answer.h"
#include "acoustic/xml.h"
#include "common/utf8.h"

#define FAULT(text, id, class)                                                                     \
    "<Envelope><Body><RESULT><SUCCESS>false</SUCCESS></RESULT><Fault><Request/><FaultCode/>"       \
    "<FaultString><![CDATA[" text "]]></FaultString><detail><error><errorid>" id                   \
    "</errorid><module/><class>" class "</class><method/></error></detail></Fault></Body>"         \
                                       "</Envelope>"

static acoustic_answer
read_text(const char *text)
{
    acoustic_answer answer;

    acoustic_answer_read(&answer, text, strlen(text));
    return answer;
}

static void
is_unreadable(const char *text)
{
    acoustic_answer answer = read_text(text);

    if (answer.result != ACOUSTIC_UNREADABLE)
        fail_msg("was read: %s", text);
    assert_null(answer.failures);
    acoustic_answer_free(&answer);
}

/* ---- requests -------------------------------------------------------------------- */

static void
writes_add_recipient(void **state)
{
    buf columns = BUF_INIT, out = BUF_INIT;

    (void)state;
    acoustic_xml_append_main_column(&columns, "email_id", "332d");
    acoustic_xml_append_main_column(&columns, "first_name", "Zo\xC3\xAB <&>\"'");
    acoustic_xml_append_main_column(&columns, "last_name", "");
    acoustic_xml_add_recipient(&out, 1000, "332d", columns.data, columns.length);
    assert_string_equal(
        buf_text(&out),
        "<Envelope><Body><AddRecipient><LIST_ID>1000</LIST_ID><CREATED_FROM>3</CREATED_FROM>"
        "<UPDATE_IF_FOUND>TRUE</UPDATE_IF_FOUND><SYNC_FIELDS><SYNC_FIELD><NAME>email_id</NAME>"
        "<VALUE>332d</VALUE></SYNC_FIELD></SYNC_FIELDS><COLUMN><NAME>email_id</NAME><VALUE>332d"
        "</VALUE></COLUMN><COLUMN><NAME>first_name</NAME><VALUE>Zo\xC3\xAB &lt;&amp;&gt;&quot;'"
        "</VALUE></COLUMN><COLUMN><NAME>last_name</NAME></COLUMN></AddRecipient></Body>"
        "</Envelope>");
    buf_free(&columns);
    buf_free(&out);
}

static void
writes_rows(void **state)
{
    buf columns = BUF_INIT, out = BUF_INIT;

    (void)state;
    acoustic_xml_append_row_column(&columns, "email_id", "332d");
    acoustic_xml_append_row_column(&columns, "newsletter_source", "");
    acoustic_xml_begin_rows(&out, 86767, false);
    acoustic_xml_append_row(&out, columns.data, columns.length);
    acoustic_xml_append_row(&out, columns.data, columns.length);
    acoustic_xml_end_rows(&out, false);
    assert_string_equal(
        buf_text(&out),
        "<Envelope><Body><InsertUpdateRelationalTable><TABLE_ID>86767</TABLE_ID><ROWS>"
        "<ROW><COLUMN name=\"email_id\">332d</COLUMN><COLUMN name=\"newsletter_source\"/></ROW>"
        "<ROW><COLUMN name=\"email_id\">332d</COLUMN><COLUMN name=\"newsletter_source\"/></ROW>"
        "</ROWS></InsertUpdateRelationalTable></Body></Envelope>");
    buf_free(&columns);
    buf_free(&out);
}

static void
writes_deletions(void **state)
{
    buf columns = BUF_INIT, out = BUF_INIT;

    (void)state;
    acoustic_xml_append_key_column(&columns, "email_id", "332d");
    acoustic_xml_append_key_column(&columns, "newsletter_name", "a&b");
    acoustic_xml_begin_rows(&out, 86767, true);
    acoustic_xml_append_row(&out, columns.data, columns.length);
    acoustic_xml_end_rows(&out, true);
    assert_string_equal(
        buf_text(&out),
        "<Envelope><Body><DeleteRelationalTableData><TABLE_ID>86767</TABLE_ID><ROWS>"
        "<ROW><KEY_COLUMN name=\"email_id\">332d</KEY_COLUMN>"
        "<KEY_COLUMN name=\"newsletter_name\">a&amp;b</KEY_COLUMN></ROW>"
        "</ROWS></DeleteRelationalTableData></Body></Envelope>");
    buf_reset(&out);
    acoustic_xml_remove_recipient(&out, 10000, "332d");
    assert_string_equal(buf_text(&out),
                        "<Envelope><Body><RemoveRecipient><LIST_ID>10000</LIST_ID><COLUMN>"
                        "<NAME>email_id</NAME><VALUE>332d</VALUE></COLUMN></RemoveRecipient></Body>"
                        "</Envelope>");
    buf_free(&columns);
    buf_free(&out);
}

static void
finds_columns(void **state)
{
    buf columns = BUF_INIT, none = BUF_INIT;

    (void)state;
    acoustic_xml_append_main_column(&columns, "email_id", "332d");
    acoustic_xml_append_main_column(&columns, "last_name", "");
    assert_true(acoustic_xml_has_main_column(&columns, "last_name"));
    assert_false(acoustic_xml_has_main_column(&columns, "name"));
    assert_false(acoustic_xml_has_main_column(&columns, "email"));
    assert_false(acoustic_xml_has_main_column(&none, "email"));
    buf_free(&columns);
}

/* Every byte, alone and in pairs, gives a document that an XML parser accepts. */
static void
writes_well_formed_xml_of_any_bytes(void **state)
{
    (void)state;
    for (int first = 1; first < 256; first++) {
        buf columns = BUF_INIT, out = BUF_INIT;
        xmlDocPtr document;

        for (int second = 1; second < 256; second += first < 0x80 ? 51 : 1) {
            char value[] = {'a', (char)first, (char)second, 'z', '\0'};

            acoustic_xml_append_main_column(&columns, value, value);
            acoustic_xml_append_row_column(&columns, value, value);
        }
        acoustic_xml_add_recipient(&out, 1, "id", columns.data, columns.length);
        document = xmlReadMemory(out.data, (int)out.length, NULL, "UTF-8",
                                 XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
        if (document == NULL)
            fail_msg("not well-formed with byte %d", first);
        xmlFreeDoc(document);
        buf_free(&columns);
        buf_free(&out);
    }
}

static void
replaces_what_xml_cannot_carry(void **state)
{
    buf out = BUF_INIT;

    (void)state;
    acoustic_xml_append_row_column(&out, "n",
                                   "\x01\x0C\t\r\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBB\xBF\xFF\x7F");
    assert_string_equal(buf_text(&out), "<COLUMN name=\"n\">  \t&#13;\xEF\xBF\xBD\xEF\xBF\xBD"
                                        "\xEF\xBB\xBF\xEF\xBF\xBD </COLUMN>");
    buf_free(&out);
}

/* ---- answers --------------------------------------------------------------------- */

static void
reads_success_in_any_case(void **state)
{
    static const char *const words[] = {"TRUE", "true", "True", " true\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        buf text = BUF_INIT;
        acoustic_answer answer;

        buf_printf(&text,
                   "\n <Envelope><Body><RESULT><SUCCESS>%s</SUCCESS><FAILURES/></RESULT>"
                   "\n\n\n\t</Body>\n</Envelope>\n",
                   words[i]);
        answer = read_text(buf_text(&text));
        assert_int_equal(answer.result, ACOUSTIC_SUCCESS);
        assert_int_equal(answer.failure_count, 0);
        acoustic_answer_free(&answer);
        buf_free(&text);
    }
}

static void
reads_a_fault(void **state)
{
    acoustic_answer answer =
        read_text(FAULT("Session has\n expired or is invalid", " 145\n", "SP.Admin"));

    (void)state;
    assert_int_equal(answer.result, ACOUSTIC_FAULT);
    assert_int_equal(answer.errorid, 145);
    assert_string_equal(answer.class, "SP.Admin");
    assert_string_equal(answer.text, "Session has expired or is invalid");
    acoustic_answer_free(&answer);
}

static void
reads_faults_that_lack_parts(void **state)
{
    static const char *const texts[] = {
        "<Envelope><Body><RESULT><SUCCESS>false</SUCCESS></RESULT></Body></Envelope>",
        "<Envelope><Body><Fault/></Body></Envelope>",
        "<Envelope><Body><RESULT><SUCCESS>true</SUCCESS></RESULT><Fault/></Body></Envelope>",
        FAULT("", "", ""),
        FAULT("", "many", ""),
        FAULT("", "-1", ""),
        FAULT("", "99999999999999999999", ""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        acoustic_answer answer = read_text(texts[i]);

        assert_int_equal(answer.result, ACOUSTIC_FAULT);
        assert_int_equal(answer.errorid, -1);
        assert_string_equal(answer.text, "");
        acoustic_answer_free(&answer);
    }
}

static void
cuts_long_texts_at_a_character(void **state)
{
    buf text = BUF_INIT;
    acoustic_answer answer;

    (void)state;
    buf_append_string(&text, "<Envelope><Body><Fault><FaultString>a");
    for (int i = 0; i < 5000; i++)
        buf_append_string(&text, "\xC3\xAB");
    buf_append_string(&text, "</FaultString></Fault></Body></Envelope>");
    answer = read_text(buf_text(&text));
    assert_int_equal(answer.result, ACOUSTIC_FAULT);
    assert_true(strlen(answer.text) >= 250 && strlen(answer.text) < sizeof(answer.text));
    assert_int_equal(utf8_valid_prefix(answer.text, strlen(answer.text)), strlen(answer.text));
    acoustic_answer_free(&answer);
    buf_free(&text);
}

static void
reads_failures_of_rows(void **state)
{
    acoustic_answer answer = read_text(
        "<Envelope><Body><RESULT><SUCCESS>true</SUCCESS><FAILURES>\n"
        "<FAILURE failure_type=\"permanent\" description=\"Invalid Date Value in column:\nPurchase "
        "Date\"><COLUMN name=\"newsletter_name\">n</COLUMN><COLUMN name=\"email_id\"> 332d "
        "</COLUMN></FAILURE>"
        "<FAILURE failure_type=\"TRANSIENT\" description=\"Database Deadlock\"><KEY_COLUMN "
        "name=\"EMAIL_ID\"><![CDATA[44]]></KEY_COLUMN></FAILURE><FAILURE/>"
        "</FAILURES></RESULT></Body></Envelope>");

    (void)state;
    assert_int_equal(answer.result, ACOUSTIC_SUCCESS);
    assert_int_equal(answer.failure_count, 3);
    assert_false(answer.failures[0].is_transient);
    assert_string_equal(answer.failures[0].description,
                        "Invalid Date Value in column: Purchase Date");
    assert_string_equal(answer.failures[0].email_id, "332d");
    assert_true(answer.failures[1].is_transient);
    assert_string_equal(answer.failures[1].email_id, "44");
    assert_false(answer.failures[2].is_transient);
    assert_string_equal(answer.failures[2].email_id, "");
    acoustic_answer_free(&answer);
}

static void
refuses_what_is_no_envelope(void **state)
{
    (void)state;
    is_unreadable("");
    is_unreadable(" \n");
    is_unreadable("Service Unavailable");
    is_unreadable("{\"SUCCESS\": true}");
    is_unreadable("<SUCCESS>true</SUCCESS>");
    is_unreadable("<Envelope/>");
    is_unreadable("<envelope><Body><RESULT><SUCCESS>true</SUCCESS></RESULT></Body></envelope>");
    is_unreadable("<Envelope><Body><RESULT><SUCCESS>true</SUCCESS></RESULT></Body>");
    is_unreadable("<Envelope><Body><RESULT><SUCCESS>true</RESULT></SUCCESS></Body></Envelope>");
    is_unreadable("<Envelope><Body><RESULT><SUCCESS>true</SUCCESS></RESULT></Body></Envelope>x");
    is_unreadable("<html><body><SUCCESS>true</SUCCESS></body></html>");
    is_unreadable("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\"><html><head><title>503"
                  "</title></head><body>...</body></html>");
    is_unreadable("<?xml version=\"1.0\" encoding=\"no-such\"?><Envelope><Body><RESULT><SUCCESS>"
                  "true</SUCCESS></RESULT></Body></Envelope>");
    is_unreadable("<Envelope><Body><RESULT><SUCCESS>tr\xFFue</SUCCESS></RESULT></Body></Envelope>");
}

static void
refuses_document_types_and_entities(void **state)
{
    (void)state;
    is_unreadable("<!DOCTYPE Envelope><Envelope><Body><RESULT><SUCCESS>true</SUCCESS></RESULT>"
                  "</Body></Envelope>");
    is_unreadable("<!DOCTYPE Envelope SYSTEM \"http://127.0.0.1:1/x.dtd\"><Envelope><Body><RESULT>"
                  "<SUCCESS>true</SUCCESS></RESULT></Body></Envelope>");
    is_unreadable("<!DOCTYPE Envelope [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Envelope><Body>"
                  "<Fault><FaultString>&e;</FaultString></Fault></Body></Envelope>");
    is_unreadable("<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">"
                  "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><Envelope><Body><Fault><FaultString>"
                  "&c;</FaultString></Fault></Body></Envelope>");
    is_unreadable("<Envelope><Body><Fault><FaultString>&e;</FaultString></Fault></Body>"
                  "</Envelope>");
}

static void
survives_depth_and_size(void **state)
{
    buf text = BUF_INIT;

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_append_string(&text, "<Envelope>");
    is_unreadable(buf_text(&text));
    buf_reset(&text);
    buf_append_string(&text, "<Envelope><Body><RESULT><SUCCESS>true</SUCCESS><FAILURES>");
    for (int i = 0; i < 20000; i++)
        buf_append_string(&text, "<FAILURE/>");
    buf_append_string(&text, "</FAILURES></RESULT></Body></Envelope>");
    is_unreadable(buf_text(&text));
    buf_reset(&text);
    for (int i = 0; i < 4 * 1024 * 1024; i++)
        buf_append_char(&text, 'x');
    is_unreadable(buf_text(&text));
    buf_free(&text);
}

/* Each prefix of a good answer, and each answer with one byte changed. */
static void
survives_damage(void **state)
{
    static const char good[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Envelope><Body><RESULT><SUCCESS>true</SUCCESS>"
        "<FAILURES><FAILURE failure_type=\"permanent\" description=\"d&amp;&#233;\"><COLUMN "
        "name=\"email_id\"><![CDATA[3]]></COLUMN></FAILURE></FAILURES></RESULT></Body></Envelope>";
    char damaged[sizeof(good)];
    acoustic_answer answer;

    (void)state;
    for (size_t length = 0; length < sizeof(good) - 1; length++) {
        acoustic_answer_read(&answer, good, length);
        assert_int_equal(answer.result, ACOUSTIC_UNREADABLE);
    }
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        static const char bytes[] = {'<', '>', '&', '"', '\0', '\xFF', ']', ' '};

        for (size_t i = 0; i < sizeof(bytes); i++) {
            memcpy(damaged, good, sizeof(good));
            damaged[at] = bytes[i];
            acoustic_answer_read(&answer, damaged, sizeof(good) - 1);
            acoustic_answer_free(&answer);
        }
    }
}

static void
ignore_xml_error(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_add_recipient),
        cmocka_unit_test(writes_rows),
        cmocka_unit_test(writes_deletions),
        cmocka_unit_test(finds_columns),
        cmocka_unit_test(writes_well_formed_xml_of_any_bytes),
        cmocka_unit_test(replaces_what_xml_cannot_carry),
        cmocka_unit_test(reads_success_in_any_case),
        cmocka_unit_test(reads_a_fault),
        cmocka_unit_test(reads_faults_that_lack_parts),
        cmocka_unit_test(cuts_long_texts_at_a_character),
        cmocka_unit_test(reads_failures_of_rows),
        cmocka_unit_test(refuses_what_is_no_envelope),
        cmocka_unit_test(refuses_document_types_and_entities),
        cmocka_unit_test(survives_depth_and_size),
        cmocka_unit_test(survives_damage),
    };
    int failed;

    xmlSetGenericErrorFunc(NULL, ignore_xml_error);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    xmlCleanupParser();
    return failed;
}
