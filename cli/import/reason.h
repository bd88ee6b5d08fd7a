/*
 * import/reason.h: what the server's error about a row of a COPY means. Its message holds the
 * value, which may be personal, and may be translated, so it is not shown. import/rows.c calls it.
 */
#ifndef CTMS_CLI_IMPORT_REASON_H
#define CTMS_CLI_IMPORT_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <libpq-fe.h>

struct import_reason_place {
    size_t line;      /* of the COPY, from 1 */
    char column[128]; /* what is said of the column, in any language */
};

/* False if the error is not about a value of a row of the table. */
bool import_reason_find_place(const PGresult *result, const char *table,
                              struct import_reason_place *place);
/* Such as "is not a valid uuid (22P02)". type: that of the column, or null if it is not known. */
void import_reason_write(char *text, size_t size, const PGresult *result, const char *type);

#endif
