/*
 * clock.h: a clock that never jumps, and how long to wait after failures.
 */
#ifndef CTMS_COMMON_CLOCK_H
#define CTMS_COMMON_CLOCK_H

#include <sys/time.h>

/* Seconds since some moment in the past; not the time of day. The clock goes on while the machine
 * sleeps, because leases in the database do so too. */
double clock_now_s(void);
struct timeval clock_timeval(double seconds);
/* The time to wait before another attempt: min_s, doubled for each earlier failure, at most max_s.
 * Up to half of it is subtracted at random, so that many clients do not come back at once. */
double clock_backoff_s(double min_s, double max_s, int failures_before);

#endif
