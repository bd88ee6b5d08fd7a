/*
 * import/import.h: brings the rows of another database, or of CSV files, into this one.
 *
 * All of it is one transaction of ours: an import happens as a whole or not at all. Rows are
 * copied into temporary tables (stage.sql), brought into our form (rules.sql),
 * checked (check.sql) and stored (store.sql). Memory does not grow with them.
 */
#ifndef CTMS_CLI_IMPORT_H
#define CTMS_CLI_IMPORT_H

#include "cli/cli.h"

/* A table of the source. */
struct import_table {
    const char *name;
    const char *keys;  /* what makes a row one of a kind, as an SQL array */
    const char *order; /* rows that are read in this order are stored faster */
    const char
        *csv_names; /* what the sample data calls it: part of a file's name, prefix of columns */
    bool is_stored; /* under its name; else the rules make something else of it */
};

extern const struct import_table import_tables[];
#define IMPORT_TABLE_COUNT 18

/* What becomes of a table. */
struct import_count {
    bool is_found; /* the source has it */
    char *given;   /* columns that it has, as an SQL array; owned */
    long long read;
    long long left_out;
    long long before;
    long long created;
    long long updated;
    long long after;
};

struct import;

/* Where rows come from. Functions report what goes wrong, and set cli->status. */
struct import_source {
    /* Copies a table into its temporary one, if there is such a table; calls import_copy_*. */
    bool (*stage)(struct import *import, size_t table);
    /* When everything has been copied. */
    void (*close)(struct import *import);
};

struct import {
    struct cli *cli;
    const struct import_source *source;
    void *from; /* the source's own */
    struct import_count counts[IMPORT_TABLE_COUNT];
    long long enqueued;
};

/* Runs an import and reports it; returns cli->status. Takes the options of `ctms import`. */
int import_run(struct import *import);

/* ---- for sources ------------------------------------------------------------- */

/* Whether the temporary table has this column. Notes it as given. */
bool import_take_column(struct import *import, size_t table, const char *column);
/* Begins a COPY of these columns (SQL); options is "" or what COPY takes. */
bool
import_copy_begin(struct import *import, size_t table, const char *columns, const char *options);
bool import_copy_data(struct import *import, const char *data, size_t length);
/* Ends it. A cause that is not null cancels it: the caller has reported that. */
bool import_copy_end(struct import *import, size_t table, const char *cause);

#endif
