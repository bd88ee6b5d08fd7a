/*
 * csv.c: CSV fields and rows.
 */
#include "cli/csv.h"

#include <string.h>

void
csv_write_field(FILE *file, const char *text, bool is_first)
{
    if (!is_first)
        fputc(',', file);
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

void
csv_end_row(FILE *file)
{
    fputc('\n', file);
}
