/* progress.c: the line of progress on stderr; see progress.h. */
#include "cli/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"

#define INTERVAL_S 0.2

static bool is_shown;

void
progress_show(const char *format, ...)
{
    static double shown_s;
    va_list arguments;
    double now_s = clock_now_s();

    if ((shown_s > 0 && now_s - shown_s < INTERVAL_S) || !isatty(STDERR_FILENO))
        return;
    shown_s = now_s;
    is_shown = true;
    fputs("\r\033[K", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fflush(stderr);
}

void
progress_clear(void)
{
    if (is_shown)
        fputs("\r\033[K", stderr);
    is_shown = false;
}
