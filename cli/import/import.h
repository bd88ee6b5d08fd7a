/*
 * import/import.h: brings the rows of another database, or of CSV files, into this one.
 * cmd_import.c calls it.
 *
 * An import is one transaction, so it happens completely or not at all. Rows are copied into
 * temporary tables (stage.sql); those that cannot be stored are refused (refuse.sql). The others
 * are brought into our form (rules.sql), checked (check.sql) and stored (store.sql). The memory
 * used does not depend on their number.
 */
#ifndef CTMS_CLI_IMPORT_H
#define CTMS_CLI_IMPORT_H

#include "cli/cli.h"
#include "cli/import/refusals.h"
#include "cli/import/rows.h"

/* A table of the source. */
struct import_table {
    const char *name;
    const char *keys;  /* columns that identify a row, as an SQL array */
    const char *order; /* rows that are read in this order are stored faster */
    /* Its name in the sample data: a part of a file's name and the prefix of columns. */
    const char *csv_names;
    bool is_stored; /* under its name; otherwise the rules convert the rows */
};

extern const struct import_table import_tables[];
#define IMPORT_TABLE_COUNT 18

/* The numbers of rows of a table. */
struct import_count {
    bool is_found; /* the source has this table */
    char *given;   /* the columns that the source has, as an SQL array; owned */
    long long read;
    long long left_out;
    long long refused;
    long long before;
    long long created;
    long long updated;
    long long kept; /* rows here that differ and are not older */
    long long after;
};

struct import;

/* A source of rows. Its functions report errors and set cli->status. */
struct import_source {
    /* Copies a table into its temporary table, if the source has it. False also when so many rows
     * are refused that it is useless to go on. */
    bool (*stage)(struct import *import, size_t table);
    /* Called when everything has been copied. */
    void (*close)(struct import *import);
};

struct import {
    struct cli *cli;
    const struct import_source *source;
    void *from; /* private data of the source */
    struct import_count counts[IMPORT_TABLE_COUNT];
    struct import_refusals refusals;
    long long enqueued;
};

/* Runs an import and reports it; returns cli->status. Takes the options of `ctms import`. */
int import_run(struct import *import, bool is_csv);

/* ---- for sources ------------------------------------------------------------- */

/* Begins with rows of a file or of a table of the source. The caller adds columns and rows, calls
 * import_end_rows() and import_rows_free(). */
void import_begin_rows(struct import *import, struct import_rows *rows, size_t table,
                       const char *origin);
/* True if the temporary table has this column, which is then added to the rows. */
bool import_take_column(struct import *import, struct import_rows *rows, size_t table,
                        const char *column);
/* Counts the rows, and sends the last of them if is_going. Returns false when it is useless to go
 * on. */
bool import_end_rows(struct import *import, struct import_rows *rows, size_t table, bool is_going);

#endif
