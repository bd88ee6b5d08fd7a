/*
 * json/clean.c: makes JSON text that jsonb can hold of bytes that should be JSON.
 *
 * Others render objects with keys that nobody here reads. A lone surrogate in one of those must not
 * make the whole unreadable; that is what jsonb_in() and the JSON lexer of PostgreSQL do. So each
 * value is judged by itself. Nothing raises an error, except when memory is short.
 */
#include "extension/json/clean.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "extension/base/hex.h"
#include "extension/json/from_text.h"

/* As deep as a body of a request may be; objects of Stripe have ten levels. */
#define MAX_DEPTH 128
/* Far beyond what any column takes, and small enough for type numeric. */
#define MAX_NUMBER_LENGTH 1000
#define MAX_EXPONENT 400

typedef struct Cleaner {
    const char *at;
    const char *end;
    StringInfo out;
    int depth;
} Cleaner;

/* ---- places in the text ------------------------------------------------------------------- */

const char *
json_skip_space(const char *at, const char *end)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";

    while (at < end) {
        if (json_is_space(*at))
            at++;
        else if (end - at >= 3 && memcmp(at, byte_order_mark, 3) == 0)
            at += 3;
        else
            break;
    }
    return at;
}

const char *
json_skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
    }
    return NULL;
}

/* Behind a number or word, or what stands in the place of one. */
static const char *
skip_scalar(const char *at, const char *end)
{
    while (at < end && !json_is_space(*at) && (*at == '\0' || strchr(",:[]{}\"", *at) == NULL))
        at++;
    return at;
}

static const char *
skip_container(const char *at, const char *end)
{
    int64 depth = 0;

    while (at < end) {
        char c = *at;

        if (c == '"') {
            at = json_skip_string(at, end);
            if (at == NULL)
                return NULL;
            continue;
        }
        at++;
        if (c == '[' || c == '{') {
            CHECK_FOR_INTERRUPTS();
            depth++;
        } else if ((c == ']' || c == '}') && --depth == 0) {
            return at;
        }
    }
    return NULL;
}

const char *
json_skip_value(const char *at, const char *end)
{
    const char *behind;

    if (at == end)
        return NULL;
    if (*at == '"')
        return json_skip_string(at, end);
    if (*at == '[' || *at == '{')
        return skip_container(at, end);
    behind = skip_scalar(at, end);
    return behind == at ? NULL : behind;
}

/* ---- single values ---------------------------------------------------------------------- */

/* The code of an escape \uXXXX; -1 if it is none. */
static int
unicode_escape(const char *at, const char *end)
{
    int code = 0;

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_value((unsigned char)at[i]);

        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Behind the escape; NULL if it is none, or is no character that the database can have. */
static const char *
skip_escape(const char *at, const char *end)
{
    int code;

    if (end - at >= 2 && at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL)
        return at + 2;
    code = unicode_escape(at, end);
    if (code <= 0 || is_utf16_surrogate_second(code))
        return NULL;
    if (code >= 0x80 && GetDatabaseEncoding() != PG_UTF8)
        return NULL;
    if (!is_utf16_surrogate_first(code))
        return at + 6;
    code = unicode_escape(at + 6, end);
    return code >= 0 && is_utf16_surrogate_second(code) ? at + 12 : NULL;
}

bool
json_is_clean_text(const char *at, const char *end)
{
    const char *start = at;
    bool is_ascii = true;

    while (at < end) {
        unsigned char c = (unsigned char)*at;

        if (c < 0x20)
            return false;
        is_ascii = is_ascii && c < 0x80;
        at = c == '\\' ? skip_escape(at, end) : at + 1;
        if (at == NULL)
            return false;
    }
    return is_ascii || (GetDatabaseEncoding() == PG_UTF8 &&
                        pg_verify_mbstr(PG_UTF8, start, (int)(end - start), true));
}

static const char *
skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* The grammar of JSON, and the bounds above. */
static bool
is_number(const char *at, const char *end)
{
    const char *digits;
    int exponent = 0;

    if (end - at > MAX_NUMBER_LENGTH)
        return false;
    if (at < end && *at == '-')
        at++;
    digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at > digits + 1))
        return false;
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return false;
    }
    if (at == end || (*at != 'e' && *at != 'E'))
        return at == end;
    at++;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
        exponent = Min(exponent * 10 + (*at - '0'), MAX_EXPONENT + 1);
    return at == end && at > digits && exponent <= MAX_EXPONENT;
}

