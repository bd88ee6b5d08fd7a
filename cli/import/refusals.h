/*
 * import/refusals.h: the rows that an import refuses: why, and where they are. Up to --max-errors
 * of them are left out, and written to a file; with more than that nothing is stored.
 *
 * They are rows of the temporary table import_refused, so that SQL finds some of them: refuse.sql
 * and check.sql add theirs.
 */
#ifndef CTMS_CLI_IMPORT_REFUSALS_H
#define CTMS_CLI_IMPORT_REFUSALS_H

#include "cli/cli.h"

#define IMPORT_REFUSED_FILE "refused.csv"
/* Each row once: of one row of relay_waitlist the rules make several. */
#define IMPORT_REFUSED_ROWS                                                                        \
    "(SELECT DISTINCT ON (origin, line) * FROM pg_temp.import_refused ORDER BY origin, line)"
#define IMPORT_REFUSAL_OPTIONS                                                                     \
    {"max-errors", 0, "N", "store the others if at most N rows are refused (0)"},                  \
    {                                                                                              \
        "refused-file", 0, "FILE", "file for refused rows, with reasons (" IMPORT_REFUSED_FILE ")" \
    }

/* Where rows come from: a CSV file, or a table of a database, whose rows are numbered. */
struct import_origin {
    char *name; /* owned: a path, or the name of the table */
    size_t table;
    long long refused; /* known after import_refusals_settle() */
};

struct import_refusals {
    struct cli *cli;
    bool is_csv;
    long long limit;
    long long count;
    size_t widest; /* most cells of a row that was refused */
    struct import_origin *origins;
    size_t origin_count;
};

/* What is known of a row. */
struct import_refusal {
    size_t origin;
    long long line;
    const char *column; /* or null */
    const char *reason;
    const char *key;  /* value of the row's first key column, for rows that refer to it; or null */
    const char *keys; /* the row's keys for people, "" if they are not known */
    size_t cells;
};

/* Reads the options and makes the temporary table; a transaction is open. False after an error. */
bool import_refusals_begin(struct import_refusals *refusals, struct cli *cli, bool is_csv);
void import_refusals_free(struct import_refusals *refusals);

/* Returns the place of the new origin. */
size_t import_refusals_add_origin(struct import_refusals *refusals, const char *name, size_t table);
bool import_refusals_add(struct import_refusals *refusals, const struct import_refusal *refusal);
/* There are so many that it is useless to look for more. */
bool import_refusals_is_full(const struct import_refusals *refusals);

/* Counts and lists the rows. Returns false if there are too many, and after an error. */
bool import_refusals_settle(struct import_refusals *refusals);
/*
 * Writes the rows to the file, if there are any: file, line, column, reason, and the cells of the
 * row, which are read from the CSV file again; for a row of a database its keys.
 */
bool import_refusals_save(struct import_refusals *refusals);

#endif
