/*
 * refusal.h: the last requests and rows that the sandbox refused, and why. api.c adds them; page.c
 * shows them.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_REFUSAL_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_REFUSAL_H

#include "test/acoustic-sandbox/row.h"

enum { REFUSAL_RING = 1000 };

struct refusal {
    double time_s; /* seconds since 1970 */
    char operation[40];
    char table[16];
    char email_id[64];
    char row[128]; /* the address, or what else identifies the row; empty for a whole request */
    char reason[160];
};

struct refusal_log {
    struct refusal *entries; /* a ring, allocated with the first entry */
    long count;              /* of all that there were */
};

/* Adds an entry; longer texts are cut. columns may be null, and so may the key's name. */
void refusal_add(struct refusal_log *log, const char *operation, const char *table,
                 const struct row *columns, const char *key, const char *reason);
/* The entry before which "back" others were added later; null if it is not kept. */
const struct refusal *refusal_get(const struct refusal_log *log, long back);
void refusal_clear(struct refusal_log *log);

#endif
