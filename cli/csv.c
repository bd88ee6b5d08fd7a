/*
 * csv.c: CSV fields and rows.
 */
#include "cli/csv.h"

#include <string.h>
#include <unistd.h>
#include "common/buf.h"

/* Files that ctms writes are regular ones, so only standard output may be a terminal. */
static bool
is_terminal(FILE *file)
{
    static int is_stdout_one = -1;

    if (is_stdout_one < 0)
        is_stdout_one = isatty(STDOUT_FILENO);
    return file == stdout && is_stdout_one;
}

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

/* before: "" or what makes the text safe for a spreadsheet. */
static void
write_field(FILE *file, const char *before, const char *text, bool is_first)
{
    buf visible = BUF_INIT;

    /* A file gets the text as it is; on a terminal it must not do anything. */
    if (is_terminal(file)) {
        buf_append_visible(&visible, text, strlen(text));
        text = buf_text(&visible);
    }
    if (!is_first)
        fputc(',', file);
    if (*before || text[strcspn(text, ",\"\r\n")])
        write_quoted(file, before, text);
    else
        fputs(text, file);
    buf_free(&visible);
}

void
csv_write_field(FILE *file, const char *text, bool is_first)
{
    write_field(file, "", text, is_first);
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
    write_field(file, is_formula(text) ? "'" : "", text, is_first);
}

void
csv_end_row(FILE *file)
{
    fputc('\n', file);
}
