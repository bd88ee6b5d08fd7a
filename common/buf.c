/* buf.c: a growable run of bytes, and JSON text written into it. */
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

static void
append_json_escape(buf *b, unsigned char c)
{
    switch (c) {
    case '"': buf_append(b, "\\\"", 2); break;
    case '\\': buf_append(b, "\\\\", 2); break;
    case '\n': buf_append(b, "\\n", 2); break;
    case '\r': buf_append(b, "\\r", 2); break;
    case '\t': buf_append(b, "\\t", 2); break;
    default: buf_printf(b, "\\u%04x", c); break;
    }
}

void
buf_append_json(buf *b, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t done = 0, i = 0;

    buf_reserve(b, length + 2);
    buf_append_char(b, '"');
    while (i < length) {
        size_t step = 1;

        if (bytes[i] >= 0x80)
            step = utf8_character_length(bytes + i, length - i);
        else if (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\' || bytes[i] == 0x7F)
            step = 0;
        if (step > 0) {
            i += step;
            continue;
        }
        buf_append(b, text + done, i - done);
        if (bytes[i] >= 0x80)
            buf_append_string(b, "\\ufffd");
        else
            append_json_escape(b, bytes[i]);
        done = ++i;
    }
    buf_append(b, text + done, i - done);
    buf_append_char(b, '"');
}

void
buf_append_json_string(buf *b, const char *text)
{
    if (text == NULL)
        buf_append_string(b, "null");
    else
        buf_append_json(b, text, strlen(text));
}
