/*
 * base/utf8.h: UTF-8 code point by code point, and the way between it and the encoding of the
 * database. Regular expressions, the formats of strings and the reader of JSON text use it.
 */
#ifndef CTMS_UTF8_H
#define CTMS_UTF8_H

#include "extension/base/compat.h"

#include "lib/stringinfo.h"

#define MAX_CODE_POINT 0x10FFFFU

/* One code point of UTF-8, moving *at; a stray byte stands for itself. */
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

/* The code point that ends at *at, which is behind the start, moving *at to where it begins. */
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

/* Text of the database as UTF-8: the same pointer where it is already, or else a copy with
 * *length set to its length. */
extern const char *utf8_of_server(const char *text, uint32 *length);

/* Appends the code point in the encoding of the database; 0 is a zero byte. An error when the
 * encoding lacks it. */
extern void utf8_append_to_server(StringInfo out, uint32 code_point);

#endif
