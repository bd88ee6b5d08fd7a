/*
 * bearer.h: tokens in Authorization headers of the Bearer scheme, and secrets that callers bring.
 * For both servers.
 */
#ifndef CTMS_COMMON_BEARER_H
#define CTMS_COMMON_BEARER_H

#include <stdbool.h>

/* The token in an Authorization header of the Bearer scheme, otherwise NULL. authorization may be
 * NULL. */
const char *bearer_find_token(const char *authorization);

/* Takes the same time wherever the texts differ. */
bool bearer_is_same(const char *given, const char *expected);

#endif
