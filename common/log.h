/*
 * log.h: one line an event on standard output, MozLog JSON or a form for people.
 *
 *   log_line *line = log_begin(LOG_LEVEL_INFO, "ctms.web");
 *   log_string(line, "method", "GET");
 *   log_end(line, "%s answered", name);
 *
 * log_begin() returns NULL when the level is not logged, and every other function takes
 * that NULL for "nothing to do". Only the thread of the event loop may log.
 *
 * Logging never blocks and never fails its caller: when nobody reads standard output,
 * lines wait in a bounded buffer; beyond it they are dropped, counted, and the count is
 * logged when there is room again.
 */
#ifndef CTMS_COMMON_LOG_H
#define CTMS_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* The numbers are those of syslog, as MozLog wants them; the last is the highest. */
typedef enum log_level {
    LOG_LEVEL_CRITICAL = 2,
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
} log_level;

typedef struct log_line log_line;

/* is_mozlog: JSON for machines, else a line for people. level_name as in CTMS_LOGGING_LEVEL. */
void log_open(bool is_mozlog, const char *level_name);
/* What the process writes to; 1 unless told. For tests. */
void log_set_fd(int fd);
/* After fork(): the child's lines carry its own pid, the parent's waiting lines are forgotten. */
void log_after_fork(void);
/* Gather lines until log_flush() is called (at the latest when 16 kB wait). */
void log_set_buffered(bool is_buffered);
/* Writes what waits, as far as that does not block. */
void log_flush(void);
/* Writes what waits, for up to a second; for the end of a program. */
void log_close(void);

bool log_is_enabled(log_level level);

/* type is the MozLog Type, such as "ctms.web". One line at a time may be begun. */
log_line *log_begin(log_level level, const char *type);
void log_string(log_line *line, const char *name, const char *value); /* NULL is null */
void log_string_n(log_line *line, const char *name, const char *value, size_t length);
void log_int(log_line *line, const char *name, long long value);
void log_real(log_line *line, const char *name, double value);
void log_bool(log_line *line, const char *name, bool value);
/* value is JSON text already; it must be valid, line breaks in it become spaces. */
void log_json(log_line *line, const char *name, const char *value, size_t length);
/* Writes the line with the field "msg". */
void log_end(log_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line that is only a message. */
void log_message(log_level level, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
