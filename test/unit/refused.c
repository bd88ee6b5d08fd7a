/*
 * Tests of bulk/refused.c: whose rows were refused, and why, in the form that we assume and in
 * others; and that nothing of a person gets into a reason.
 *
 * uses: bulk/refused.c acoustic/answer.c acoustic/classify.c acoustic/reader.c acoustic/redact.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "bulk/refused.h"
#include "common/buf.h"

#define ONE "332de237-cab7-4461-bcc3-48e68f42bd5c"
#define TWO "93db83d4-4119-4e0c-af87-a713786fa81d"
#define TOKEN "c4a7d759-bb52-457b-896b-90f1d3ef8433"

static buf said;
static refused_counts counts;
static char message[256];
static int stop_after;

static bool
on_row(void *arg, const char *email_id, const char *reason, bool is_transient)
{
    (void)arg;
    assert_true(strlen(reason) <= REFUSED_REASON_MAX);
    buf_printf(&said, "%s %s: %s\n", is_transient ? "later" : "never", email_id, reason);
    return --stop_after != 0;
}

static const char *
read_bytes(const void *bytes, size_t length)
{
    char path[64];
    int fd = memfd_create("refused", MFD_CLOEXEC);

    assert_int_equal(write(fd, bytes, length), length);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    buf_reset(&said);
    message[0] = '\0';
    if (!refused_read(path, on_row, NULL, &counts, message, sizeof(message)))
        fail_msg("was not read: %s", message);
    close(fd);
    return buf_text(&said);
}

static const char *
read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void
has_counts(long long rows, long long unknown)
{
    assert_int_equal(counts.rows, rows);
    assert_int_equal(counts.unknown, unknown);
}

/* ---- tests ------------------------------------------------------------------------ */

static void
reads_what_we_assume(void **state)
{
    (void)state;
    assert_string_equal(
        read_text("LINE,REASON,email_id,email,basket_token\n"
                  "3,Invalid email address,332DE237-CAB7-4461-BCC3-48E68F42BD5C,x," TOKEN "\n"
                  "7,\"Bad value, \"\"x\"\":\nno date\"," TWO ",a@example.com," TOKEN "\n"
                  "8,Please try again later," ONE ",b@example.com,\n"
                  "9,," ONE ",b@example.com,\n"),
        "never " ONE ": Invalid email address\n"
        "never " TWO ": Bad value, \"x\": no date\n"
        "later " ONE ": Please try again later\n"
        "later " ONE ": Acoustic gave no reason\n");
    has_counts(4, 0);
}

static void
reads_other_forms(void **state)
{
    const char *const texts[] = {
        "email_id;Message\r\n" ONE ";Invalid Date Value\r\n",
        "error message\temail_id\n\"Invalid Date Value\"\t" ONE "\n",
        ONE ",Invalid Date Value," TOKEN "\n",
        "12,Invalid Date Value," ONE "," TOKEN,
        "01/02/2026 10:00:00,New York," ONE ",Invalid Date Value\r",
        "\n\nLINE,REASON,email_id\n\n1,Invalid Date Value," ONE "\n\n",
        "Reason,Email_ID\nInvalid   Date\tValue  ," ONE "\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_string_equal(read_text(texts[i]), "never " ONE ": Invalid Date Value\n");
        has_counts(1, 0);
    }
    assert_string_equal(read_text(""), "");
    has_counts(0, 0);
    assert_string_equal(read_text("LINE,REASON,email_id\n"), "");
    has_counts(0, 0);
    /* Values with blanks are no reasons. */
    assert_string_equal(read_text("Mary Ann,New York," ONE ",no reason\n"),
                        "later " ONE ": Acoustic gave no reason\n");
}

static void
counts_rows_of_nobody(void **state)
{
    (void)state;
    read_text("LINE,REASON,email_id\n1,Bad row,\n2,Bad row,332de237\n3,Bad row\n4,Bad row," ONE "\n"
              "5,Bad row,g32de237-cab7-4461-bcc3-48e68f42bd5c,\n"
              "6,Bad row,332de237xcab7-4461-bcc3-48e68f42bd5c," TOKEN "\n");
    has_counts(6, 5);
    read_text("The import has failed\n");
    has_counts(1, 1);
    read_text("<html><body>Not found</body></html>\n\n<p>\n");
    has_counts(2, 2);
    /* The row that is not closed, and all behind it. */
    read_text("LINE,REASON,email_id\n1,Bad row," ONE "\n2,\"Bad row," TWO "\n3,Bad row," ONE "\n");
    has_counts(2, 1);
}

