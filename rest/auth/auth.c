/*
 * auth/auth.c: verifies bearer tokens, asks the database about their clients, and remembers both;
 * see auth.h.
 */
#include "rest/auth/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/bearer.h"
#include "common/buf.h"
#include "common/hash.h"
#include "rest/auth/jwt.h"

#define SUBJECT_PREFIX "api_client:"
/* Slots of the token cache; a new token replaces the one in its slot. */
#define TOKEN_SLOTS 1024
/* How long a client is remembered while the database announces changes, and while it does not. */
#define CLIENT_TTL_S 60
#define CLIENT_TTL_DEAF_S 1
/* How often the time of a client's last access is written. */
#define TOUCH_INTERVAL_S 60

/* What a token says about its client, beside the id. */
typedef struct token_terms {
    char version[API_CLIENT_VERSION_SIZE]; /* of the client, when it got the token */
    scope_set scopes;
} token_terms;

typedef struct known_token {
    char *token;
    char *client_id;
    time_t refused_from;
    token_terms terms;
} known_token;

struct auth {
    pg_pool *pool;
    jwt_key *key;
    unsigned char version_key[API_CLIENT_KEY_SIZE];
    bool is_listening;
    unsigned generation; /* incremented whenever clients are forgotten */
    uint64_t hash_seed;
    known_token tokens[TOKEN_SLOTS];
    api_client_memory *clients;
    auth_lookup *lookups;
};

struct auth_lookup {
    auth *owner;
    auth_lookup *previous, *next;
    char *client_id;
    token_terms terms;
    scope_set needed;
    unsigned generation;
    auth_callback callback; /* NULL: abandoned; the answer is remembered anyway */
    void *arg;
};

static const pg_statement get_client = {
    .sql = "SELECT " API_CLIENT_COLUMNS " FROM ctms.get_api_client($1::text) AS c",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = API_CLIENT_COLUMN_NAMES,
    .rows = PG_ANY_ROWS,
};

static const pg_statement touch_client = {
    .sql = "SELECT ctms.touch_api_client($1::text)",
    .parameter_count = 1,
    .columns = "touch_api_client",
};

static void lookup_free(auth_lookup *lookup);

/* A key of its own, so that no version is a signature. */
static bool
make_version_key(const char *secret_key, unsigned char key[API_CLIENT_KEY_SIZE])
{
    static const unsigned char purpose[] = "version of a client";
    unsigned int length = 0;

    return HMAC(EVP_sha256(), secret_key, (int)strlen(secret_key), purpose, sizeof(purpose), key,
                &length) != NULL &&
           length == API_CLIENT_KEY_SIZE;
}

auth *
auth_new(pg_pool *pool, const char *secret_key)
{
    auth *a = xcalloc(1, sizeof(*a));

    a->pool = pool;
    a->key = jwt_key_new(secret_key);
    if (a->key == NULL || !make_version_key(secret_key, a->version_key)) {
        jwt_key_free(a->key);
        free(a);
        return NULL;
    }
    a->clients = api_client_memory_new();
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
    *known = (known_token){.token = NULL};
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
    api_client_memory_free(a->clients);
    jwt_key_free(a->key);
    free(a);
}

void
auth_forget_clients(auth *a)
{
    a->generation++;
    api_client_forget_all(a->clients);
}

void
auth_set_listening(auth *a, bool is_listening)
{
    a->is_listening = is_listening;
    auth_forget_clients(a);
}

void
auth_read_client(const auth *a, const char *client_id, const PGresult *result, api_client *client)
{
    api_client_read(a->version_key, client_id, result, client);
}

char *
auth_make_token(const auth *a, const char *client_id, const api_client *client, const char *granted,
                long long lifetime_s)
{
    time_t now = time(NULL);
    buf subject = BUF_INIT;
    char *token;

    buf_printf(&subject, SUBJECT_PREFIX "%s", client_id);
    token = jwt_sign(a->key, buf_text(&subject), client->version, granted, now,
                     now + (time_t)lifetime_s);
    buf_free(&subject);
    return token;
}

/* ---- tokens --------------------------------------------------------------- */

static known_token *
slot_of(auth *a, const char *token)
{
    return &a->tokens[hash_string(a->hash_seed, token) % TOKEN_SLOTS];
}

/* Remembers a token of ours that is valid now. Returns NULL if it is not one of a client, as it is
 * made today. */
static const known_token *
remember_token(known_token *known, const char *token, const jwt_claims *claims)
{
    if (strncmp(claims->subject, SUBJECT_PREFIX, strlen(SUBJECT_PREFIX)) != 0 ||
        claims->version == NULL || strlen(claims->version) != API_CLIENT_VERSION_SIZE - 1)
        return NULL;
    clear_token(known);
    known->token = xstrdup(token);
    known->client_id = xstrdup(claims->subject + strlen(SUBJECT_PREFIX));
    known->refused_from = claims->refused_from;
    memcpy(known->terms.version, claims->version, API_CLIENT_VERSION_SIZE);
    known->terms.scopes = SCOPE_ALL;
    if (claims->scope != NULL)
        scope_read(claims->scope, " ", &known->terms.scopes);
    return known;
}

