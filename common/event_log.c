/* event_log.c: see event_log.h. */
#include "common/event_log.h"

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"

#define LOG_TYPE "ctms.libevent"
#define INTERVAL_S 60.0

static double next_s;
static long long left_out;

static void
on_message(int severity, const char *message)
{
    double now = clock_now_s();
    log_line *line;

    if (severity != EVENT_LOG_WARN && severity != EVENT_LOG_ERR)
        return;
    if (severity == EVENT_LOG_WARN && now < next_s) {
        left_out++;
        return;
    }
    line = log_begin(severity == EVENT_LOG_ERR ? LOG_LEVEL_CRITICAL : LOG_LEVEL_WARNING, LOG_TYPE);
    if (left_out > 0)
        log_int(line, "left_out", left_out);
    log_end(line, "%s", message);
    next_s = now + INTERVAL_S;
    left_out = 0;
}

void
event_log_open(void)
{
    event_set_log_callback(on_message);
}
