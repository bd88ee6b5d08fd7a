/* trace.c: finds the addresses that ask to be traced; see trace.h. */
#include "rest/trace.h"

#include <ctype.h>
#include <string.h>

static bool
is_address_char(unsigned char c)
{
    return isalnum(c) || c >= 0x80 || (c != '\0' && strchr("+-_.@!#$%&'*/=?^`{|}~", c) != NULL);
}

/* The next mark in a text, or NULL. */
static const char *
find_mark(const char *text, size_t length)
{
    static const char start[] = "+trace", *const rests[] = {"_me_mozilla_", "-me-mozilla-"};
    const char *end = text + length;

    while ((text = memmem(text, (size_t)(end - text), start, strlen(start))) != NULL) {
        size_t left = (size_t)(end - text) - strlen(start);

        for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
            if (left >= strlen(rests[i]) &&
                memcmp(text + strlen(start), rests[i], strlen(rests[i])) == 0)
                return text;
        }
        text += strlen(start);
    }
    return NULL;
}

static bool
is_known(const trace *t, const char *address, size_t length)
{
    const char *known = buf_text(&t->addresses);

    while (*known != '\0') {
        size_t known_length = strcspn(known, ",");

        if (known_length == length && memcmp(known, address, length) == 0)
            return true;
        known += known_length + (known[known_length] == ',');
    }
    return false;
}

static void
add(trace *t, const char *address, size_t length)
{
    if (t->count > TRACE_ADDRESSES_MAX || is_known(t, address, length))
        return;
    if (t->count > 0)
        buf_append_char(&t->addresses, ',');
    if (t->count < TRACE_ADDRESSES_MAX)
        buf_append(&t->addresses, address, length);
    else
        buf_append_string(&t->addresses, "...");
    t->count++;
}

void
trace_search(trace *t, const char *text, size_t length)
{
    const char *end = text + length, *from = text, *mark;

    while (length > 0 && t->count <= TRACE_ADDRESSES_MAX &&
           (mark = find_mark(from, (size_t)(end - from))) != NULL) {
        const char *begin = mark, *after = mark;

        while (begin > from && is_address_char((unsigned char)begin[-1]))
            begin--;
        while (after < end && is_address_char((unsigned char)*after))
            after++;
        if (after - begin <= TRACE_ADDRESS_BYTES_MAX &&
            memchr(mark, '@', (size_t)(after - mark)) != NULL)
            add(t, begin, (size_t)(after - begin));
        from = after;
    }
}

void
trace_free(trace *t)
{
    buf_free(&t->addresses);
}
