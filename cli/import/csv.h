/*
 * import/csv.h: a folder of CSV files as the source of an import, and the header of a CSV file.
 */
#ifndef CTMS_CLI_IMPORT_CSV_H
#define CTMS_CLI_IMPORT_CSV_H

#include <stdio.h>
#include "cli/import/import.h"

/* Opens the folder as the source. Returns false after reporting why it cannot. */
bool import_csv_open(struct import *import, const char *folder);

/*
 * Reads the first line of a CSV file and passes its names to take() one by one. False at the end of
 * the file, when the line is longer than 64 KiB, or when take() returns false.
 */
bool import_csv_read_header(FILE *file, bool (*take)(void *arg, const char *name), void *arg);

#endif
