/*
 * json/pointer.c: writes JSON Pointers (RFC 6901) and splits them into tokens.
 */
#include "extension/base/compat.h"

#include "extension/json/pointer.h"

void
json_pointer_append(StringInfo pointer, const char *token, uint32 length)
{
    uint32 start = 0;

    appendStringInfoChar(pointer, '/');
    for (uint32 i = 0; i < length; i++) {
        if (token[i] != '~' && token[i] != '/')
            continue;
        appendBinaryStringInfo(pointer, token + start, (int)(i - start));
        appendStringInfoString(pointer, token[i] == '~' ? "~0" : "~1");
        start = i + 1;
    }
    appendBinaryStringInfo(pointer, token + start, (int)(length - start));
}

bool
json_pointer_next(const char **pointer, StringInfo token)
{
    const char *p = *pointer;

    if (*p != '/')
        return false;
    resetStringInfo(token);
    for (p++; *p && *p != '/'; p++) {
        char c = *p;

        if (c == '~' && (p[1] == '0' || p[1] == '1'))
            c = *++p == '0' ? '~' : '/';
        appendStringInfoChar(token, c);
    }
    *pointer = p;
    return true;
}

int64
json_pointer_index(const char *token)
{
    int64 index = 0;

    if (*token == '\0' || (token[0] == '0' && token[1] != '\0'))
        return -1;
    for (; *token; token++) {
        if (*token < '0' || *token > '9' || index > PG_INT32_MAX)
            return -1;
        index = index * 10 + (*token - '0');
    }
    return index;
}
