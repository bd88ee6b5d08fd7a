/* Tests of common/: bytes and JSON text, the log, metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/utf8.h"

static void
writes_json_strings(void **state)
{
    static const char odd[] = "a\"\\\n\x01\x7f\xc3\xab\xff\xed\xa0\x80\xf0\x9f\x98\x80\0z";
    buf b = BUF_INIT;
    json_t *json;

    (void)state;
    buf_append_json(&b, odd, sizeof(odd) - 1);
    json = json_loadb(b.data, b.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    assert_int_equal(json_string_length(json), 26);
    assert_memory_equal(json_string_value(json), "a\"\\\n\x01\x7f\xc3\xab\xef\xbf\xbd", 11);
    json_decref(json);
    buf_reset(&b);
    buf_append_json_string(&b, NULL);
    assert_string_equal(buf_text(&b), "null");
    buf_free(&b);
}

static void
knows_utf8(void **state)
{
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {
        {"abc", 3},
        {"\xc3\xab", 2},
        {"a\xc3", 1},
        {"\xc0\x80", 0},
        {"\xe0\x80\x80", 0},
        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xef\xbb\xbfx", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(utf8_valid_prefix(cases[i].text, strlen(cases[i].text)), cases[i].valid);
}

static void
hides_what_must_not_be_shown(void **state)
{
    static const struct {
        const char *text, *visible, *json;
    } cases[] = {
        {"plain \xc3\xab \xf0\x9f\x91\xa9\xf0\x9f\x92\xbb", NULL, NULL},
        {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", "\xf0\x9f\x91\xa9\\u200d\xf0\x9f\x92\xbb",
         "\xf0\x9f\x91\xa9\\u200d\xf0\x9f\x92\xbb"},
        {"\x1b[2J", "\\x1b[2J", "\\u001b[2J"},
        {"a\x7f", "a\\x7f", "a\\u007f"},
        {"\xc2\x9b"
         "2J",
         "\\u009b2J", "\\u009b2J"},
        {"a\xe2\x80\xae"
         "b",
         "a\\u202eb", "a\\u202eb"},
        {"\xe2\x81\xa6 \xe2\x81\xa9", "\\u2066 \\u2069", "\\u2066 \\u2069"},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029", "\\u2028\\u2029"},
        {"\xe2\x80\x8e\xd8\x9c", "\\u200e\\u061c", "\\u200e\\u061c"},
        {"\xf3\xa0\x80\x81", "\\ue0001", "\\udb40\\udc01"},
        {"a\xff\xc0z\xe2\x80", "a\\xff\\xc0z\\xe2\\x80", "a\\ufffd\\ufffdz\\ufffd\\ufffd"},
    };
    buf b = BUF_INIT;
    char expected[200];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = cases[i].text, *json = cases[i].json ? cases[i].json : text;

        buf_reset(&b);
        buf_append_visible(&b, text, strlen(text));
        assert_string_equal(buf_text(&b), cases[i].visible ? cases[i].visible : text);
        buf_reset(&b);
        buf_append_json(&b, text, strlen(text));
        snprintf(expected, sizeof(expected), "\"%s\"", json);
        assert_string_equal(buf_text(&b), expected);
        /* The same string when it is JSON already, with its white space. */
        buf_reset(&b);
        buf_printf(&b, "[\n\t\"%s\" ]", text);
        snprintf(expected, sizeof(expected), "[\n\t\"%s\" ]", json);
        text = buf_steal(&b);
        buf_append_json_text(&b, text, strlen(text));
        assert_string_equal(buf_text(&b), expected);
        free((char *)(uintptr_t)text);
    }
    buf_free(&b);
}

/* The first and the last of each range are hidden, and their neighbours are shown. */
static void
knows_what_cannot_be_seen(void **state)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1F},       {0x7F, 0xA0},       {0xAD, 0xAD},       {0x34F, 0x34F},
        {0x61C, 0x61C},     {0x115F, 0x1160},   {0x1680, 0x1680},   {0x17B4, 0x17B5},
        {0x180B, 0x180F},   {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},
        {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},   {0xE000, 0xF8FF},
        {0xFDD0, 0xFDEF},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},
        {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},   {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
        {0x1FFFE, 0x1FFFF}, {0x7FFFE, 0x7FFFF}, {0xDFFFE, 0xE0FFF}, {0xEFFFE, 0x10FFFF},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        assert_true(ranges[i][0] == 0 || utf8_is_shown(ranges[i][0] - 1));
        for (uint32_t c = ranges[i][0]; c <= ranges[i][1]; c++)
            assert_false(utf8_is_shown(c));
        assert_true(ranges[i][1] == 0x10FFFF || ranges[i][1] == 0xFFFF ||
                    utf8_is_shown(ranges[i][1] + 1));
    }
}

