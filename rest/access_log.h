/*
 * access_log.h: the line that each request leaves in the log, without what must not be there.
 */
#ifndef CTMS_REST_ACCESS_LOG_H
#define CTMS_REST_ACCESS_LOG_H

#include "rest/exchange.h"

/*
 * What was noted of the exchange is in it, and an address that asks to be traced: one with
 * "+trace_me_mozilla_" or "+trace-me-mozilla-" in the request or the answer.
 */
void access_log_write(const exchange *ex, int status, double duration_s, const char *answer,
                      size_t length);

/* A request that never became one: bytes that are not HTTP, or too many. */
void access_log_write_refused(const server_call *call, int status, const char *detail);

/* An answer, logged when it was made, that the client has not got whole. */
void access_log_write_cut_off(const server_call *call, const char *why);

#endif
