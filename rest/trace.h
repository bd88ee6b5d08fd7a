/*
 * trace.h: finds the addresses that ask to be traced: those with "+trace_me_mozilla_" or
 * "+trace-me-mozilla-" in them. access_log.c calls it.
 */
#ifndef CTMS_REST_TRACE_H
#define CTMS_REST_TRACE_H

#include "common/buf.h"

/* Addresses that are named; if there are more, "..." follows. */
#define TRACE_ADDRESSES_MAX 10
/* A longer word is no address. */
#define TRACE_ADDRESS_BYTES_MAX 320

typedef struct trace {
    buf addresses; /* separated by commas, each once, in the order in which they were found */
    int count;
} trace;

#define TRACE_INIT                                                                                 \
    {                                                                                              \
        BUF_INIT, 0                                                                                \
    }

/* Adds the addresses in a text. */
void trace_search(trace *t, const char *text, size_t length);
void trace_free(trace *t);

#endif
