/*
 * json_schema/sql/text.h: JSON text to the layout of jsonb, for text that jsonb itself refuses.
 */
#ifndef CTMS_JSON_SCHEMA_TEXT_H
#define CTMS_JSON_SCHEMA_TEXT_H

#include "extension/base/compat.h"

#include "utils/jsonb.h"

/*
 * Reads text that type json has accepted. "\u0000" becomes a zero byte inside the string:
 * the result is for reading in place and must not be stored or shown as jsonb.
 */
extern Jsonb *json_schema_text_parse(const char *text, uint32 length);

#endif
