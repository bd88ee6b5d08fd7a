/*
 * base/message.c: a message of any length from a format.
 */
#include "extension/base/compat.h"

#include "lib/stringinfo.h"

#include "extension/base/message.h"

char *
message_vformat(const char *format, va_list arguments)
{
    StringInfoData message;

    initStringInfo(&message);
    for (;;) {
        va_list again;
        int needed;

        va_copy(again, arguments);
        needed = appendStringInfoVA(&message, format, again);
        va_end(again);
        if (needed == 0)
            return message.data;
        enlargeStringInfo(&message, needed);
    }
}
