/*
 * auth/auth.h: which client a bearer token belongs to, and whether that client may use the API. For
 * dispatch.c and token.c.
 *
 * Verified tokens and the state of clients are remembered. A token is remembered until it expires,
 * a client until the database says that clients have changed, or for a short time.
 */
#ifndef CTMS_REST_AUTH_AUTH_H
#define CTMS_REST_AUTH_AUTH_H

#include <stdbool.h>

#include "common/pg_pool.h"
#include "rest/auth/api_client.h"

typedef struct auth auth;
/* A query to the database that has not been answered yet. */
typedef struct auth_lookup auth_lookup;

typedef enum auth_result {
    AUTH_ALLOWED,
    AUTH_NO_TOKEN,
    AUTH_BAD_TOKEN,
    AUTH_EXPIRED_TOKEN,
    AUTH_EARLY_TOKEN,
    AUTH_ENDED_TOKEN, /* the client's secret has changed since, or the client was made anew */
    AUTH_UNKNOWN_CLIENT,
    AUTH_DISABLED_CLIENT,
    AUTH_LACKS_SCOPE, /* the token was got for less, or the client has less now */
    AUTH_UNAVAILABLE, /* the database could not be asked */
} auth_result;

/* reply is the answer of the database if that is the reason for AUTH_UNAVAILABLE, otherwise
 * NULL. */
typedef void (*auth_callback)(void *arg, auth_result result, const pg_reply *reply);

/* NULL when the key cannot be used. */
auth *auth_new(pg_pool *pool, const char *secret_key);
/* Call this after the pool is freed, because the callbacks of the pool use lookups. */
void auth_free(auth *a);
/* Clients have changed, or may have: forgets everything about them. */
void auth_forget_clients(auth *a);
/* is_listening: the database announces changes, so clients may be remembered for longer. */
void auth_set_listening(auth *a, bool is_listening);

/* Reads the first row of a result that begins with API_CLIENT_COLUMNS. */
void
auth_read_client(const auth *a, const char *client_id, const PGresult *result, api_client *client);
/* A token for a client whose secret was verified; it ends with that secret. granted: names of
 * scopes, with spaces between them, that it is restricted to; or NULL. Free with free(). */
char *auth_make_token(const auth *a, const char *client_id, const api_client *client,
                      const char *granted, long long lifetime_s);

/*
 * Checks an Authorization header (NULL when there is none) for what needs these scopes. If the
 * token names a client, *client_id becomes a string that the caller frees. Returns true, with the
 * result, when it is known at once. Otherwise the callback is called later, unless *lookup is
 * abandoned.
 */
bool auth_check(auth *a, const char *authorization, scope_set needed, char **client_id,
                auth_result *result, auth_lookup **lookup, auth_callback callback, void *arg);
/* The callback will not be called. */
void auth_abandon(auth_lookup *lookup);

#endif
