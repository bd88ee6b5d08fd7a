/*
 * import/csv.h: a folder of CSV files as the source of an import, and the reading of one file with
 * names of columns.
 */
#ifndef CTMS_CLI_IMPORT_CSV_H
#define CTMS_CLI_IMPORT_CSV_H

#include "cli/import/import.h"

/* Opens the folder as the source. Returns false after reporting why it cannot. */
bool import_csv_open(struct import *import, const char *folder);

/*
 * Reads a file into rows. take() gets the names in its first line, in lower case and without blanks
 * around them; it adds the column to rows, or returns false if it does not know the name. tables:
 * what has these columns, for the message about an unknown one. Returns false when it is useless to
 * go on: after an error, which is reported, or when very many rows are refused.
 */
bool import_csv_read(struct import_rows *rows, const char *path, const char *tables,
                     bool (*take)(void *arg, const char *name), void *arg);

#endif
