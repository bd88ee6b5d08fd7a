/*
 * bulk/refused.h: reads the error file of an import job: which contacts have a row that Acoustic
 * refused, and why. Acoustic does not document its form; what is assumed is in
 * docs/decisions/acoustic-imports.md, and nowhere else in the code than in refused.c.
 */
#ifndef CTMS_BULK_REFUSED_H
#define CTMS_BULK_REFUSED_H

#include <stdbool.h>
#include <stddef.h>

enum { REFUSED_REASON_MAX = 300 };

/* email_id: in lower case; a contact comes as often as it has refused rows. reason: one line of at
 * most REFUSED_REASON_MAX bytes, nothing personal, as last_error shows it. False ends the reading.
 */
typedef bool (*refused_row)(void *arg, const char *email_id, const char *reason, bool is_transient);

typedef struct refused_counts {
    long long rows;    /* refused rows in the file */
    long long unknown; /* those of which it cannot be said whose they are */
} refused_counts;

/* Reads the file in pieces, whatever is in it. False with a message when it cannot be read. */
bool refused_read(const char *path, refused_row row, void *arg, refused_counts *counts,
                  char *message, size_t size);

#endif
