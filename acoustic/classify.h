/* acoustic/classify.h: what to do about an answer of Acoustic, in one table. outcome.c asks it. */
#ifndef CTMS_ACOUSTIC_CLASSIFY_H
#define CTMS_ACOUSTIC_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "acoustic/answer.h"

typedef enum failure_class {
    CLASS_SUCCESS,
    CLASS_AUTHENTICATION, /* get a new token and send again; not counted as a failure */
    CLASS_TRANSIENT,      /* count a failure, send again later */
    CLASS_CONTACT,        /* permanent for this contact: not sent again until it changes */
    CLASS_CONFIGURATION,  /* permanent for every contact: stop the line */
    FAILURE_CLASSES,
} failure_class;

typedef struct verdict {
    failure_class class;
    bool is_overload; /* refused without being processed: too many requests */
    bool slows_down;  /* the service has problems or is overloaded: all requests slow down */
    const char *rule; /* name of the row in the table, for logs and tests */
} verdict;

/* The words for a class in logs: "success", "authentication", ... */
const char *classify_class_name(failure_class class);
/* A contact that failed with this class is not sent again until it changes. */
bool classify_is_permanent(failure_class class);
/* This class may stop the line, and then an operator is needed. */
bool classify_may_stop_line(failure_class class);

/*
 * Classifies a whole answer. problem: what went wrong before there was an HTTP answer, such as
 * "timed out"; null when there was an answer. answer: the body, as it was read.
 */
verdict classify_answer(const char *problem, int http_status, const acoustic_answer *answer);
/* Classifies a row that a successful relational call reports as failed. */
verdict classify_row(const acoustic_failure *failure);
/* Classifies the reason why an import refused a row. None is transient: the API will tell it. */
verdict classify_refused(const char *reason);
/* As classify_answer(), but it is a success if the contact or row does not exist any more. */
verdict classify_deletion(const char *problem, int http_status, const acoustic_answer *answer);
verdict classify_deleted_row(const acoustic_failure *failure);

#endif
