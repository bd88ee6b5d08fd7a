/*
 * clock.h: a clock that never jumps, and how long to wait after failures.
 */
#ifndef CTMS_COMMON_CLOCK_H
#define CTMS_COMMON_CLOCK_H

#include <sys/time.h>

/* Seconds since some moment in the past; not the time of day. Goes on while the machine sleeps, as
 * leases do. */
double clock_now_s(void);
struct timeval clock_timeval(double seconds);
/* min_s doubled for each failure before, at most max_s, minus up to a half at random, so
 * that many do not come back at once. */
double clock_backoff_s(double min_s, double max_s, int failures_before);

#endif
