/*
 * base/hex.h: hexadecimal digits.
 */
#ifndef CTMS_HEX_H
#define CTMS_HEX_H

/* The value of a hexadecimal digit, or -1 when the character is not one. */
static inline int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
