/* json_split.c: finds the objects in a stream of JSON; see json_split.h. */
#include "cli/json_split.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static enum json_split_result __attribute__((format(printf, 2, 3)))
fail(struct json_split *split, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(split->error, sizeof(split->error), format, arguments);
    va_end(arguments);
    return JSON_SPLIT_INVALID;
}

static int
next_char(struct json_split *split)
{
    int c = getc_unlocked(split->file);

    split->line += c == '\n';
    return c;
}

/* Room for c and a final zero. */
static bool
append(struct json_split *split, int c)
{
    if (split->length + 2 > split->capacity) {
        size_t capacity = split->capacity ? 2 * split->capacity : 4096;
        char *text = capacity <= 2 * JSON_SPLIT_MAX ? realloc(split->text, capacity) : NULL;

        if (!text)
            return false;
        split->text = text;
        split->capacity = capacity;
    }
    split->text[split->length++] = (char)c;
    return split->length <= JSON_SPLIT_MAX;
}

/* Reads up to the bracket that closes the object. Its first bracket has been read. */
static enum json_split_result
read_object(struct json_split *split)
{
    unsigned long long first_line = split->line;
    size_t depth = 0;
    bool is_string = false;
    bool is_escaped = false;
    int c = '{';

    split->length = 0;
    for (;; c = next_char(split)) {
        if (c == EOF)
            return fail(split, "the object that begins in line %llu does not end", first_line);
        if (c == '\0')
            return fail(split, "line %llu has a zero byte", split->line);
        if (!append(split, c))
            return fail(split, "the object that begins in line %llu is larger than %zu MiB",
                        first_line, JSON_SPLIT_MAX >> 20);
        if (is_escaped)
            is_escaped = false;
        else if (is_string && c == '\\')
            is_escaped = true;
        else if (c == '"')
            is_string = !is_string;
        else if (!is_string && (c == '{' || c == '['))
            depth++;
        else if (!is_string && (c == '}' || c == ']') && --depth == 0)
            break;
    }
    split->text[split->length] = '\0';
    return JSON_SPLIT_OBJECT;
}

static enum json_split_result
at_end(struct json_split *split)
{
    if (ferror(split->file))
        return fail(split, "could not read: %s", strerror(errno));
    if (split->is_list)
        return fail(split, "the list does not end");
    return JSON_SPLIT_END;
}

/* Takes a character between objects. False if it is not allowed there. */
static bool
take_punctuation(struct json_split *split, int c)
{
    if (c == '[' && !split->is_list) {
        split->is_list = true;
    } else if (c == ',' && split->needs_comma) {
        split->needs_comma = false;
        split->needs_object = true;
    } else if (c == ']' && split->is_list && !split->needs_object) {
        split->is_list = false;
        split->needs_comma = false;
    } else {
        return false;
    }
    return true;
}

enum json_split_result
json_split_next(struct json_split *split)
{
    int c;

    if (split->error[0])
        return JSON_SPLIT_INVALID;
    while ((c = next_char(split)) != EOF) {
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        if (c == '{' && !split->needs_comma) {
            split->needs_comma = split->is_list;
            split->needs_object = false;
            return read_object(split);
        }
        if (!take_punctuation(split, c))
            return fail(split, "line %llu has \"%c\" where an object or a list of objects belongs",
                        split->line, c > 0x20 && c < 0x7f ? c : '?');
    }
    return at_end(split);
}

void
json_split_init(struct json_split *split, FILE *file)
{
    *split = (struct json_split){.file = file, .line = 1};
}

void
json_split_free(struct json_split *split)
{
    free(split->text);
    split->text = NULL;
}
