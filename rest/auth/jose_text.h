/*
 * auth/jose_text.h: checks text before it is given to the library cjose. Its base64 decoder ends
 * the process (an assertion) when a text has an impossible length or padding in the wrong place.
 */
#ifndef CTMS_REST_AUTH_JOSE_TEXT_H
#define CTMS_REST_AUTH_JOSE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Base64 for URLs without padding. */
bool jose_text_is_base64url(const char *text, size_t length);
/* Three such texts, separated by dots. */
bool jose_text_is_compact_jws(const char *text, size_t length);

#endif
