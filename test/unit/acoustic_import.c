/*
 * Tests of acoustic/import.c and bulk/mapping.c: what is asked for, and that any answer is read
 * without harm.
 *
 * uses: acoustic/import.c acoustic/reader.c acoustic/xml.c bulk/mapping.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "acoustic/import.h"
#include "bulk/mapping.h"

#define ANSWER(inside) "<Envelope><Body><RESULT>" inside "</RESULT></Body></Envelope>"
#define PARAMETER(name, value)                                                                     \
    "<PARAMETER><NAME>" name "</NAME><VALUE>" value "</VALUE></PARAMETER>"

static acoustic_job
read_job(const char *text)
{
    acoustic_job job;

    memset(&job, 'x', sizeof(job));
    acoustic_job_read(&job, text, strlen(text));
    return job;
}

static void
is_nothing(const acoustic_job *job)
{
    assert_int_equal(job->state, ACOUSTIC_JOB_UNKNOWN);
    assert_string_equal(job->job_id, "");
    assert_string_equal(job->description, "");
    assert_string_equal(job->results_file, "");
    assert_string_equal(job->error_file, "");
    assert_int_equal(job->total_rows, -1);
    assert_int_equal(job->total_valid, -1);
    assert_int_equal(job->added, -1);
    assert_int_equal(job->updated, -1);
    assert_int_equal(job->bad_addresses, -1);
    assert_int_equal(job->bad_records, -1);
    assert_int_equal(job->not_allowed, -1);
    assert_int_equal(job->duplicates, -1);
}

/* ---- requests --------------------------------------------------------------------- */

static void
starts_and_asks(void **state)
{
    buf out = BUF_INIT;

    (void)state;
    acoustic_import_start(&out, ACOUSTIC_MAIN, "a.xml", "a<&.csv");
    assert_string_equal(buf_text(&out),
                        "<Envelope><Body><ImportList><MAP_FILE>a.xml</MAP_FILE><SOURCE_FILE>"
                        "a&lt;&amp;.csv</SOURCE_FILE><FILE_ENCODING>UTF-8</FILE_ENCODING>"
                        "</ImportList></Body></Envelope>");
    buf_reset(&out);
    acoustic_import_start(&out, ACOUSTIC_PRODUCT, "b.xml", "b.csv");
    assert_string_equal(buf_text(&out),
                        "<Envelope><Body><ImportTable><MAP_FILE>b.xml</MAP_FILE><SOURCE_FILE>"
                        "b.csv</SOURCE_FILE><FILE_ENCODING>UTF-8</FILE_ENCODING>"
                        "</ImportTable></Body></Envelope>");
    buf_reset(&out);
    acoustic_import_ask(&out, "12_a-3");
    assert_string_equal(buf_text(&out), "<Envelope><Body><GetJobStatus><JOB_ID>12_a-3</JOB_ID>"
                                        "</GetJobStatus></Body></Envelope>");
    buf_free(&out);
}

static void
maps_a_list(void **state)
{
    char *columns[] = {"email_id", "email", "a<b"};
    buf out = BUF_INIT;

    (void)state;
    bulk_mapping_append(&out, ACOUSTIC_MAIN, 12345678901, columns, 3);
    assert_string_equal(
        buf_text(&out),
        "<LIST_IMPORT><LIST_INFO><ACTION>ADD_AND_UPDATE</ACTION><LIST_ID>12345678901</LIST_ID>"
        "<FILE_TYPE>0</FILE_TYPE><HASHEADERS>true</HASHEADERS></LIST_INFO><SYNC_FIELDS>"
        "<SYNC_FIELD><NAME>email_id</NAME></SYNC_FIELD></SYNC_FIELDS><MAPPING>"
        "<COLUMN><INDEX>1</INDEX><NAME>email_id</NAME><INCLUDE>true</INCLUDE></COLUMN>"
        "<COLUMN><INDEX>2</INDEX><NAME>email</NAME><INCLUDE>true</INCLUDE></COLUMN>"
        "<COLUMN><INDEX>3</INDEX><NAME>a&lt;b</NAME><INCLUDE>true</INCLUDE></COLUMN>"
        "</MAPPING></LIST_IMPORT>\n");
    buf_free(&out);
}

