/*
 * bulk/refused.c: see bulk/refused.h. What is known, and what is guessed, of the form of the file
 * is in docs/decisions/acoustic-imports.md.
 */
#include "bulk/refused.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "acoustic/classify.h"
#include "acoustic/reader.h"
#include "acoustic/redact.h"
#include "common/csv_reader.h"
#include "common/utf8.h"

enum {
    NO_CELL = -1,
    UUID_LENGTH = 36,
    TEXT_MAX = 4096,   /* of a cell, as far as it is looked at */
    VALUE_MAX = 200,   /* of a value, of which the whole is looked for */
    VALUE_PREFIX = 64, /* of a longer one */
};

typedef struct layout {
    int email_id; /* columns; NO_CELL when the file does not name them */
    int reason;
    int line;
} layout;

/* ---- columns ---------------------------------------------------------------------- */

static bool
is_one_of(const char *cell, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasecmp(cell, *words) == 0)
            return true;
    }
    return false;
}

/* True when the row names columns; else it is a refused one. */
static bool
read_header(const struct csv_reader *csv, layout *columns)
{
    static const char *const ids[] = {"email_id", NULL};
    static const char *const reasons[] = {
        "reason", "error", "message", "description", "error_message", "error message", NULL};
    static const char *const lines[] = {"line", "row", "line_number", "row_number", NULL};

    *columns = (layout){NO_CELL, NO_CELL, NO_CELL};
    for (size_t i = 0; i < csv->count; i++) {
        const char *cell = csv_reader_cell(csv, i);

        if (columns->email_id == NO_CELL && is_one_of(cell, ids))
            columns->email_id = (int)i;
        else if (columns->reason == NO_CELL && is_one_of(cell, reasons))
            columns->reason = (int)i;
        else if (columns->line == NO_CELL && is_one_of(cell, lines))
            columns->line = (int)i;
    }
    return columns->email_id != NO_CELL || columns->reason != NO_CELL;
}

/* ---- whose ------------------------------------------------------------------------ */

/* Copies it in lower case; false when it is none. */
static bool
take_uuid(const char *cell, char *uuid)
{
    if (strlen(cell) != UUID_LENGTH)
        return false;
    for (int i = 0; i < UUID_LENGTH; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? cell[i] != '-' : strchr("0123456789abcdefABCDEF", cell[i]) == NULL)
            return false;
        uuid[i] = (char)(is_dash ? '-' : cell[i] | 0x20);
    }
    uuid[UUID_LENGTH] = '\0';
    return true;
}

/* The contact of a row, and the cell that names it. Where no column does, it is the first UUID: a
 * contact's row has others behind. */
static int
find_contact(const struct csv_reader *csv, const layout *columns, char *uuid)
{
    if (columns->email_id != NO_CELL)
        return (size_t)columns->email_id < csv->count &&
                       take_uuid(csv_reader_cell(csv, (size_t)columns->email_id), uuid)
                   ? columns->email_id
                   : NO_CELL;
    for (size_t i = 0; i < csv->count; i++) {
        if (take_uuid(csv_reader_cell(csv, i), uuid))
            return (int)i;
    }
    return NO_CELL;
}

/* ---- why -------------------------------------------------------------------------- */

/* A text of several words, one of which complains. Values of contacts have blanks too, and those
 * must not be taken for a reason. */
static bool
is_complaint(const char *cell)
{
    static const char *const words[] = {"invalid",  "error",    "missing",   "not ",   "duplicate",
                                        "too long", "required", "reject",    "refuse", "exceed",
                                        "cannot",   "could",    "malformed", "failed", "unable"};

    if (strchr(cell, ' ') == NULL || strchr(cell, '@') != NULL)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcasestr(cell, words[i]) != NULL)
            return true;
    }
    return false;
}

static int
find_reason(const struct csv_reader *csv, const layout *columns)
{
    if (columns->reason != NO_CELL)
        return (size_t)columns->reason < csv->count ? columns->reason : NO_CELL;
    for (size_t i = 0; i < csv->count; i++) {
        if (is_complaint(csv_reader_cell(csv, i)))
            return (int)i;
    }
    return NO_CELL;
}

static void
redact(char *reason, const char *value)
{
    char part[VALUE_PREFIX + 1];
    char *found;

    if (strlen(value) <= VALUE_MAX) {
        if (strcasecmp(value, "yes") != 0)
            acoustic_redact_value(reason, value);
        return;
    }
    /* Where it begins, the reason ends: the value may be cut there. */
    memcpy(part, value, VALUE_PREFIX);
    part[VALUE_PREFIX] = '\0';
    found = strcasestr(reason, part);
    if (found != NULL)
        *found = '\0';
}

/* The reason without what it says about the person: addresses, and values of the row. */
static void
take_reason(const struct csv_reader *csv, const layout *columns, int contact, int from,
            char reason[REFUSED_REASON_MAX + 1])
{
    char text[TEXT_MAX], value[TEXT_MAX];

    acoustic_reader_copy(text, sizeof(text), csv_reader_cell(csv, (size_t)from));
    acoustic_redact_addresses(text);
    for (int i = 0; (size_t)i < csv->count; i++) {
        if (i == from || i == contact || i == columns->line)
            continue;
        acoustic_reader_copy(value, sizeof(value), csv_reader_cell(csv, (size_t)i));
        redact(text, value);
    }
    acoustic_reader_copy(reason, REFUSED_REASON_MAX + 1, text);
}

/* ---- rows ------------------------------------------------------------------------- */

static bool
take_row(const struct csv_reader *csv, const layout *columns, refused_row row, void *arg,
         refused_counts *counts)
{
    char uuid[UUID_LENGTH + 1];
    char reason[REFUSED_REASON_MAX + 1] = "";
    int contact = find_contact(csv, columns, uuid);
    int from = find_reason(csv, columns);
    verdict v;

    counts->rows++;
    if (contact == NO_CELL) {
        counts->unknown++;
        return true;
    }
    if (from != NO_CELL && from != contact)
        take_reason(csv, columns, contact, from, reason);
    v = classify_refused(reason);
    return row(arg, uuid, *reason != '\0' ? reason : "Acoustic gave no reason",
               v.class != CLASS_CONTACT);
}

bool
refused_read(const char *path, refused_row row, void *arg, refused_counts *counts, char *message,
             size_t size)
{
    FILE *file = fopen(path, "re");
    struct csv_reader csv;
    enum csv_reader_result result;
    layout columns = {NO_CELL, NO_CELL, NO_CELL};
    bool is_first = true, is_wanted = true, is_readable = true;

    *counts = (refused_counts){0};
    if (file == NULL) {
        snprintf(message, size, "could not read %s: %s", path, strerror(errno));
        return false;
    }
    csv_reader_init(&csv, file);
    while (is_wanted && (result = csv_reader_next(&csv)) != CSV_READER_END) {
        if (result == CSV_READER_FAILED) {
            /* What cannot be read as CSV is somebody's row too. */
            is_readable = !ferror(file);
            counts->rows++;
            counts->unknown++;
            break;
        }
        if (!is_first || !read_header(&csv, &columns))
            is_wanted = take_row(&csv, &columns, row, arg, counts);
        is_first = false;
    }
    if (!is_readable)
        snprintf(message, size, "%s %s", path, csv.problem);
    csv_reader_free(&csv);
    fclose(file);
    return is_readable;
}
