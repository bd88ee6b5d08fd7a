/*
 * auth/jose_text.h: what cjose may be given. Its base64 reader ends the process (an assertion)
 * when a text has a length that no bytes encode to, or padding in odd places.
 */
#ifndef CTMS_REST_AUTH_JOSE_TEXT_H
#define CTMS_REST_AUTH_JOSE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Base64 for URLs without padding. */
bool jose_text_is_base64url(const char *text, size_t length);
/* Three such texts with dots between them. */
bool jose_text_is_compact_jws(const char *text, size_t length);

#endif