static bool
is_scalar(const char *at, const char *end)
{
    static const char *const words[] = {"null", "true", "false"};

    for (int i = 0; i < (int)lengthof(words); i++) {
        if ((Size)(end - at) == strlen(words[i]) && memcmp(at, words[i], end - at) == 0)
            return true;
    }
    return is_number(at, end);
}

/* Moves behind the value and appends it, or what stands for it. */
static bool
take(Cleaner *cleaner, const char *behind, bool is_readable)
{
    if (behind == NULL || behind == cleaner->at)
        return false;
    if (is_readable)
        appendBinaryStringInfo(cleaner->out, cleaner->at, (int)(behind - cleaner->at));
    else
        appendStringInfoString(cleaner->out, "[\"" JSON_UNREADABLE "\"]");
    cleaner->at = behind;
    return true;
}

/* ---- containers --------------------------------------------------------------------------- */

static bool clean_value(Cleaner *cleaner);

/* Moves behind the character, if it comes next. */
static bool
accept(Cleaner *cleaner, char c)
{
    cleaner->at = json_skip_space(cleaner->at, cleaner->end);
    if (cleaner->at == cleaner->end || *cleaner->at != c)
        return false;
    cleaner->at++;
    return true;
}

static bool
clean_array(Cleaner *cleaner)
{
    bool is_first = true;

    appendStringInfoChar(cleaner->out, '[');
    if (!accept(cleaner, ']')) {
        do {
            if (!is_first)
                appendStringInfoChar(cleaner->out, ',');
            is_first = false;
            if (!clean_value(cleaner))
                return false;
        } while (accept(cleaner, ','));
        if (!accept(cleaner, ']'))
            return false;
    }
    appendStringInfoChar(cleaner->out, ']');
    return true;
}

/* A member whose key cannot be text is left out. */
static bool
clean_member(Cleaner *cleaner, bool *is_first)
{
    const char *key;
    const char *behind;

    cleaner->at = json_skip_space(cleaner->at, cleaner->end);
    key = cleaner->at;
    behind = key < cleaner->end && *key == '"' ? json_skip_string(key, cleaner->end) : NULL;
    if (behind == NULL)
        return false;
    cleaner->at = behind;
    if (!accept(cleaner, ':'))
        return false;
    if (!json_is_clean_text(key + 1, behind - 1)) {
        cleaner->at = json_skip_space(cleaner->at, cleaner->end);
        cleaner->at = json_skip_value(cleaner->at, cleaner->end);
        return cleaner->at != NULL;
    }
    if (!*is_first)
        appendStringInfoChar(cleaner->out, ',');
    *is_first = false;
    appendBinaryStringInfo(cleaner->out, key, (int)(behind - key));
    appendStringInfoChar(cleaner->out, ':');
    return clean_value(cleaner);
}

static bool
clean_object(Cleaner *cleaner)
{
    bool is_first = true;

    appendStringInfoChar(cleaner->out, '{');
    if (!accept(cleaner, '}')) {
        do {
            if (!clean_member(cleaner, &is_first))
                return false;
        } while (accept(cleaner, ','));
        if (!accept(cleaner, '}'))
            return false;
    }
    appendStringInfoChar(cleaner->out, '}');
    return true;
}

static bool
clean_container(Cleaner *cleaner)
{
    bool is_object = *cleaner->at == '{';
    bool is_whole;

    if (cleaner->depth == MAX_DEPTH)
        return take(cleaner, json_skip_value(cleaner->at, cleaner->end), false);
    cleaner->depth++;
    cleaner->at++;
    is_whole = is_object ? clean_object(cleaner) : clean_array(cleaner);
    cleaner->depth--;
    return is_whole;
}

static bool
clean_value(Cleaner *cleaner)
{
    const char *behind;

    CHECK_FOR_INTERRUPTS();
    cleaner->at = json_skip_space(cleaner->at, cleaner->end);
    if (cleaner->at == cleaner->end)
        return false;
    if (*cleaner->at == '[' || *cleaner->at == '{')
        return clean_container(cleaner);
    behind = json_skip_value(cleaner->at, cleaner->end);
    if (*cleaner->at == '"')
        return take(cleaner, behind,
                    behind != NULL && json_is_clean_text(cleaner->at + 1, behind - 1));
    return take(cleaner, behind, behind != NULL && is_scalar(cleaner->at, behind));
}

bool
json_clean(const char *bytes, uint32 length, StringInfo out)
{
    Cleaner cleaner = {.at = bytes, .end = bytes + length, .out = out};

    if (!clean_value(&cleaner))
        return false;
    return json_skip_space(cleaner.at, cleaner.end) == cleaner.end;
}
