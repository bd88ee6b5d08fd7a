/* import/reason.c: see import/reason.h. */
#include "cli/import/reason.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value does not fit (22), or is too large or too deep (54). */
static bool
is_about_value(const char *state)
{
    return state && (strncmp(state, "22", 2) == 0 || strncmp(state, "54", 2) == 0);
}

/*
 * The context is "COPY table, line 5, column name: …" in the language of the server. The table's
 * name finds the place, because lines before it may be about something in the value: JSON has a
 * "line 1", too.
 */
bool
import_reason_find_place(const PGresult *result, const char *table,
                         struct import_reason_place *place)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *found = context ? strstr(context, table) : NULL;
    char *end;

    if (!found || !is_about_value(PQresultErrorField(result, PG_DIAG_SQLSTATE)))
        return false;
    found += strlen(table);
    found += strcspn(found, "0123456789\n");
    place->line = strtoul(found, &end, 10);
    snprintf(place->column, sizeof(place->column), "%.*s", (int)strcspn(end, ":\n"), end);
    return place->line > 0;
}

void
import_reason_write(char *text, size_t size, const PGresult *result, const char *type)
{
    static const struct {
        const char *state;
        const char *phrase;
    } phrases[] = {
        {"22P02", "is not a valid"},
        {"22007", "is not a valid"},
        {"22008", "is out of the range of"},
        {"22003", "is out of the range of"},
        {"22001", "is too long for"},
        {"22P05", "has \\u0000, or another character that cannot be in"},
    };
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *phrase = "cannot be stored as";

    if (strncmp(state, "54", 2) == 0)
        phrase = "is too large or too deep for";
    for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
        if (strcmp(phrases[i].state, state) == 0)
            phrase = phrases[i].phrase;
    snprintf(text, size, "%s %s (%s)", phrase, type ? type : "its column", state);
}
