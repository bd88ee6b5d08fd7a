/*
 * access_log.h: the line that each request leaves in the log. What must not be there (addresses,
 * secrets, tokens) is left out. exchange.c and worker.c call it.
 */
#ifndef CTMS_REST_ACCESS_LOG_H
#define CTMS_REST_ACCESS_LOG_H

#include "rest/exchange.h"

/*
 * The line contains the fields that were noted of the exchange. Of headers and parameters it shows
 * those that are known to be harmless. If the client was authorised, it also has the addresses that
 * ask to be traced (trace.h), in the request or the answer, with the body of the request.
 */
void access_log_write(const exchange *ex, int status, double duration_s, const char *answer,
                      size_t length);

/* For bytes that never became a request: not HTTP, or too many of them. */
void access_log_write_refused(const server_call *call, int status, const char *detail);

/* For an answer that was logged when it was made, but did not reach the client completely. */
void access_log_write_cut_off(const server_call *call, const char *why);

#endif
