/*
 * error_text.c: turns the JSON error lists of the extension into readable lines.
 */
#include "cli/error_text.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

/* As many errors as help a reader; the rest is counted. */
#define MAX_LINES 20

static void
print_plain(FILE *stream, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");

        fprintf(stream, "  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

/* ["body", "newsletters", 0, "name"] becomes body.newsletters[0].name */
static void
print_loc(FILE *stream, const json_t *loc)
{
    size_t i;
    json_t *step;

    json_array_foreach(loc, i, step)
    {
        if (json_is_integer(step))
            fprintf(stream, "[%" JSON_INTEGER_FORMAT "]", json_integer_value(step));
        else if (json_is_string(step))
            fprintf(stream, "%s%s", i > 0 ? "." : "", json_string_value(step));
    }
}

static const char *
member(const json_t *entry, const char *name)
{
    return json_string_value(json_object_get(entry, name));
}

/* False when the entry has neither of the two shapes. */
static bool
print_entry(FILE *stream, const json_t *entry)
{
    const char *message = member(entry, "msg");
    const json_t *loc = json_object_get(entry, "loc");
    const char *place = member(entry, "instanceLocation");
    const char *rule = member(entry, "keywordLocation");

    if (message && json_is_array(loc)) {
        fputs("  at ", stream);
        print_loc(stream, loc);
        fprintf(stream, ": %s\n", message);
        return true;
    }
    message = member(entry, "error");
    if (!message || !(place || rule))
        return false;
    fprintf(stream, "  at %s: %s", !place ? rule : *place ? place : "the top", message);
    if (place && rule && *rule)
        fprintf(stream, " (schema: %s)", rule);
    fputc('\n', stream);
    return true;
}

void
error_text_detail(FILE *stream, const char *detail)
{
    json_t *list = *detail == '[' ? json_loads(detail, 0, NULL) : NULL;
    size_t i;
    json_t *entry;
    bool is_known = json_is_array(list) && json_array_size(list) > 0;

    json_array_foreach(list, i, entry)
    {
        if (i >= MAX_LINES) {
            fprintf(stream, "  and %zu more\n", json_array_size(list) - i);
            break;
        }
        is_known = is_known && print_entry(stream, entry);
        if (!is_known)
            break;
    }
    if (!is_known)
        print_plain(stream, detail);
    json_decref(list);
}
