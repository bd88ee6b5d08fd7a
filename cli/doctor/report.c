/* doctor/report.c: what the checks found, as lines or as JSON; see doctor.h. */
#include "cli/doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/output.h"
#include "common/buf.h"
#include "common/utf8.h"

#define STATUS_WIDTH 8
#define NAME_WIDTH 12

static const char *const status_names[] = {"ok", "warning", "error", "skipped"};
static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m", "\033[2m"};

const char *const doctor_program_names[] = {"ctms", "ctms-rest", "ctms-agent"};

/* Replaces what is not UTF-8: messages of libpq and the system may be in any encoding. */
static void
clean(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t valid = utf8_valid_prefix(text, left);

        text += valid;
        left -= valid;
        if (left > 0) {
            *text++ = '?';
            left--;
        }
    }
}

static void
print_finding(const struct doctor *d, enum doctor_status status, const char *message,
              const char *advice)
{
    printf("%s%-*s%s %-*s ", d->is_coloured ? colours[status] : "", STATUS_WIDTH,
           status_names[status], d->is_coloured ? "\033[0m" : "", NAME_WIDTH, d->check);
    output_text(stdout, message);
    putchar('\n');
    if (advice) {
        printf("%*s", STATUS_WIDTH + NAME_WIDTH + 2, "");
        output_text(stdout, advice);
        putchar('\n');
    }
    /* A later check may take its time. */
    fflush(stdout);
}

static void
add(struct doctor *d, enum doctor_status status, const char *advice, const char *format,
    va_list arguments)
{
    buf message = BUF_INIT;
    char *text;

    buf_vprintf(&message, format, arguments);
    text = buf_steal(&message);
    clean(text);
    d->counts[status]++;
    if (d->cli->is_json)
        json_array_append_new(d->findings,
                              json_pack("{s:s, s:s, s:s, s:s?}", "check", d->check, "status",
                                        status_names[status], "message", text, "advice", advice));
    else
        print_finding(d, status, text, advice);
    free(text);
}

void
doctor_ok(struct doctor *d, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(d, DOCTOR_OK, NULL, format, arguments);
    va_end(arguments);
}

void
doctor_skip(struct doctor *d, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(d, DOCTOR_SKIPPED, NULL, format, arguments);
    va_end(arguments);
}

void
doctor_warn(struct doctor *d, const char *advice, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(d, DOCTOR_WARNING, advice, format, arguments);
    va_end(arguments);
}

void
doctor_fail(struct doctor *d, const char *advice, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(d, DOCTOR_ERROR, advice, format, arguments);
    va_end(arguments);
}

void
doctor_summarize(struct doctor *d)
{
    char *json = d->cli->is_json ? json_dumps(d->findings, JSON_INDENT(2)) : NULL;

    if (json)
        output_json(json);
    free(json);
    if (d->cli->is_json)
        return;
    printf("\nok: %d, warnings: %d, errors: %d, skipped: %d\n", d->counts[DOCTOR_OK],
           d->counts[DOCTOR_WARNING], d->counts[DOCTOR_ERROR], d->counts[DOCTOR_SKIPPED]);
}
