/*
 * auth/auth.c: verifies bearer tokens, asks the database about their clients, and remembers both;
 * see auth.h.
 */
#include "rest/auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/bearer.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"
#include "rest/auth/jwt.h"

#define SUBJECT_PREFIX "api_client:"
/* Slots of the token cache; a new token replaces the one in its slot. */
#define TOKEN_SLOTS 1024
#define CLIENTS_MAX 256
/* How long a client is remembered while the database announces changes, and while it does not. */
#define CLIENT_TTL_S 60
#define CLIENT_TTL_DEAF_S 1
/* How often the time of a client's last access is written. */
#define TOUCH_INTERVAL_S 60

typedef struct known_token {
    char *token;
    char *client_id;
    time_t refused_from;
} known_token;

typedef struct known_client {
    char *client_id;
    bool is_enabled;
    double known_since_s;
    double touched_s; /* when its last access was last written */
} known_client;

struct auth {
    pg_pool *pool;
    jwt_key *key;
    bool is_listening;
    unsigned generation; /* incremented whenever clients are forgotten */
    uint64_t hash_seed;
    known_token tokens[TOKEN_SLOTS];
    int client_count;
    known_client clients[CLIENTS_MAX];
    auth_lookup *lookups;
};

struct auth_lookup {
    auth *owner;
    auth_lookup *previous, *next;
    char *client_id;
    unsigned generation;
    auth_callback callback; /* NULL: abandoned; the answer is remembered anyway */
    void *arg;
};

static const pg_statement get_client = {
    .sql = "SELECT enabled FROM ctms.get_api_client($1::text)",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = "enabled",
    .rows = PG_ANY_ROWS,
};

static const pg_statement touch_client = {
    .sql = "SELECT ctms.touch_api_client($1::text)",
    .parameter_count = 1,
    .columns = "touch_api_client",
};

static void lookup_free(auth_lookup *lookup);

auth *
auth_new(pg_pool *pool, const char *secret_key)
{
    auth *a = xcalloc(1, sizeof(*a));

    a->pool = pool;
    a->key = jwt_key_new(secret_key);
    if (a->key == NULL) {
        free(a);
        return NULL;
    }
    /* Without a random seed, a client could make tokens that share one slot. */
    if (getrandom(&a->hash_seed, sizeof(a->hash_seed), 0) != sizeof(a->hash_seed))
        a->hash_seed = (uint64_t)time(NULL);
    return a;
}

static void
clear_token(known_token *known)
{
    free(known->token);
    free(known->client_id);
    *known = (known_token){NULL, NULL, 0};
}

void
auth_free(auth *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < TOKEN_SLOTS; i++)
        clear_token(&a->tokens[i]);
    while (a->lookups != NULL)
        lookup_free(a->lookups);
    auth_forget_clients(a);
    jwt_key_free(a->key);
    free(a);
}

void
auth_forget_clients(auth *a)
{
    a->generation++;
    while (a->client_count > 0)
        free(a->clients[--a->client_count].client_id);
}

void
auth_set_listening(auth *a, bool is_listening)
{
    a->is_listening = is_listening;
    auth_forget_clients(a);
}

char *
auth_make_token(const auth *a, const char *client_id, long long lifetime_s)
{
    time_t now = time(NULL);
    buf subject = BUF_INIT;
    char *token;

    buf_printf(&subject, SUBJECT_PREFIX "%s", client_id);
    token = jwt_sign(a->key, buf_text(&subject), now, now + (time_t)lifetime_s);
    buf_free(&subject);
    return token;
}

/* ---- tokens --------------------------------------------------------------- */

static known_token *
slot_of(auth *a, const char *token)
{
    return &a->tokens[hash_string(a->hash_seed, token) % TOKEN_SLOTS];
}

static auth_result
read_token(auth *a, const char *token, char **client_id)
{
    known_token *known = slot_of(a, token);
    time_t now = time(NULL);
    jwt_claims claims;

    if (known->token != NULL && strcmp(known->token, token) == 0) {
        *client_id = xstrdup(known->client_id);
        return known->refused_from > now ? AUTH_ALLOWED : AUTH_EXPIRED_TOKEN;
    }
    switch (jwt_verify(a->key, token, now, &claims)) {
    case JWT_VALID: break;
    case JWT_EXPIRED: return AUTH_EXPIRED_TOKEN;
    case JWT_TOO_EARLY: return AUTH_EARLY_TOKEN;
    case JWT_MALFORMED:
    case JWT_FORGED:
    case JWT_UNUSABLE: return AUTH_BAD_TOKEN;
    }
    if (strncmp(claims.subject, SUBJECT_PREFIX, strlen(SUBJECT_PREFIX)) != 0) {
        free(claims.subject);
        return AUTH_BAD_TOKEN;
    }
    *client_id = xstrdup(claims.subject + strlen(SUBJECT_PREFIX));
    free(claims.subject);
    clear_token(known);
    known->token = xstrdup(token);
    known->client_id = xstrdup(*client_id);
    known->refused_from = claims.refused_from;
    return AUTH_ALLOWED;
}

