/*
 * acoustic/classify.h: what follows from what came back, in one table.
 */
#ifndef AGENT_ACOUSTIC_CLASSIFY_H
#define AGENT_ACOUSTIC_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/acoustic/answer.h"

typedef enum failure_class {
    CLASS_SUCCESS,
    CLASS_AUTHENTICATION, /* renew the token, send again, count nothing */
    CLASS_TRANSIENT,      /* count, send again later */
    CLASS_CONTACT,        /* permanent for this contact: not again until it changes */
    CLASS_CONFIGURATION,  /* permanent for everybody: stop the line */
    FAILURE_CLASSES,
} failure_class;

typedef struct verdict {
    failure_class class;
    bool is_overload; /* refused before it was looked at: too many requests */
    bool slows_down;  /* the service is in trouble or overrun: everybody goes slower */
    const char *rule; /* name of the row in the table, for logs and tests */
} verdict;

/* The words for a class in logs: "success", "authentication", ... */
const char *classify_class_name(failure_class class);
/* A contact that failed so is not tried again until it changes. */
bool classify_is_permanent(failure_class class);
/* It may stop the line, so that an operator is needed. */
bool classify_may_stop_line(failure_class class);

/*
 * An answer as a whole. problem: what went wrong before there was an HTTP answer, such as
 * "timed out"; null when there was one. answer: what its body says.
 */
verdict classify_answer(const char *problem, int http_status, const acoustic_answer *answer);
/* A row that a successful relational call reports as failed. */
verdict classify_row(const acoustic_failure *failure);
/* The same for deletions: what is not there any more is a success. */
verdict classify_deletion(const char *problem, int http_status, const acoustic_answer *answer);
verdict classify_deleted_row(const acoustic_failure *failure);

#endif
