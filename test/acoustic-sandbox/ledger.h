/*
 * ledger.h: the last requests to the XML API, in the order of arrival. api.c adds them; server.c
 * shows them.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_LEDGER_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_LEDGER_H

#include <jansson.h>
#include <stddef.h>

struct ledger_entry {
    long number;   /* from 1 on */
    double time_s; /* seconds since 1970 at which the request had arrived */
    char operation[40];
    char table[16];
    char email_id[40]; /* of the first row */
    int rows;
    int in_flight;   /* this one included */
    char answer[16]; /* "right", or what went wrong: a kind of fault.h, "refused", "token" */
};

struct ledger {
    struct ledger_entry *entries; /* a ring, allocated with the first entry */
    long count;
};

/* Adds an entry, with its number and time; the caller fills in the rest. */
struct ledger_entry *ledger_add(struct ledger *ledger);
/* Entries with numbers above "after", at most "limit". The caller owns the result. */
json_t *ledger_json(const struct ledger *ledger, long after, long limit);
void ledger_clear(struct ledger *ledger);

#endif
