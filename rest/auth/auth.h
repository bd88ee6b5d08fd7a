/*
 * auth/auth.h: who a bearer token speaks for, and whether he may.
 *
 * Verified tokens and the state of clients are remembered: a token until it expires, a
 * client until the database says that clients have changed, or for a short while.
 */
#ifndef CTMS_REST_AUTH_AUTH_H
#define CTMS_REST_AUTH_AUTH_H

#include <stdbool.h>

#include "common/pg_pool.h"

typedef struct auth auth;
/* A question to the database that has not been answered yet. */
typedef struct auth_lookup auth_lookup;

typedef enum auth_result {
    AUTH_ALLOWED,
    AUTH_NO_TOKEN,
    AUTH_BAD_TOKEN,
    AUTH_EXPIRED_TOKEN,
    AUTH_UNKNOWN_CLIENT,
    AUTH_DISABLED_CLIENT,
    AUTH_UNAVAILABLE, /* the database could not be asked */
} auth_result;

/* reply is the database's, where that is why the result is AUTH_UNAVAILABLE, else NULL. */
typedef void (*auth_callback)(void *arg, auth_result result, const pg_reply *reply);

/* NULL when the key is of no use. */
auth *auth_new(pg_pool *pool, const char *secret_key);
/* To be called after the pool is freed: its callbacks know lookups. */
void auth_free(auth *a);
/* Clients have changed, or may have: forget what is remembered of them. */
void auth_forget_clients(auth *a);
/* is_listening: changes are announced, so that clients may be remembered for longer. */
void auth_set_listening(auth *a, bool is_listening);

/* The token in an Authorization header of the Bearer scheme, else NULL; NULL of NULL. */
const char *auth_find_token(const char *authorization);

/* A token for a client; free with free(). */
char *auth_make_token(const auth *a, const char *client_id, long long lifetime_s);

/*
 * Looks at an Authorization header (NULL when there is none). *client_id becomes a string
 * for the caller to free, as soon as the token names one. Returns true with the result
 * when it is known at once; else the callback follows, unless *lookup is abandoned.
 */
bool auth_check(auth *a, const char *authorization, char **client_id, auth_result *result,
                auth_lookup **lookup, auth_callback callback, void *arg);
/* The callback is not called. */
void auth_abandon(auth_lookup *lookup);

#endif
