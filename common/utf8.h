/* utf8.h: tells whether a text is valid UTF-8, and what of it may be shown. For the programs; the
 * extension has its own. */
#ifndef CTMS_UTF8_H
#define CTMS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Number of bytes of the character at the front of text, which is not empty; 0 if it is not
 * valid. */
size_t utf8_character_length(const unsigned char *text, size_t length);
/* Length of the valid UTF-8 at the front; equal to length when all of it is valid. NUL is valid. */
size_t utf8_valid_prefix(const char *text, size_t length);
/* Valid UTF-8 without NUL: can be a text in PostgreSQL. */
bool utf8_is_text(const char *text, size_t length);

/* The character at the front of text, which has utf8_character_length() bytes: not 0. */
uint32_t utf8_code_point(const unsigned char *text, size_t character_length);
/*
 * False for what must not reach a terminal, an editor or a log as it is: controls (C0, DEL, C1),
 * separators of lines and paragraphs, marks that turn the direction of text, spaces other than
 * U+0020, characters that cannot be seen (also the joiners of words and emoji) or that have no
 * shape of their own (private use, not characters).
 */
bool utf8_is_shown(uint32_t code_point);

#endif
