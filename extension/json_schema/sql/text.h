/*
 * json_schema/sql/text.h: turns JSON text into the layout of jsonb, even text that jsonb itself
 * rejects.
 */
#ifndef CTMS_JSON_SCHEMA_TEXT_H
#define CTMS_JSON_SCHEMA_TEXT_H

#include "extension/base/compat.h"

#include "utils/jsonb.h"

/*
 * Reads text that type json has accepted. "\u0000" becomes a zero byte inside the string. The
 * result is only for reading in place; it must not be stored or shown as jsonb.
 */
extern Jsonb *json_schema_text_parse(const char *text, uint32 length);

#endif
