/*
 * check.h: which rows are refused, whether they come in a request (api.c) or in a file (job.c).
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_CHECK_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_CHECK_H

#include "test/acoustic-sandbox/store.h"

struct problem {
    const char *errorid; /* of a fault */
    bool is_address;
    char text[96];
};

/* All return true when nothing is wrong, and else fill in the problem. email_id may be null. */
bool check_recipient(const char *email_id, const struct row *columns, struct problem *problem);
bool check_keys(enum table table, const struct row *row, struct problem *problem);
bool check_timestamps(const struct row *row, struct problem *problem);

#endif
