/* hex.h: hexadecimal digits. */
#ifndef CTMS_COMMON_HEX_H
#define CTMS_COMMON_HEX_H

#define HEX_ID_LENGTH 32

/* The value of a hexadecimal digit, -1 for any other character. */
int hex_value(char c);

/* Writes an id that no one else has, and a NUL. It is not a secret: do not use it to grant
 * access. */
void hex_write_id(char id[HEX_ID_LENGTH + 1]);

#endif
