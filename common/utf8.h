/* utf8.h: tells whether a text is valid UTF-8. For the programs; the extension has its own. */
#ifndef CTMS_UTF8_H
#define CTMS_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Number of bytes of the character at the front of text, which is not empty; 0 if it is not
 * valid. */
size_t utf8_character_length(const unsigned char *text, size_t length);
/* Length of the valid UTF-8 at the front; equal to length when all of it is valid. NUL is valid. */
size_t utf8_valid_prefix(const char *text, size_t length);
/* Valid UTF-8 without NUL: can be a text in PostgreSQL. */
bool utf8_is_text(const char *text, size_t length);

#endif
