/*
 * json/from_text.h: turns JSON text into the layout of jsonb, even text that jsonb itself rejects.
 */
#ifndef CTMS_JSON_FROM_TEXT_H
#define CTMS_JSON_FROM_TEXT_H

#include "extension/base/compat.h"

#include "utils/jsonb.h"

/*
 * Reads text that type json has accepted, in the encoding of the database, into the bytes that
 * jsonb_in() would make of it. "\u0000" becomes a zero byte inside the string; a result that may
 * have one is only for reading in place, and must not be stored or shown as jsonb.
 *
 * Takes little more memory than the result. An error (54000) if that is more than is allowed.
 */
extern Jsonb *json_from_text(const char *text, uint32 length);

/* White space between the tokens of JSON text. */
static inline bool
json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif
