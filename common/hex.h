/* hex.h: hexadecimal digits. */
#ifndef CTMS_COMMON_HEX_H
#define CTMS_COMMON_HEX_H

#define HEX_ID_LENGTH 32

/* What a hexadecimal digit stands for, -1 for another character. */
int hex_value(char c);

/* Writes an id that nothing else has, and a NUL. It is no secret: do not let it open anything. */
void hex_write_id(char id[HEX_ID_LENGTH + 1]);

#endif
