/*
 * progress.h: one line on a terminal that says how far long work has come. Where stderr is
 * no terminal nothing is printed.
 */
#ifndef CTMS_CLI_PROGRESS_H
#define CTMS_CLI_PROGRESS_H

/* Replaces the line, a few times a second at most. */
void progress_show(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Takes the line away: call it before anything else is printed on the terminal. */
void progress_clear(void);

#endif