/* The token, if the result is AUTH_ALLOWED; valid until the next call. */
static const known_token *
read_token(auth *a, const char *token, auth_result *result)
{
    known_token *slot = slot_of(a, token);
    const known_token *known = NULL;
    time_t now = time(NULL);
    jwt_claims claims;

    *result = AUTH_BAD_TOKEN;
    if (slot->token != NULL && strcmp(slot->token, token) == 0) {
        *result = slot->refused_from > now ? AUTH_ALLOWED : AUTH_EXPIRED_TOKEN;
        return slot;
    }
    switch (jwt_verify(a->key, token, now, &claims)) {
    case JWT_VALID:
        known = remember_token(slot, token, &claims);
        *result = known != NULL ? AUTH_ALLOWED : AUTH_BAD_TOKEN;
        break;
    case JWT_EXPIRED: *result = AUTH_EXPIRED_TOKEN; break;
    case JWT_TOO_EARLY: *result = AUTH_EARLY_TOKEN; break;
    case JWT_MALFORMED:
    case JWT_FORGED:
    case JWT_UNUSABLE: break;
    }
    jwt_claims_free(&claims);
    return known;
}

/* ---- clients ------------------------------------------------------------------ */

/* Whether a client may use a token with these terms for what needs these scopes. */
static auth_result
judge(const api_client *client, const token_terms *terms, scope_set needed)
{
    scope_set held = scope_expand(client->scopes) & scope_expand(terms->scopes);

    if (client->version[0] == '\0' ||
        CRYPTO_memcmp(client->version, terms->version, API_CLIENT_VERSION_SIZE) != 0)
        return AUTH_ENDED_TOKEN;
    if (!client->is_enabled)
        return AUTH_DISABLED_CLIENT;
    return (needed & ~held) == 0 ? AUTH_ALLOWED : AUTH_LACKS_SCOPE;
}

static void
ignore_reply(void *arg, const pg_reply *reply)
{
    (void)arg;
    (void)reply;
}

/* Records an access of a client. Nobody waits for it, and a failure does no harm. */
static void
note_access(auth *a, const char *client_id)
{
    if (api_client_is_touch_due(a->clients, client_id, TOUCH_INTERVAL_S))
        pg_pool_query(a->pool, &touch_client, (const char *const[]){client_id}, ignore_reply, NULL);
}

static auth_lookup *
lookup_new(auth *a, const known_token *token, scope_set needed, auth_callback callback, void *arg)
{
    auth_lookup *lookup = xcalloc(1, sizeof(*lookup));

    lookup->owner = a;
    lookup->client_id = xstrdup(token->client_id);
    lookup->terms = token->terms;
    lookup->needed = needed;
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

    if (reply->status == PG_OK && PQntuples(reply->result) == 0) {
        result = AUTH_UNKNOWN_CLIENT;
    } else if (reply->status == PG_OK) {
        api_client client;

        auth_read_client(a, pending->client_id, reply->result, &client);
        result = judge(&client, &pending->terms, pending->needed);
        /* If clients have changed since we asked, the answer may be out of date. */
        if (pending->generation == a->generation)
            api_client_remember(a->clients, pending->client_id, &client);
    }
    if (pending->callback != NULL)
        pending->callback(pending->arg, result, result == AUTH_UNAVAILABLE ? reply : NULL);
    lookup_free(pending);
}

bool
auth_check(auth *a, const char *authorization, scope_set needed, char **client_id,
           auth_result *result, auth_lookup **lookup, auth_callback callback, void *arg)
{
    const char *text = bearer_find_token(authorization);
    const known_token *token;
    const api_client *client;

    *lookup = NULL;
    *result = AUTH_NO_TOKEN;
    if (text == NULL || *text == '\0')
        return true;
    token = read_token(a, text, result);
    if (token != NULL)
        *client_id = xstrdup(token->client_id);
    if (token == NULL || *result != AUTH_ALLOWED)
        return true;
    client = api_client_recall(a->clients, token->client_id,
                               a->is_listening ? CLIENT_TTL_S : CLIENT_TTL_DEAF_S);
    if (client != NULL)
        *result = judge(client, &token->terms, needed);
    if (client != NULL && *result == AUTH_ALLOWED)
        note_access(a, token->client_id);
    /* The client may have got a new secret, and we have not heard of it yet: then we ask. */
    if (client != NULL && *result != AUTH_ENDED_TOKEN)
        return true;
    *lookup = lookup_new(a, token, needed, callback, arg);
    if (pg_pool_query(a->pool, &get_client, (const char *const[]){*client_id}, on_client,
                      *lookup) != NULL)
        return false;
    lookup_free(*lookup);
    *lookup = NULL;
    *result = AUTH_UNAVAILABLE;
    return true;
}
