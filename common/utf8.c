/* utf8.c: see utf8.h. The extension has its own version, which asks PostgreSQL. */
#include "common/utf8.h"

#include <string.h>

size_t
utf8_character_length(const unsigned char *text, size_t length)
{
    size_t expected, i;

    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xC2 && text[0] <= 0xDF)
        expected = 2;
    else if (text[0] >= 0xE0 && text[0] <= 0xEF)
        expected = 3;
    else if (text[0] >= 0xF0 && text[0] <= 0xF4)
        expected = 4;
    else
        return 0;
    if (expected > length)
        return 0;
    for (i = 1; i < expected; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    }
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
        return 0;
    return expected;
}

size_t
utf8_valid_prefix(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;

    while (i < length) {
        size_t step;

        if (bytes[i] < 0x80) {
            i++;
            continue;
        }
        step = utf8_character_length(bytes + i, length - i);
        if (step == 0)
            break;
        i += step;
    }
    return i;
}

bool
utf8_is_text(const char *text, size_t length)
{
    return memchr(text, '\0', length) == NULL && utf8_valid_prefix(text, length) == length;
}

uint32_t
utf8_code_point(const unsigned char *text, size_t character_length)
{
    uint32_t code_point = text[0];

    if (character_length > 1)
        code_point &= 0xFFU >> (character_length + 1);
    for (size_t i = 1; i < character_length; i++)
        code_point = code_point << 6 | (text[i] & 0x3FU);
    return code_point;
}

/* Sorted. */
static const struct {
    uint32_t first, last;
} hidden[] = {
    {0x00, 0x1F},        /* controls */
    {0x7F, 0xA0},        /* controls, no-break space */
    {0xAD, 0xAD},        /* soft hyphen */
    {0x34F, 0x34F},      /* grapheme joiner */
    {0x61C, 0x61C},      /* mark of direction */
    {0x115F, 0x1160},    /* Hangul fillers */
    {0x1680, 0x1680},    /* space */
    {0x17B4, 0x17B5},    /* Khmer vowels without a shape */
    {0x180B, 0x180F},    /* Mongolian selectors of variants and separator */
    {0x2000, 0x200F},    /* spaces, joiners, marks of direction */
    {0x2028, 0x202F},    /* separators, marks of direction, space */
    {0x205F, 0x206F},    /* space, operators without a shape, marks of direction */
    {0x2800, 0x2800},    /* Braille without dots */
    {0x3000, 0x3000},    /* wide space */
    {0x3164, 0x3164},    /* Hangul filler */
    {0xE000, 0xF8FF},    /* private use */
    {0xFDD0, 0xFDEF},    /* not characters */
    {0xFE00, 0xFE0F},    /* selectors of variants */
    {0xFEFF, 0xFEFF},    /* mark of byte order */
    {0xFFA0, 0xFFA0},    /* Hangul filler */
    {0xFFF0, 0xFFFB},    /* unassigned, marks of annotations */
    {0x1BCA0, 0x1BCA3},  /* controls of shorthand */
    {0x1D173, 0x1D17A},  /* controls of music */
    {0xE0000, 0xE0FFF},  /* tags, selectors of variants */
    {0xF0000, 0x10FFFF}, /* private use */
};

bool
utf8_is_shown(uint32_t code_point)
{
    /* The last two of every plane are not characters. */
    if ((code_point & 0xFFFE) == 0xFFFE)
        return false;
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]) && code_point >= hidden[i].first;
         i++) {
        if (code_point <= hidden[i].last)
            return false;
    }
    return true;
}
