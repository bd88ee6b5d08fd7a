/* auth/jose_text.c: see auth/jose_text.h. */
#include "rest/auth/jose_text.h"

#include <string.h>

bool
jose_text_is_base64url(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return length % 4 != 1;
}

bool
jose_text_is_compact_jws(const char *text, size_t length)
{
    const char *end = text + length;

    for (int part = 0; part < 3; part++) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        const char *part_end = dot ? dot : end;

        if ((dot == NULL) != (part == 2) ||
            !jose_text_is_base64url(text, (size_t)(part_end - text)))
            return false;
        text = part_end + 1;
    }
    return true;
}
