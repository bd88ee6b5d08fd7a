/*
 * buf.h: a growable run of bytes, and text written into it as JSON or for people. All programs
 * build their strings with it.
 *
 * A buf is zero-initialised (BUF_INIT). It is owned by the function or struct that declares it, and
 * emptied by buf_free(). Its bytes always end with a NUL that is not part of the length. When
 * memory runs out the program ends, because no caller could go on in a useful way.
 */
#ifndef CTMS_COMMON_BUF_H
#define CTMS_COMMON_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct buf {
    char *data; /* NULL until the first byte */
    size_t length;
    size_t capacity;
} buf;

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/* Frees the bytes; the buf can be used again. */
void buf_free(buf *b);
/* Forgets the bytes, keeps the memory. */
void buf_reset(buf *b);
/* Makes room for that many more bytes. */
void buf_reserve(buf *b, size_t more);
/* Removes that many bytes from the front. */
void buf_consume(buf *b, size_t count);
/* The bytes as a string, never NULL. */
const char *buf_text(const buf *b);
/* Hands the bytes over; the caller frees them with free(). Never NULL. */
char *buf_steal(buf *b);

void buf_append(buf *b, const void *data, size_t length);
void buf_append_string(buf *b, const char *text);
void buf_append_char(buf *b, char c);
void buf_printf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Appends a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; characters that
 * must not be shown (utf8_is_shown()) are escaped. */
void buf_append_json(buf *b, const char *text, size_t length);
/* The same for a string; NULL becomes null. */
void buf_append_json_string(buf *b, const char *text);
/* Appends text that is JSON already; what must not be shown is escaped in its strings. White space
 * stays. */
void buf_append_json_text(buf *b, const char *json, size_t length);
/* Appends text for people to read: what must not be shown becomes \xHH or \uHHHH. */
void buf_append_visible(buf *b, const char *text, size_t length);

/* malloc, realloc and strdup that do not fail. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length);

#endif
