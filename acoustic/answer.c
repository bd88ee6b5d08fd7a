/* acoustic/answer.c: see acoustic/answer.h. */
#include "acoustic/answer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acoustic/reader.h"
#include "common/buf.h"

enum { FAILURES_MAX = 10000 };

typedef struct reading {
    acoustic_answer *answer;
    bool has_success;
    bool is_success;
    bool has_fault;
    bool in_failure;
    bool in_email_id;
} reading;

static bool
is(const char *name, const char *expected)
{
    return strcmp(name, expected) == 0;
}

static bool
begin_failure(reading *r, const char **attributes)
{
    acoustic_answer *answer = r->answer;
    acoustic_failure *failure;

    if (answer->failure_count == FAILURES_MAX)
        return false;
    /* The capacity grows in powers of two. */
    if ((answer->failure_count & (answer->failure_count - 1)) == 0)
        answer->failures =
            xrealloc(answer->failures, (answer->failure_count ? answer->failure_count * 2 : 1) *
                                           sizeof(*answer->failures));
    failure = &answer->failures[answer->failure_count++];
    *failure = (acoustic_failure){.is_transient = false};
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        const char *value = attributes[1] ? attributes[1] : "";

        if (is(attributes[0], "failure_type"))
            failure->is_transient = strcasecmp(value, "transient") == 0;
        else if (is(attributes[0], "description"))
            acoustic_reader_copy(failure->description, sizeof(failure->description), value);
    }
    r->in_failure = true;
    return true;
}

static bool
names_email_id(const char **attributes)
{
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        if (is(attributes[0], "name") && attributes[1] != NULL)
            return strcasecmp(attributes[1], "email_id") == 0;
    }
    return false;
}

static bool
is_column(const char *name)
{
    return is(name, "COLUMN") || is(name, "KEY_COLUMN");
}

static bool
on_start(void *arg, const char *name, const char **attributes)
{
    reading *r = arg;

    r->in_email_id = false;
    if (is(name, "Fault"))
        r->has_fault = true;
    else if (is(name, "FAILURE"))
        return begin_failure(r, attributes);
    else if (r->in_failure && is_column(name))
        r->in_email_id = names_email_id(attributes);
    return true;
}

static void
take_errorid(acoustic_answer *answer, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (end != text && *end == '\0' && number >= 0 && number < INT_MAX)
        answer->errorid = number;
}

static void
on_end(void *arg, const char *name, const char *text)
{
    reading *r = arg;
    acoustic_answer *answer = r->answer;

    if (is(name, "SUCCESS")) {
        r->has_success = true;
        r->is_success = strcasecmp(text, "true") == 0;
    } else if (is(name, "FaultString")) {
        acoustic_reader_copy(answer->text, sizeof(answer->text), text);
    } else if (is(name, "class")) {
        acoustic_reader_copy(answer->class, sizeof(answer->class), text);
    } else if (is(name, "errorid")) {
        take_errorid(answer, text);
    } else if (is(name, "FAILURE")) {
        r->in_failure = false;
    } else if (r->in_email_id) {
        acoustic_failure *failure = &answer->failures[answer->failure_count - 1];

        acoustic_reader_copy(failure->email_id, sizeof(failure->email_id), text);
        r->in_email_id = false;
    }
}

void
acoustic_answer_read(acoustic_answer *answer, const char *body, size_t length)
{
    static const acoustic_reader_events events = {.start = on_start, .end = on_end};
    reading r = {.answer = answer};

    *answer = (acoustic_answer){.result = ACOUSTIC_UNREADABLE, .errorid = -1};
    if (!acoustic_reader_read(&events, &r, body, length) || (!r.has_success && !r.has_fault)) {
        acoustic_answer_free(answer);
        return;
    }
    answer->result = r.is_success && !r.has_fault ? ACOUSTIC_SUCCESS : ACOUSTIC_FAULT;
}

void
acoustic_answer_free(acoustic_answer *answer)
{
    free(answer->failures);
    *answer = (acoustic_answer){.result = ACOUSTIC_UNREADABLE, .errorid = -1};
}
