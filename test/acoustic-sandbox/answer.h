/*
 * answer.h: an answer that is being made, and the form of the XML API. api.c and import.c fill it;
 * server.c sends it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_ANSWER_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_ANSWER_H

#include <event2/buffer.h>

#include "test/acoustic-sandbox/fault.h"

/* What to send, and how. The caller owns "body". */
struct answer {
    enum answer_kind kind; /* for server.c: NORMAL, CUT, HUGE or SLOW */
    int status;
    const char *content_type;
    struct evbuffer *body;
    long delay_ms;
    long work_ms; /* after the answer, until it is no longer in flight */
    long bytes, byte_ms;
    char refusal[160]; /* why the whole request is refused; empty if it is not */
};

/* "inside" is XML. */
void answer_success(struct answer *answer, const char *inside);
void answer_fault(struct answer *answer, const char *errorid, const char *class, const char *text);
void answer_add_escaped(struct evbuffer *body, const char *text);

#endif