/* ---- clients ------------------------------------------------------------------ */

static known_client *
find_client(auth *a, const char *client_id)
{
    double oldest = clock_now_s() - (a->is_listening ? CLIENT_TTL_S : CLIENT_TTL_DEAF_S);

    for (int i = 0; i < a->client_count; i++) {
        known_client *client = &a->clients[i];

        if (strcmp(client->client_id, client_id) != 0)
            continue;
        if (client->known_since_s >= oldest)
            return client;
        free(client->client_id);
        *client = a->clients[--a->client_count];
        return NULL;
    }
    return NULL;
}

static void
remember_client(auth *a, const char *client_id, bool is_enabled)
{
    if (find_client(a, client_id) != NULL)
        return;
    if (a->client_count == CLIENTS_MAX)
        auth_forget_clients(a);
    a->clients[a->client_count++] = (known_client){
        .client_id = xstrdup(client_id), .is_enabled = is_enabled, .known_since_s = clock_now_s()};
}

static void
ignore_reply(void *arg, const pg_reply *reply)
{
    (void)arg;
    (void)reply;
}

/* Records the access of an enabled client. Nobody waits for it, and a failure does no harm. */
static void
note_access(auth *a, known_client *client)
{
    double now = clock_now_s();

    if (!client->is_enabled ||
        (client->touched_s > 0 && client->touched_s + TOUCH_INTERVAL_S > now))
        return;
    client->touched_s = now;
    pg_pool_query(a->pool, &touch_client, (const char *const[]){client->client_id}, ignore_reply,
                  NULL);
}

static auth_lookup *
lookup_new(auth *a, const char *client_id, auth_callback callback, void *arg)
{
    auth_lookup *lookup = xcalloc(1, sizeof(*lookup));

    lookup->owner = a;
    lookup->client_id = xstrdup(client_id);
    lookup->generation = a->generation;
    lookup->callback = callback;
    lookup->arg = arg;
    lookup->next = a->lookups;
    if (a->lookups != NULL)
        a->lookups->previous = lookup;
    a->lookups = lookup;
    return lookup;
}

static void
lookup_free(auth_lookup *lookup)
{
    if (lookup->previous != NULL)
        lookup->previous->next = lookup->next;
    else
        lookup->owner->lookups = lookup->next;
    if (lookup->next != NULL)
        lookup->next->previous = lookup->previous;
    free(lookup->client_id);
    free(lookup);
}

void
auth_abandon(auth_lookup *lookup)
{
    lookup->callback = NULL;
}

static void
on_client(void *arg, const pg_reply *reply)
{
    auth_lookup *pending = arg;
    auth *a = pending->owner;
    auth_result result = AUTH_UNAVAILABLE;

    if (reply->status == PG_OK) {
        if (PQntuples(reply->result) == 0) {
            result = AUTH_UNKNOWN_CLIENT;
        } else {
            bool is_enabled = PQgetvalue(reply->result, 0, 0)[0] == 't';

            result = is_enabled ? AUTH_ALLOWED : AUTH_DISABLED_CLIENT;
            /* If clients have changed since we asked, the answer may be out of date. */
            if (pending->generation == a->generation)
                remember_client(a, pending->client_id, is_enabled);
        }
    }
    if (pending->callback != NULL)
        pending->callback(pending->arg, result, result == AUTH_UNAVAILABLE ? reply : NULL);
    lookup_free(pending);
}

bool
auth_check(auth *a, const char *authorization, char **client_id, auth_result *result,
           auth_lookup **lookup, auth_callback callback, void *arg)
{
    const char *token = bearer_find_token(authorization);
    known_client *client;

    *lookup = NULL;
    if (token == NULL || *token == '\0') {
        *result = AUTH_NO_TOKEN;
        return true;
    }
    *result = read_token(a, token, client_id);
    if (*result != AUTH_ALLOWED)
        return true;
    client = find_client(a, *client_id);
    if (client != NULL) {
        *result = client->is_enabled ? AUTH_ALLOWED : AUTH_DISABLED_CLIENT;
        note_access(a, client);
        return true;
    }
    *lookup = lookup_new(a, *client_id, callback, arg);
    if (pg_pool_query(a->pool, &get_client, (const char *const[]){*client_id}, on_client,
                      *lookup) != NULL)
        return false;
    lookup_free(*lookup);
    *lookup = NULL;
    *result = AUTH_UNAVAILABLE;
    return true;
}
