/*
 * json_schema_format.h: the values of "format" that can be asserted.
 */
#ifndef CTMS_JSON_SCHEMA_FORMAT_H
#define CTMS_JSON_SCHEMA_FORMAT_H

#include "json_value.h"

typedef struct JsonFormat {
    const char *name;
    bool (*holds)(const char *text, uint32 length);
} JsonFormat;

/* NULL when the format is not known: it asserts nothing then. */
extern const JsonFormat *json_format_find(const char *name);

extern bool json_format_holds(const JsonFormat *format, JsonValue string);

#endif
