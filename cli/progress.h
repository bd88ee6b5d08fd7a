/*
 * progress.h: one line on the terminal that shows the progress of long work. If stderr is not a
 * terminal, nothing is printed.
 */
#ifndef CTMS_CLI_PROGRESS_H
#define CTMS_CLI_PROGRESS_H

/* Replaces the line, at most a few times a second. */
void progress_show(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Removes the line. Call it before anything else is printed on the terminal. */
void progress_clear(void);

#endif
