/* clock.c: see clock.h. */
#include "common/clock.h"

#include <stdlib.h>
#include <time.h>

double
clock_now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct timeval
clock_timeval(double seconds)
{
    time_t whole = (time_t)seconds;

    if (seconds < 0)
        return (struct timeval){0, 0};
    return (struct timeval){whole, (suseconds_t)((seconds - (double)whole) * 1e6)};
}

double
clock_backoff_s(double min_s, double max_s, int failures_before)
{
    double delay_s = min_s;

    while (failures_before-- > 0 && delay_s < max_s)
        delay_s *= 2;
    if (delay_s > max_s)
        delay_s = max_s;
    return delay_s * (0.5 + drand48() / 2);
}