static void
maps_tables(void **state)
{
    static const struct {
        acoustic_table table;
        char *key;
    } keys[] = {{ACOUSTIC_NEWSLETTER, "newsletter_name"},
                {ACOUSTIC_WAITLIST, "waitlist_name"},
                {ACOUSTIC_PRODUCT, "product_id"}};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        char *columns[] = {"email_id", "subscribed", keys[i].key};
        buf out = BUF_INIT, expected = BUF_INIT;

        bulk_mapping_append(&out, keys[i].table, 7, columns, 3);
        buf_printf(
            &expected,
            "<TABLE_IMPORT><TABLE_INFO><ACTION>ADD_AND_UPDATE</ACTION><TABLE_ID>7</TABLE_ID>"
            "<FILE_TYPE>0</FILE_TYPE><HASHEADERS>true</HASHEADERS></TABLE_INFO><COLUMNS>"
            "<COLUMN><NAME>email_id</NAME><KEY_COLUMN>true</KEY_COLUMN></COLUMN>"
            "<COLUMN><NAME>%s</NAME><KEY_COLUMN>true</KEY_COLUMN></COLUMN></COLUMNS><MAPPING>"
            "<COLUMN><INDEX>1</INDEX><NAME>email_id</NAME><INCLUDE>true</INCLUDE></COLUMN>"
            "<COLUMN><INDEX>2</INDEX><NAME>subscribed</NAME><INCLUDE>true</INCLUDE></COLUMN>"
            "<COLUMN><INDEX>3</INDEX><NAME>%s</NAME><INCLUDE>true</INCLUDE></COLUMN>"
            "</MAPPING></TABLE_IMPORT>\n",
            keys[i].key, keys[i].key);
        assert_string_equal(buf_text(&out), buf_text(&expected));
        buf_free(&out);
        buf_free(&expected);
    }
}

/* ---- answers ---------------------------------------------------------------------- */

static void
reads_a_started_job(void **state)
{
    acoustic_job job = read_job("\r\n<?xml version=\"1.0\"?>\n" ANSWER(
        "<SUCCESS>TRUE</SUCCESS><JOB_ID> 1241474\n</JOB_ID>"));

    (void)state;
    assert_string_equal(job.job_id, "1241474");
    job.job_id[0] = '\0';
    is_nothing(&job);
}

static void
reads_a_job(void **state)
{
    acoustic_job job = read_job(
        ANSWER("<SUCCESS>TRUE</SUCCESS><JOB_ID>1241474</JOB_ID><JOB_STATUS>COMPLETE</JOB_STATUS>"
               "<JOB_DESCRIPTION>Importing\n  a list</JOB_DESCRIPTION><PARAMETERS>" PARAMETER(
                   "NOT_ALLOWED", "1") PARAMETER("BAD_RECORDS", "2") PARAMETER("SQL_ADDED", "3")
                   PARAMETER("DUPLICATES", "4") PARAMETER("RESULTS_FILE_NAME", "1241474.res")
                       PARAMETER("TOTAL_ROWS", "5") PARAMETER("SQL_UPDATED", "6")
                           PARAMETER("BAD_ADDRESSES", "7") PARAMETER("TOTAL_VALID", "9000000000")
                               PARAMETER("ERROR_FILE_NAME", "<![CDATA[1241474.err]]>")
                                   PARAMETER("LIST_ID", "59") "</PARAMETERS>"));

    (void)state;
    assert_string_equal(job.job_id, "1241474");
    assert_int_equal(job.state, ACOUSTIC_JOB_COMPLETE);
    assert_string_equal(job.description, "Importing a list");
    assert_string_equal(job.results_file, "1241474.res");
    assert_string_equal(job.error_file, "1241474.err");
    assert_int_equal(job.not_allowed, 1);
    assert_int_equal(job.bad_records, 2);
    assert_int_equal(job.added, 3);
    assert_int_equal(job.duplicates, 4);
    assert_int_equal(job.total_rows, 5);
    assert_int_equal(job.updated, 6);
    assert_int_equal(job.bad_addresses, 7);
    assert_int_equal(job.total_valid, 9000000000);
}

static void
knows_the_states(void **state)
{
    static const struct {
        const char *word;
        acoustic_job_state state;
    } words[] = {
        {"WAITING", ACOUSTIC_JOB_WAITING},   {"running", ACOUSTIC_JOB_RUNNING},
        {"COMPLETE", ACOUSTIC_JOB_COMPLETE}, {"ERROR", ACOUSTIC_JOB_ERROR},
        {"CANCELED", ACOUSTIC_JOB_CANCELED}, {"CANCELLED", ACOUSTIC_JOB_CANCELED},
        {"COMPLETED", ACOUSTIC_JOB_UNKNOWN}, {"", ACOUSTIC_JOB_UNKNOWN},
        {" WAITING ", ACOUSTIC_JOB_WAITING},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        buf text = BUF_INIT;
        acoustic_job job;

        buf_printf(&text, ANSWER("<JOB_STATUS>%s</JOB_STATUS>"), words[i].word);
        job = read_job(buf_text(&text));
        assert_int_equal(job.state, words[i].state);
        buf_free(&text);
    }
}

