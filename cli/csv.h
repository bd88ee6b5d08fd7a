/*
 * csv.h: writes CSV (RFC 4180, but with plain line feeds).
 */
#ifndef CTMS_CLI_CSV_H
#define CTMS_CLI_CSV_H

#include <stdbool.h>
#include <stdio.h>

/* Writes one field, in quotes if its content needs them. is_first: no comma before it. */
void csv_write_field(FILE *file, const char *text, bool is_first);
void csv_end_row(FILE *file);

#endif
