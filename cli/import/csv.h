/*
 * import/csv.h: a folder of CSV files as the source of an import, and the header of a CSV file.
 */
#ifndef CTMS_CLI_IMPORT_CSV_H
#define CTMS_CLI_IMPORT_CSV_H

#include <stdio.h>
#include "cli/import/import.h"

/* Looks into the folder. False after saying why not. */
bool import_csv_open(struct import *import, const char *folder);

/*
 * Reads the first line of a CSV file and cuts it into names, which it hands to take() one by
 * one. False at the end of the file, when the line is longer than 64 KiB, or when take() is false.
 */
bool import_csv_read_header(FILE *file, bool (*take)(void *arg, const char *name), void *arg);

#endif
