/*
 * acoustic_error.h: what the errors of attempts to send a contact mean, and what to do about them.
 * docs/command-line.md has the same table.
 */
#ifndef CTMS_CLI_ACOUSTIC_ERROR_H
#define CTMS_CLI_ACOUSTIC_ERROR_H

struct acoustic_error {
    const char *name; /* as the documentation names it */
    long fault;       /* Acoustic's number; 0: any */
    const char *text; /* in the error, in upper or lower case; null: any */
    const char *meaning;
    const char *advice;
};

/* Explains an error as ctms-agent writes it, with or without the time at its beginning. Never
 * null. */
const struct acoustic_error *acoustic_error_explain(const char *error);

/* The error without the time at its beginning, which points into it. */
const char *acoustic_error_skip_time(const char *error);

#endif
