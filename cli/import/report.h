/* import/report.h: what `ctms import` reports about an import. import.c calls it. */
#ifndef CTMS_CLI_IMPORT_REPORT_H
#define CTMS_CLI_IMPORT_REPORT_H

#include "cli/import/import.h"

/* Prints notes and problems. Returns false when there are problems: the import is refused. */
bool import_report_check(struct import *import);

/* Writes the rows that were left out to a file, if there are any. Returns false after an error. */
bool import_report_save_left_out(struct import *import);

/* Rows of each table: in the source, here before, here now. */
void import_report_print_counts(const struct import *import, bool is_dry_run);

#endif
