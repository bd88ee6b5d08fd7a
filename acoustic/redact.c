/* acoustic/redact.c: see acoustic/redact.h. */
#include "acoustic/redact.h"

#include <string.h>
#include <strings.h>

void
acoustic_redact_value(char *text, const char *value)
{
    size_t length = strlen(value);

    if (length < 3)
        return;
    for (; *text != '\0'; text++) {
        if (strncasecmp(text, value, length) == 0)
            memset(text, '*', length);
    }
}

void
acoustic_redact_addresses(char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, " ");

        if (memchr(text, '@', length) != NULL)
            memset(text, '*', length);
        text += length;
        text += strspn(text, " ");
    }
}
