/*
 * auth/jwks.h: the public keys of an issuer of tokens, fetched when they are needed.
 *
 * Keys are kept for as long as the answer of the key server allows. They are fetched again
 * when that time is over, or for a key id that is not among them, but not too often. While
 * the key server is away the keys that are known stay in use.
 */
#ifndef CTMS_REST_AUTH_JWKS_H
#define CTMS_REST_AUTH_JWKS_H

#include <cjose/cjose.h>

#include "common/http_client.h"

typedef struct jwks jwks;
typedef struct jwks_wait jwks_wait;

/* key NULL: there is none of that id, or none could be had. Valid during the callback. */
typedef void (*jwks_callback)(void *arg, const cjose_jwk_t *key);

jwks *jwks_new(http_client *client, const char *url);
/* Callbacks of those that wait are not called. To be freed after the client. */
void jwks_free(jwks *j);

/*
 * Finds the RSA key of an id. The callback comes at once, from within this call, or later;
 * then what is returned is not NULL and can be abandoned.
 */
jwks_wait *jwks_find(jwks *j, const char *kid, jwks_callback callback, void *arg);
/* The callback is not called. */
void jwks_abandon(jwks_wait *wait);

#endif
