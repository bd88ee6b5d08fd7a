/*
 * json_schema_format.c: the values of "format" that can be asserted.
 */
#include "compat.h"

#include "json_schema_format.h"

const JsonFormat *
json_format_find(const char *name)
{
    return NULL;
}

bool
json_format_holds(const JsonFormat *format, JsonValue string)
{
    return format->holds(string.data, string.length);
}
