/* buf.c: a growable run of bytes, and text written into it as JSON or for people. */
#include "common/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

static void __attribute__((noreturn)) out_of_memory(void)
{
    static const char message[] = "out of memory\n";

    fwrite(message, 1, sizeof(message) - 1, stderr);
    abort();
}

void *
xmalloc(size_t size)
{
    void *memory = malloc(size ? size : 1);

    if (memory == NULL)
        out_of_memory();
    return memory;
}

void *
xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);

    if (memory == NULL)
        out_of_memory();
    return memory;
}

void *
xrealloc(void *memory, size_t size)
{
    memory = realloc(memory, size ? size : 1);
    if (memory == NULL)
        out_of_memory();
    return memory;
}

char *
xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *
xstrndup(const char *text, size_t length)
{
    char *copy = xmalloc(length + 1);

    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void
buf_free(buf *b)
{
    free(b->data);
    *b = (buf)BUF_INIT;
}

void
buf_reset(buf *b)
{
    b->length = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void
buf_reserve(buf *b, size_t more)
{
    size_t needed = b->length + more + 1;
    size_t capacity = b->capacity ? b->capacity : 64;

    if (needed <= b->capacity)
        return;
    if (more > SIZE_MAX / 4 || b->length > SIZE_MAX / 4)
        out_of_memory();
    while (capacity < needed)
        capacity *= 2;
    b->data = xrealloc(b->data, capacity);
    b->capacity = capacity;
    b->data[b->length] = '\0';
}

void
buf_consume(buf *b, size_t count)
{
    if (count >= b->length) {
        buf_reset(b);
        return;
    }
    memmove(b->data, b->data + count, b->length - count + 1);
    b->length -= count;
}

const char *
buf_text(const buf *b)
{
    return b->data ? b->data : "";
}

char *
buf_steal(buf *b)
{
    char *data = b->data ? b->data : xstrdup("");

    *b = (buf)BUF_INIT;
    return data;
}

void
buf_append(buf *b, const void *data, size_t length)
{
    buf_reserve(b, length);
    if (length > 0)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
}

void
buf_append_string(buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void
buf_append_char(buf *b, char c)
{
    buf_append(b, &c, 1);
}

void
buf_vprintf(buf *b, const char *format, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    buf_reserve(b, 64);
    length = vsnprintf(b->data + b->length, b->capacity - b->length, format, args);
    if (length > 0 && (size_t)length >= b->capacity - b->length) {
        buf_reserve(b, (size_t)length);
        length = vsnprintf(b->data + b->length, b->capacity - b->length, format, again);
    }
    va_end(again);
    if (length > 0)
        b->length += (size_t)length;
    b->data[b->length] = '\0';
}

void
buf_printf(buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

/* ---- text for JSON and for people ------------------------------------------------ */

static void
append_json_escape(buf *b, uint32_t c)
{
    switch (c) {
    case '"': buf_append(b, "\\\"", 2); break;
    case '\\': buf_append(b, "\\\\", 2); break;
    case '\n': buf_append(b, "\\n", 2); break;
    case '\r': buf_append(b, "\\r", 2); break;
    case '\t': buf_append(b, "\\t", 2); break;
    default:
        if (c > 0xFFFF)
            buf_printf(b, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
        else
            buf_printf(b, "\\u%04x", c);
    }
}

/* The bytes at the front that can be copied as they are. They end at a character that must not be
 * shown, at an invalid byte, or at an ASCII character that is in stops. */
static size_t
plain_prefix(const unsigned char *text, size_t length, const char *stops)
{
    size_t i = 0;

    while (i < length) {
        size_t step = 1;

        if (text[i] >= 0x80) {
            step = utf8_character_length(text + i, length - i);
            if (step == 0 || !utf8_is_shown(utf8_code_point(text + i, step)))
                break;
        } else if (text[i] < 0x20 || text[i] == 0x7F || text[i] == (unsigned char)stops[0] ||
                   text[i] == (unsigned char)stops[1]) {
            break;
        }
        i += step;
    }
    return i;
}

/* Appends what plain_prefix() stopped at, escaped; returns the number of its bytes. */
static size_t
append_escaped(buf *b, const unsigned char *text, size_t length)
{
    size_t step = utf8_character_length(text, length);

    append_json_escape(b, step > 0 ? utf8_code_point(text, step) : 0xFFFD);
    return step > 0 ? step : 1;
}

void
buf_append_json(buf *b, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;

    buf_reserve(b, length + 2);
    buf_append_char(b, '"');
    while (i < length) {
        size_t plain = plain_prefix(bytes + i, length - i, "\"\\");

        buf_append(b, text + i, plain);
        i += plain;
        if (i < length)
            i += append_escaped(b, bytes + i, length - i);
    }
    buf_append_char(b, '"');
}

void
buf_append_json_text(buf *b, const char *json, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)json;
    size_t i = 0;

    buf_reserve(b, length);
    while (i < length) {
        size_t plain = plain_prefix(bytes + i, length - i, "\n\n");

        buf_append(b, json + i, plain);
        i += plain;
        /* Line breaks and tabs are not in strings, where they would be escaped. */
        if (i < length && strchr("\n\r\t", json[i]) != NULL && json[i] != '\0')
            buf_append_char(b, json[i++]);
        else if (i < length)
            i += append_escaped(b, bytes + i, length - i);
    }
}

void
buf_append_visible(buf *b, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;

    buf_reserve(b, length);
    while (i < length) {
        size_t plain = plain_prefix(bytes + i, length - i, "\n\n"), step;

        buf_append(b, text + i, plain);
        i += plain;
        if (i == length)
            return;
        step = utf8_character_length(bytes + i, length - i);
        if (step > 1)
            buf_printf(b, "\\u%04x", utf8_code_point(bytes + i, step));
        else
            buf_printf(b, "\\x%02x", bytes[i]);
        i += step > 0 ? step : 1;
    }
}

void
buf_append_json_string(buf *b, const char *text)
{
    if (text == NULL)
        buf_append_string(b, "null");
    else
        buf_append_json(b, text, strlen(text));
}
