/*
 * base/utf8.h: reads UTF-8 code point by code point, and converts between it and the encoding of
 * the database. Used by regular expressions, the formats of strings and the reader of JSON text.
 */
#ifndef CTMS_UTF8_H
#define CTMS_UTF8_H

#include "extension/base/compat.h"

#include "lib/stringinfo.h"

#define MAX_CODE_POINT 0x10FFFFU

/*
 * Reads one code point of UTF-8 and moves *at behind it. A stray byte is returned as its own
 * value.
 */
static inline uint32
utf8_decode(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *p = *at;
    uint32 c = *p++;
    int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF8 ? 3 : 0;

    if (more > 0 && end - p >= more) {
        c &= 0x3F >> more;
        while (more-- > 0)
            c = (c << 6) | (*p++ & 0x3F);
    }
    *at = p;
    return c;
}

/*
 * Reads the code point that ends just before *at, and moves *at back to its start. *at must be
 * behind the start of the text.
 */
static inline uint32
utf8_decode_before(const unsigned char **at, const unsigned char *start, const unsigned char *end)
{
    const unsigned char *p = *at;

    do
        p--;
    while (p > start && (*p & 0xC0) == 0x80);
    *at = p;
    return utf8_decode(&p, end);
}

/*
 * Text of the database as UTF-8. Returns the same pointer when it is UTF-8 already; otherwise a
 * copy, and *length becomes the length of that copy.
 */
extern const char *utf8_of_server(const char *text, uint32 *length);

/*
 * Appends the code point in the encoding of the database; 0 is a zero byte. Raises an error when
 * the encoding does not have it.
 */
extern void utf8_append_to_server(StringInfo out, uint32 code_point);

#endif