/* They become part of paths and requests. */
static void
takes_plain_names_only(void **state)
{
    static const char *const names[] = {"../x", "a/b",       ".x",  "a b",  "a&amp;b", "a\"b",
                                        "",     "a\xC3\xA4", "a;b", "a\\b", "a\nb",    "*"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        buf text = BUF_INIT;
        acoustic_job job;

        buf_printf(&text,
                   ANSWER("<JOB_ID>%s</JOB_ID>" PARAMETER("RESULTS_FILE_NAME", "%s")
                              PARAMETER("ERROR_FILE_NAME", "%s")),
                   names[i], names[i], names[i]);
        job = read_job(buf_text(&text));
        is_nothing(&job);
        buf_free(&text);
    }
}

static void
takes_numbers_only(void **state)
{
    static const char *const numbers[] = {"-1", "1.5", "1,000", "x", "", "0x10", "1 2"};
    static const char *const huge[] = {"1000000000001", "9223372036854775807",
                                       "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        buf text = BUF_INIT;
        acoustic_job job;

        buf_printf(&text, ANSWER(PARAMETER("BAD_RECORDS", "%s")), numbers[i]);
        job = read_job(buf_text(&text));
        is_nothing(&job);
        buf_free(&text);
    }
    for (size_t i = 0; i < sizeof(huge) / sizeof(*huge); i++) {
        buf text = BUF_INIT;

        buf_printf(&text, ANSWER(PARAMETER("BAD_RECORDS", "%s")), huge[i]);
        assert_int_equal(read_job(buf_text(&text)).bad_records, 1000000000000);
        buf_free(&text);
    }
}

static void
caps_numbers(void **state)
{
    acoustic_job job = read_job(ANSWER(PARAMETER("BAD_RECORDS", "9223372036854775807") PARAMETER(
        "BAD_ADDRESSES", "9223372036854775807") PARAMETER("TOTAL_ROWS", "1000000000001")));

    (void)state;
    assert_int_equal(job.bad_records, 1000000000000);
    assert_int_equal(job.bad_addresses, 1000000000000);
    assert_int_equal(job.total_rows, 1000000000000);
}

static void
reads_garbage_as_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "<html><JOB_ID>12</JOB_ID></html>",
        "{\"JOB_ID\": 12}",
        "<Envelope><JOB_ID>12</JOB_ID>",
        "<Envelope><JOB_ID>12</JOB_ID></Envelope><Envelope/>",
        "<!DOCTYPE Envelope [<!ENTITY a '12'>]><Envelope><JOB_ID>&a;</JOB_ID></Envelope>",
        "<Envelope><JOB_ID>12</JOB_ID>&none;</Envelope>",
        "<Envelope><JOB_ID>12</JOB_ID>\xFF</Envelope>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        acoustic_job job = read_job(texts[i]);

        is_nothing(&job);
    }
}

static void
reads_huge_answers(void **state)
{
    buf text = BUF_INIT;
    acoustic_job job;

    (void)state;
    buf_append_string(&text, "<Envelope><JOB_DESCRIPTION>");
    for (int i = 0; i < 100000; i++)
        buf_append_string(&text, "\xC3\xA4 long ");
    buf_append_string(&text, "</JOB_DESCRIPTION><JOB_ID>");
    for (int i = 0; i < 100000; i++)
        buf_append_string(&text, "1234567890");
    buf_append_string(&text, "</JOB_ID></Envelope>");
    job = read_job(buf_text(&text));
    assert_true(strlen(job.description) >= sizeof(job.description) - 4);
    assert_string_equal(job.job_id, "");
    buf_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_and_asks),
        cmocka_unit_test(maps_a_list),
        cmocka_unit_test(maps_tables),
        cmocka_unit_test(reads_a_started_job),
        cmocka_unit_test(reads_a_job),
        cmocka_unit_test(knows_the_states),
        cmocka_unit_test(takes_plain_names_only),
        cmocka_unit_test(takes_numbers_only),
        cmocka_unit_test(caps_numbers),
        cmocka_unit_test(reads_garbage_as_nothing),
        cmocka_unit_test(reads_huge_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
