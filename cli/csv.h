/*
 * csv.h: writes CSV (RFC 4180, but with plain line feeds). On a terminal values are shown as by
 * output_text().
 */
#ifndef CTMS_CLI_CSV_H
#define CTMS_CLI_CSV_H

#include <stdbool.h>
#include <stdio.h>

/* Writes one field, in quotes if its content needs them. is_first: no comma before it. */
void csv_write_field(FILE *file, const char *text, bool is_first);
/*
 * The same for a file that people open in a spreadsheet: a text that it would take for a formula
 * gets an apostrophe in front and quotes, as OWASP recommends against CSV injection. These texts
 * begin with = + - @ (also in full width), tab, CR or LF, or with apostrophes and one of those. So
 * it can be undone: such a text without its first apostrophe is what it was.
 */
void csv_write_safe_field(FILE *file, const char *text, bool is_first);
void csv_end_row(FILE *file);

#endif
