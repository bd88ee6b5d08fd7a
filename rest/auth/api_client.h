/*
 * auth/api_client.h: what the database says of a client, and the clients that a process remembers.
 * auth.c and token.c call it.
 */
#ifndef CTMS_REST_AUTH_API_CLIENT_H
#define CTMS_REST_AUTH_API_CLIENT_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "common/scope.h"

#define API_CLIENT_KEY_SIZE 32
/* 128 bits in base64url, with the final zero. */
#define API_CLIENT_VERSION_SIZE 23

typedef struct api_client {
    bool is_enabled;
    scope_set scopes;
    /* Another one after the client's secret has changed, or after the client was made anew. */
    char version[API_CLIENT_VERSION_SIZE];
} api_client;

/* The columns of ctms.get_api_client() AS c that api_client_read() reads: the first of a row. */
#define API_CLIENT_COLUMNS                                                                         \
    "c.enabled, c.hashed_secret, extract(epoch FROM c.create_timestamp) AS created,"               \
    " array_to_string(c.scopes, ' ') AS scopes"
#define API_CLIENT_COLUMN_NAMES "enabled,hashed_secret,created,scopes"
/* hashed_secret among them; it is never NULL in the row of a client. */
#define API_CLIENT_SECRET_COLUMN 1

/*
 * Reads the first row. The version is an HMAC of the stored hash, which has a salt, and of the time
 * at which the client was made: whoever sees it learns nothing of them.
 */
void api_client_read(const unsigned char key[API_CLIENT_KEY_SIZE], const char *client_id,
                     const PGresult *result, api_client *client);

/* Clients that are remembered. */
typedef struct api_client_memory api_client_memory;

api_client_memory *api_client_memory_new(void);
void api_client_memory_free(api_client_memory *memory);
void
api_client_remember(api_client_memory *memory, const char *client_id, const api_client *client);
/* The client, if it was remembered within the last max_age_s; valid until the next call. */
const api_client *
api_client_recall(api_client_memory *memory, const char *client_id, double max_age_s);
/* True when a remembered client's last access is to be written: once in interval_s. */
bool api_client_is_touch_due(api_client_memory *memory, const char *client_id, double interval_s);
void api_client_forget_all(api_client_memory *memory);

#endif