static void
drops_bytes(void **state)
{
    buf b = BUF_INIT;

    (void)state;
    buf_printf(&b, "%s %1000d", "text", 7);
    assert_int_equal(b.length, 1005);
    buf_consume(&b, 1004);
    assert_string_equal(buf_text(&b), "7");
    buf_consume(&b, 5);
    assert_string_equal(buf_text(&b), "");
    buf_free(&b);
}

/* ---- log ------------------------------------------------------------------------ */

static char *
read_all(int fd)
{
    buf b = BUF_INIT;
    char piece[4096];
    ssize_t count;

    while ((count = read(fd, piece, sizeof(piece))) > 0)
        buf_append(&b, piece, (size_t)count);
    return buf_steal(&b);
}

static void
logs_json(void **state)
{
    int ends[2];
    log_line *line;
    json_t *json;
    char *text;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(true, "INFO");
    log_set_fd(ends[1]);
    assert_null(log_begin(LOG_LEVEL_DEBUG, "t"));
    log_string(NULL, "a", "b");
    line = log_begin(LOG_LEVEL_WARNING, "ctms.test");
    log_string(line, "text", "a\nb");
    log_string(line, "none", NULL);
    log_int(line, "number", -7);
    log_bool(line, "yes", true);
    log_json(line, "json", "[1,\n2]", 6);
    log_end(line, "%d messages", 2);
    close(ends[1]);
    text = read_all(ends[0]);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "Type")), "ctms.test");
    assert_int_equal(json_integer_value(json_object_get(json, "Severity")), 4);
    json_t *fields = json_object_get(json, "Fields");
    assert_string_equal(json_string_value(json_object_get(fields, "text")), "a\nb");
    assert_true(json_is_null(json_object_get(fields, "none")));
    assert_int_equal(json_integer_value(json_object_get(fields, "number")), -7);
    assert_int_equal(json_array_size(json_object_get(fields, "json")), 2);
    assert_string_equal(json_string_value(json_object_get(fields, "msg")), "2 messages");
    json_decref(json);
    free(text);
    close(ends[0]);
}

/* A line for people is one line, and what is in it cannot deceive them. */
static void
logs_for_people(void **state)
{
    int ends[2];
    log_line *line;
    char *text;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(false, "INFO");
    log_set_fd(ends[1]);
    line = log_begin(LOG_LEVEL_INFO, "ctms.test");
    log_string(line, "text", "a\xe2\x80\xae\xc2\x85\xff");
    log_json(line, "json", "[\"\xe2\x80\xa8\",\r\n2]", 11);
    log_end(line, "GET /\xc2\x9b\xff\n\x1b[31m %s", "\xe2\x80\xae");
    close(ends[1]);
    text = read_all(ends[0]);
    assert_non_null(strstr(text, "ctms.test: GET /\\u009b\\xff \\x1b[31m \\u202e  "
                                 "text=\"a\\u202e\\u0085\\ufffd\" json=[\"\\u2028\",  2]\n"));
    free(text);
    close(ends[0]);
}

/* When nobody reads the log, lines are dropped and counted, and the program continues. */
static void
does_not_block(void **state)
{
    int ends[2];
    char *text;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(true, "INFO");
    log_set_fd(ends[1]);
    for (int i = 0; i < 30000; i++)
        log_message(LOG_LEVEL_INFO, "ctms.test", "line %d of very many, which nobody reads", i);
    /* Now there is a reader again. */
    if (fork() == 0) {
        close(ends[1]);
        text = read_all(ends[0]);
        _exit(strstr(text, "log lines dropped") != NULL ? 0 : 1);
    }
    close(ends[0]);
    for (int i = 0; i < 1000; i++) {
        log_message(LOG_LEVEL_INFO, "ctms.test", "somebody reads again");
        usleep(1000);
    }
    log_close();
    close(ends[1]);
    int status;
    wait(&status);
    assert_int_equal(status, 0);
}

#define WRITERS 3
#define LINES_OF_EACH 60

/* Logs long and short lines, then goes on flushing until it is killed. */
static void
write_many_lines(char letter)
{
    char text[12001];

    log_after_fork();
    log_set_buffered(true);
    memset(text, letter, sizeof(text));
    for (int i = 0; i < LINES_OF_EACH; i++) {
        log_message(LOG_LEVEL_INFO, "ctms.test", "%.*s", i % 3 == 0 ? 12000 : 100 + i, text);
        if (i % 5 == 0)
            log_flush();
    }
    for (;;) {
        log_flush();
        poll(NULL, 0, 1);
    }
}

/* Reads until there are this many lines, little at a time. */
static char *
read_lines(int fd, int count)
{
    buf b = BUF_INIT;
    char piece[500];

    while (count > 0) {
        ssize_t length = read(fd, piece, sizeof(piece));

        if (length <= 0)
            break;
        buf_append(&b, piece, (size_t)length);
        for (ssize_t i = 0; i < length; i++)
            count -= piece[i] == '\n';
    }
    return buf_steal(&b);
}

