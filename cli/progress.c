/*
 * progress.c: the line of progress on stderr.
 */
#include "cli/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 200

static bool is_shown;

static long long
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
progress_show(const char *format, ...)
{
    static long long shown_ms;
    va_list arguments;
    long long ms = now_ms();

    if ((shown_ms > 0 && ms - shown_ms < INTERVAL_MS) || !isatty(STDERR_FILENO))
        return;
    shown_ms = ms;
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
