/*
 * csv.c: CSV fields and rows.
 */
#include "cli/csv.h"

#include <string.h>

static void
write_quoted(FILE *file, const char *before, const char *text)
{
    fprintf(file, "\"%s", before);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

void
csv_write_field(FILE *file, const char *text, bool is_first)
{
    if (!is_first)
        fputc(',', file);
    if (text[strcspn(text, ",\"\r\n")])
        write_quoted(file, "", text);
    else
        fputs(text, file);
}

/* Such as -5 or -1.5e+20, which a spreadsheet takes for just that. */
static bool
is_negative_number(const char *text)
{
    static const char digits[] = "0123456789";
    size_t length = *text == '-' ? strspn(text + 1, digits) : 0;

    if (length == 0)
        return false;
    text += 1 + length;
    if (*text == '.' && strspn(text + 1, digits) > 0)
        text += 1 + strspn(text + 1, digits);
    if (*text == 'e' || *text == 'E') {
        const char *exponent = text + 1 + strspn(text + 1, "+-");

        if (exponent - text <= 2 && strspn(exponent, digits) > 0)
            text = exponent + strspn(exponent, digits);
    }
    return !*text;
}

/* A spreadsheet would take it for one, or would have before it was made safe. */
static bool
is_formula(const char *text)
{
    static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};

    if (is_negative_number(text))
        return false;
    text += strspn(text, "'");
    if (*text && strchr("=+-@\t\r\n", *text))
        return true;
    for (size_t i = 0; i < sizeof(wide) / sizeof(*wide); i++) {
        if (strncmp(text, wide[i], strlen(wide[i])) == 0)
            return true;
    }
    return false;
}

void
csv_write_safe_field(FILE *file, const char *text, bool is_first)
{
    if (!is_formula(text)) {
        csv_write_field(file, text, is_first);
        return;
    }
    if (!is_first)
        fputc(',', file);
    write_quoted(file, "'", text);
}

void
csv_end_row(FILE *file)
{
    fputc('\n', file);
}
