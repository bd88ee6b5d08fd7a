/*
 * access_log.h: the line that each request leaves in the log, without what must not be there.
 */
#ifndef CTMS_REST_ACCESS_LOG_H
#define CTMS_REST_ACCESS_LOG_H

#include "rest/exchange.h"

void access_log_write(const exchange *ex, int status, double duration_s);

/* A request that never became one: bytes that are not HTTP, or too many. */
void access_log_write_refused(const server_call *call, int status, const char *detail);

/* An answer, logged when it was made, that the client has not got whole. */
void access_log_write_cut_off(const server_call *call, const char *why);

/*
 * Looks for an address that asks to be traced, one with "+trace_me_mozilla_" or
 * "+trace-me-mozilla-" in it. Returns it, for the caller to free, or NULL.
 */
char *access_log_find_trace(const char *text, size_t length);

#endif