/* The message is one letter, many times. */
static bool
is_whole_line(const char *line)
{
    json_t *json = json_loads(line, 0, NULL);
    const char *message =
        json_string_value(json_object_get(json_object_get(json, "Fields"), "msg"));
    bool is_whole =
        message != NULL && strspn(message, (char[]){message[0], '\0'}) == strlen(message);

    json_decref(json);
    return is_whole;
}

static int
count_torn_lines(char *text)
{
    char *rest = text;
    int torn = 0;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        torn += !is_whole_line(line);
    return torn;
}

static void
keeps_lines_of_processes_apart(void **state)
{
    pid_t writers[WRITERS];
    int ends[2];
    char *text;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(true, "INFO");
    log_set_fd(ends[1]);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0)
            write_many_lines((char)('a' + i));
    }
    text = read_lines(ends[0], WRITERS * LINES_OF_EACH);
    for (int i = 0; i < WRITERS; i++) {
        kill(writers[i], SIGKILL);
        waitpid(writers[i], NULL, 0);
    }
    assert_int_equal(count_torn_lines(text), 0);
    free(text);
    close(ends[0]);
    close(ends[1]);
}

/* A process dies in a line: the next line is a line of its own. */
static void
ends_the_line_of_the_dead(void **state)
{
    int ends[2];
    pid_t writer;
    char *first, *second, byte;
    const char *line;
    buf all = BUF_INIT;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(true, "INFO");
    log_set_fd(ends[1]);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 8192) > 0);
    writer = fork();
    if (writer == 0)
        write_many_lines('a');
    assert_int_equal(read(ends[0], &byte, 1), 1);
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    log_message(LOG_LEVEL_INFO, "ctms.test", "bbb"); /* there is no room yet */
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    first = read_all(ends[0]);
    log_close();
    second = read_all(ends[0]);
    close(ends[0]);
    close(ends[1]);
    buf_printf(&all, "%s%s", first, second);
    line = strchr(buf_text(&all), '\n');
    assert_non_null(line);
    assert_true(is_whole_line(line + 1));
    assert_ptr_equal(strchr(line + 1, '\n'), buf_text(&all) + all.length - 1);
    free(first);
    free(second);
    buf_free(&all);
}

/* ---- metrics ----------------------------------------------------------------------- */

static const metrics_family counters = {"c_total", "Counts.", METRICS_COUNTER, 0, {0}};
static const metrics_family times = {"t_seconds", "Times.", METRICS_HISTOGRAM, 2, {.5, 1}};
static const metrics_family gauges = {"g", "Gauges.", METRICS_GAUGE, 0, {0}};

static void
counts_over_processes(void **state)
{
    metrics *m = metrics_new(100);
    buf labels = BUF_INIT, out = BUF_INIT;

    (void)state;
    metrics_append_label(&labels, "a", "x\"\\\n");
    metrics_append_label(&labels, "b", "");
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int j = 0; j < 10000; j++) {
                metrics_add(metrics_get(m, &counters, buf_text(&labels)), 2);
                metrics_observe(metrics_get(m, &times, ""), j % 2 ? .5 : 2);
            }
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
    }
    metrics_set(metrics_get(m, &gauges, ""), 1.5);
    metrics_write(m, &counters, &out);
    metrics_write(m, &times, &out);
    metrics_write(m, &gauges, &out);
    assert_string_equal(buf_text(&out), "# HELP c_total Counts.\n# TYPE c_total counter\n"
                                        "c_total{a=\"x\\\"\\\\\\n\",b=\"\"} 80000\n"
                                        "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"
                                        "t_seconds_bucket{le=\"0.5\"} 20000\n"
                                        "t_seconds_bucket{le=\"1.0\"} 20000\n"
                                        "t_seconds_bucket{le=\"+Inf\"} 40000\n"
                                        "t_seconds_sum 50000\nt_seconds_count 40000\n"
                                        "# HELP g Gauges.\n# TYPE g gauge\ng 1.5\n");
    buf_free(&labels);
    buf_free(&out);
    metrics_free(m);
}

static void
survives_too_many_series(void **state)
{
    metrics *m = metrics_new(10);
    char labels[300];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(labels, sizeof(labels), "n=\"%d\"", i);
        metrics_add(metrics_get(m, &counters, labels), 1);
    }
    memset(labels, 'x', sizeof(labels) - 1);
    labels[sizeof(labels) - 1] = '\0';
    metrics_observe(metrics_get(m, &times, labels), 1);
    metrics_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_json_strings),
        cmocka_unit_test(knows_utf8),
        cmocka_unit_test(hides_what_must_not_be_shown),
        cmocka_unit_test(knows_what_cannot_be_seen),
        cmocka_unit_test(drops_bytes),
        cmocka_unit_test(logs_json),
        cmocka_unit_test(logs_for_people),
        cmocka_unit_test(does_not_block),
        cmocka_unit_test(keeps_lines_of_processes_apart),
        cmocka_unit_test(ends_the_line_of_the_dead),
        cmocka_unit_test(counts_over_processes),
        cmocka_unit_test(survives_too_many_series),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
