/*
 * log.h: one line for each event on standard output, as MozLog JSON or as text for people.
 *
 *   log_line *line = log_begin(LOG_LEVEL_INFO, "ctms.web");
 *   log_string(line, "method", "GET");
 *   log_end(line, "%s answered", name);
 *
 * log_begin() returns NULL when the level is not logged; every other function does nothing when it
 * is given that NULL. Only the thread of the event loop may log.
 *
 * Logging never blocks and never fails its caller. When nobody reads standard output, lines wait in
 * a bounded buffer. When that is full, lines are dropped and counted, and the count is logged as
 * soon as there is room again.
 *
 * Several processes may log to the same descriptor if they were forked after the first log_open():
 * the lines of one are never mixed with those of another, however long they are.
 */
#ifndef CTMS_COMMON_LOG_H
#define CTMS_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* The numbers are those of syslog, which MozLog uses too; the last one is the highest. */
typedef enum log_level {
    LOG_LEVEL_CRITICAL = 2,
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
} log_level;

typedef struct log_line log_line;

/* is_mozlog: JSON for machines, otherwise lines for people. level_name: see CTMS_LOGGING_LEVEL. */
void log_open(bool is_mozlog, const char *level_name);
/* Sets the descriptor that the process logs to, 1 by default. For tests. */
void log_set_fd(int fd);
/* Call this after fork(): the child's lines then carry its own pid, and the child forgets the lines
 * that its parent has not written yet. */
void log_after_fork(void);
/* Collects lines until log_flush() is called, but not more than 16 kB. */
void log_set_buffered(bool is_buffered);
/* Writes the lines that wait, as far as that does not block. */
void log_flush(void);
/* Writes the lines that wait, for up to a second; call it at the end of a program. */
void log_close(void);

bool log_is_enabled(log_level level);

/* type is the MozLog Type, such as "ctms.web". Only one line at a time may be begun. */
log_line *log_begin(log_level level, const char *type);
void log_string(log_line *line, const char *name, const char *value); /* NULL is null */
void log_string_n(log_line *line, const char *name, const char *value, size_t length);
void log_int(log_line *line, const char *name, long long value);
void log_real(log_line *line, const char *name, double value);
void log_bool(log_line *line, const char *name, bool value);
/* value is valid JSON text; line breaks in it become spaces. */
void log_json(log_line *line, const char *name, const char *value, size_t length);
/* Writes the line with the field "msg". */
void log_end(log_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Logs a line that has only a message. */
void log_message(log_level level, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
