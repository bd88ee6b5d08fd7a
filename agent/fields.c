/*
 * fields.c: see fields.h.
 */
#include "agent/fields.h"

#include <string.h>

#include "common/hex.h"

void
fields_begin(fields *f, const char *json, size_t length)
{
    *f = (fields){.at = json, .end = json + length, .is_first = true};
}

static bool
broken(fields *f)
{
    f->is_broken = true;
    return false;
}

static void
skip_blanks(fields *f)
{
    while (f->at < f->end && (*f->at == ' ' || *f->at == '\n' || *f->at == '\t' || *f->at == '\r'))
        f->at++;
}

/* Skips blanks, and takes the next character if it is c. */
static bool
take(fields *f, char c)
{
    skip_blanks(f);
    if (f->at == f->end || *f->at != c)
        return false;
    f->at++;
    return true;
}

/* The value of four hexadecimal digits, -1 if they are not there. */
static int
take_hex(fields *f)
{
    int value = 0;

    if (f->end - f->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*f->at++);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void
append_character(buf *text, unsigned code)
{
    if (code < 0x80) {
        buf_append_char(text, (char)code);
    } else if (code < 0x800) {
        buf_append_char(text, (char)(0xC0 | code >> 6));
        buf_append_char(text, (char)(0x80 | (code & 0x3F)));
    } else if (code < 0x10000) {
        buf_append_char(text, (char)(0xE0 | code >> 12));
        buf_append_char(text, (char)(0x80 | (code >> 6 & 0x3F)));
        buf_append_char(text, (char)(0x80 | (code & 0x3F)));
    } else {
        buf_append_char(text, (char)(0xF0 | code >> 18));
        buf_append_char(text, (char)(0x80 | (code >> 12 & 0x3F)));
        buf_append_char(text, (char)(0x80 | (code >> 6 & 0x3F)));
        buf_append_char(text, (char)(0x80 | (code & 0x3F)));
    }
}

/* Reads what follows "\u": a character, or the first half of a surrogate pair. */
static bool
take_unicode(fields *f, buf *text)
{
    int code = take_hex(f);

    if (code <= 0) /* a NUL would end the text */
        return broken(f);
    if (code >= 0xDC00 && code <= 0xDFFF)
        return broken(f);
    if (code >= 0xD800 && code <= 0xDBFF) {
        int low;

        if (f->end - f->at < 2 || f->at[0] != '\\' || f->at[1] != 'u')
            return broken(f);
        f->at += 2;
        low = take_hex(f);
        if (low < 0xDC00 || low > 0xDFFF)
            return broken(f);
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_character(text, (unsigned)code);
    return true;
}

static bool
take_escape(fields *f, buf *text)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (f->at == f->end)
        return broken(f);
    if (*f->at == 'u') {
        f->at++;
        return take_unicode(f, text);
    }
    letter = *f->at != '\0' ? strchr(letters, *f->at++) : NULL;
    if (letter == NULL)
        return broken(f);
    buf_append_char(text, meanings[letter - letters]);
    return true;
}

/* Reads the rest of a string, after its opening quote. */
static bool
take_string(fields *f, buf *text)
{
    buf_reset(text);
    for (;;) {
        const char *start = f->at;

        while (f->at < f->end && *f->at != '"' && *f->at != '\\' && (unsigned char)*f->at >= ' ')
            f->at++;
        buf_append(text, start, (size_t)(f->at - start));
        if (f->at == f->end)
            return broken(f);
        if (*f->at == '"') {
            f->at++;
            return true;
        }
        if (*f->at != '\\')
            return broken(f);
        f->at++;
        if (!take_escape(f, text))
            return false;
    }
}

/* Reads a number or a word: everything up to the next comma or brace. */
static bool
take_literal(fields *f)
{
    const char *start = f->at;

    while (f->at < f->end && strchr("+-.0123456789Eaeflnrstu", *f->at) != NULL && *f->at != '\0')
        f->at++;
    if (f->at == start)
        return broken(f);
    buf_reset(&f->value);
    if (f->at - start != 4 || memcmp(start, "null", 4) != 0)
        buf_append(&f->value, start, (size_t)(f->at - start));
    return true;
}

bool
fields_next(fields *f)
{
    if (f->is_broken || f->is_over)
        return false;
    if (f->is_first && !take(f, '{'))
        return broken(f);
    if (take(f, '}')) {
        skip_blanks(f);
        f->is_over = true;
        return f->at == f->end ? false : broken(f);
    }
    if (!f->is_first && !take(f, ','))
        return broken(f);
    f->is_first = false;
    if (!take(f, '"') || !take_string(f, &f->name) || !take(f, ':'))
        return broken(f);
    return take(f, '"') ? take_string(f, &f->value) : take_literal(f);
}

bool
fields_end(fields *f)
{
    buf_free(&f->name);
    buf_free(&f->value);
    return f->is_over && !f->is_broken;
}
