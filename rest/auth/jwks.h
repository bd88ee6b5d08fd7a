/*
 * auth/jwks.h: the public keys of an issuer of tokens, fetched when they are needed. pubsub.c
 * checks Google's tokens with them.
 *
 * Keys are kept for as long as the answer of the key server allows. They are fetched again when
 * that time is over, or when a key id is not among them, but not too often. While the key server is
 * away, the known keys stay in use, but no longer than kept_s after the last fetch that succeeded:
 * a key may have been withdrawn since. RSA keys of fewer than 2048 bits are left out.
 */
#ifndef CTMS_REST_AUTH_JWKS_H
#define CTMS_REST_AUTH_JWKS_H

#include <cjose/cjose.h>

#include "common/http_client.h"

typedef struct jwks jwks;
typedef struct jwks_wait jwks_wait;

typedef struct jwks_options {
    const char *url;
    double kept_s;     /* longest use of keys after the last fetch that succeeded */
    double interval_s; /* shortest time between two fetches, whatever the reason for them */
} jwks_options;

typedef enum jwks_result {
    JWKS_FOUND,
    JWKS_UNKNOWN,     /* no key has that id */
    JWKS_UNAVAILABLE, /* there are no keys to look among, because they could not be fetched */
} jwks_result;

/* key is that of JWKS_FOUND, otherwise NULL. It is valid during the callback. */
typedef void (*jwks_callback)(void *arg, jwks_result result, const cjose_jwk_t *key);

jwks *jwks_new(http_client *client, const jwks_options *options);
/* Callbacks of waiting requests are not called. Call this after the client is freed. */
void jwks_free(jwks *j);

/*
 * Finds the RSA key with an id. Either the callback is called from within this call, and the result
 * is NULL; or it is called later, and the result can be abandoned.
 */
jwks_wait *jwks_find(jwks *j, const char *kid, jwks_callback callback, void *arg);
/* The callback will not be called. */
void jwks_abandon(jwks_wait *wait);

#endif