static void
says_nothing_personal(void **state)
{
    static const char *const secrets[] = {"Winifred", "winifred",      "example",
                                          "Street",   "\xC3\x89lodie", "1234567"};
    const char *text = read_text(
        "LINE,REASON,email_id,first_name,last_name,city,answer\n"
        "1,Bad: winifred \xC3\x89lodie of 12  Some Street <w@example.com> Yes 1234567," ONE
        ",Winifred,\xC3\x89lodie,\"12 Some\nStreet\",Yes\n"
        "2,Winifred is the same as " TWO " in line 2," TWO ",,,,winifred\n"
        "3,w@example.com," ONE ",,,,1234567\n");

    (void)state;
    for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets) - 1; i++) {
        if (strstr(text, secrets[i]) != NULL)
            fail_msg("says \"%s\": %s", secrets[i], text);
    }
    assert_non_null(strstr(text, "Bad: "));
    assert_non_null(strstr(text, "is the same as " TWO " in line 2"));
}

static void
redacts_long_values(void **state)
{
    buf text = BUF_INIT;
    char long_value[6000];

    (void)state;
    for (size_t i = 0; i < sizeof(long_value) - 1; i++)
        long_value[i] = "abcdefghij klmnop"[i % 17];
    long_value[sizeof(long_value) - 1] = '\0';
    buf_printf(&text, "REASON,email_id,why\nToo long: %s," ONE ",%s\n", long_value, long_value);
    assert_string_equal(read_text(buf_text(&text)), "never " ONE ": Too long:\n");
    buf_reset(&text);
    buf_printf(&text, "REASON,email_id,why\nToo long: %.150s," ONE ",%.150s\n", long_value,
               long_value);
    assert_null(strstr(read_text(buf_text(&text)), "abc"));
    buf_free(&text);
}

static void
cuts_reasons(void **state)
{
    buf text = BUF_INIT;

    (void)state;
    buf_append_string(&text, "REASON,email_id\nx");
    for (int i = 0; i < 1000; i++)
        buf_append_string(&text, "\xC3\xA4");
    buf_append_string(&text, "," ONE "\n");
    read_text(buf_text(&text));
    assert_int_equal(said.length, strlen("never " ONE ": \n") + 299);
    buf_free(&text);
}

static void
survives_anything(void **state)
{
    static char bytes[1 << 16];
    const char with_zero[] = "REASON,email_id\nBad\0 row," ONE "\nBad \xFF row," TWO "\n";
    buf text = BUF_INIT;

    (void)state;
    for (unsigned seed = 0; seed < 50; seed++) {
        srand(seed);
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = seed % 2 ? (char)rand() : ",\"\n;\t a-0"[rand() % 9];
        read_bytes(bytes, sizeof(bytes));
        assert_int_equal(counts.rows, counts.unknown);
    }
    read_bytes(with_zero, sizeof(with_zero) - 1);
    has_counts(2, 0);
    assert_string_equal(buf_text(&said), "never " ONE ": Bad\nnever " TWO ": Bad\n");
    /* A row that is longer than any may be, and one with too many cells. */
    buf_append_string(&text, "REASON,email_id\nBad row," ONE "\n");
    for (int i = 0; i < 300; i++)
        buf_append_string(&text, i ? ",x" : "Bad row," ONE);
    buf_append_string(&text, "\nBad row," TWO "\n");
    for (int i = 0; i < 1 << 19; i++)
        buf_append_string(&text, "long ");
    read_text(buf_text(&text));
    has_counts(4, 1);
    buf_free(&text);
}

static void
stops_when_told(void **state)
{
    (void)state;
    stop_after = 2;
    read_text(ONE ",a\n" TWO ",b\n" ONE ",c\n");
    stop_after = 0;
    has_counts(2, 0);
    assert_false(refused_read("/nonexistent", on_row, NULL, &counts, message, sizeof(message)));
    assert_non_null(strstr(message, "/nonexistent"));
    assert_false(refused_read("/tmp", on_row, NULL, &counts, message, sizeof(message)));
    assert_non_null(strstr(message, "/tmp could not be read"));
}

static bool
count_row(void *arg, const char *email_id, const char *reason, bool is_transient)
{
    (void)email_id;
    (void)reason;
    (void)is_transient;
    ++*(long long *)arg;
    return true;
}

static void
takes_constant_memory(void **state)
{
    char path[] = "/tmp/ctms-refused-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    struct rusage before, after;
    long long seen = 0;

    (void)state;
    fputs("LINE,REASON,email_id,email\n", file);
    for (int i = 0; i < 200000; i++)
        fprintf(file, "%d,Invalid email address,%08x-cab7-4461-bcc3-48e68f42bd5c,a%d@example.com\n",
                i, i, i);
    fclose(file);
    getrusage(RUSAGE_SELF, &before);
    assert_true(refused_read(path, count_row, &seen, &counts, message, sizeof(message)));
    getrusage(RUSAGE_SELF, &after);
    unlink(path);
    assert_int_equal(seen, 200000);
    has_counts(200000, 0);
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 4096);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_we_assume),  cmocka_unit_test(reads_other_forms),
        cmocka_unit_test(counts_rows_of_nobody), cmocka_unit_test(says_nothing_personal),
        cmocka_unit_test(redacts_long_values),   cmocka_unit_test(cuts_reasons),
        cmocka_unit_test(survives_anything),     cmocka_unit_test(stops_when_told),
        cmocka_unit_test(takes_constant_memory),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    buf_free(&said);
    return failed;
}
