/*
 * json_schema/format/format.c: finds the check for a value of "format", and has the checks that
 * need only a few lines.
 */
#include "extension/base/compat.h"

#include "utils/memutils.h"

#include "extension/base/utf8.h"
#include "extension/json_schema/format/format.h"
#include "extension/regex/regex.h"

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool
format_uuid(const char *text, uint32 length)
{
    if (length != 36)
        return false;
    for (uint32 i = 0; i < length; i++) {
        bool is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_hyphen ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

bool
format_json_pointer(const char *text, uint32 length)
{
    if (length > 0 && text[0] != '/')
        return false;
    for (uint32 i = 0; i < length; i++)
        if (text[i] == '~' && (i + 1 >= length || (text[i + 1] != '0' && text[i + 1] != '1')))
            return false;
    return true;
}

bool
format_relative_json_pointer(const char *text, uint32 length)
{
    uint32 i = 0;

    while (i < length && is_digit(text[i]))
        i++;
    if (i == 0 || (i > 1 && text[0] == '0'))
        return false;
    if (i + 1 == length && text[i] == '#')
        return true;
    return format_json_pointer(text + i, length - i);
}

bool
format_regex(const char *text, uint32 length)
{
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "format regex", ALLOCSET_SMALL_SIZES);
    MemoryContext old = MemoryContextSwitchTo(scratch);
    char *error = NULL;
    bool holds = regex_compile(text, length, &error) != NULL;

    MemoryContextSwitchTo(old);
    MemoryContextDelete(scratch);
    return holds;
}

#define ROW(name, holds) {name, holds},

static const JsonSchemaFormat formats[] = {FORMATS(ROW)};

const JsonSchemaFormat *
format_find(const char *name, int draft)
{
    static const JsonSchemaFormat plain_hostname = {"hostname", format_plain_hostname};

    if (draft < 7 && strcmp(name, plain_hostname.name) == 0)
        return &plain_hostname;
    for (int i = 0; i < (int)lengthof(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

bool
format_holds(const JsonSchemaFormat *format, JsonValue string)
{
    uint32 length = string.length;
    const char *text = utf8_of_server(string.data, &length);
    bool holds = format->holds(text, length);

    if (text != string.data)
        pfree((char *)text);
    return holds;
}
