/* auth/api_client.c: see auth/api_client.h. */
#include "rest/auth/api_client.h"

#include <cjose/cjose.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"

#define CLIENTS_MAX 256
#define VERSION_BYTES 16

typedef struct known_client {
    char *client_id;
    api_client client;
    double known_since_s;
    double touched_s; /* when its last access was last written; 0: never */
} known_client;

struct api_client_memory {
    int count;
    known_client clients[CLIENTS_MAX];
};

/* ---- what the database says -------------------------------------------------------- */

static void
make_version(const unsigned char key[API_CLIENT_KEY_SIZE], const char *client_id, const char *hash,
             const char *created, char version[API_CLIENT_VERSION_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char *text = NULL;
    size_t length = 0;
    cjose_err error;
    buf input = BUF_INIT;

    /* Each with its NUL, so that no two clients give the same bytes. */
    buf_append(&input, client_id, strlen(client_id) + 1);
    buf_append(&input, hash, strlen(hash) + 1);
    buf_append(&input, created, strlen(created) + 1);
    version[0] = '\0';
    if (HMAC(EVP_sha256(), key, API_CLIENT_KEY_SIZE, (const unsigned char *)input.data,
             input.length, digest, NULL) != NULL &&
        cjose_base64url_encode(digest, VERSION_BYTES, &text, &length, &error) &&
        length == API_CLIENT_VERSION_SIZE - 1)
        memcpy(version, text, API_CLIENT_VERSION_SIZE);
    free(text);
    buf_free(&input);
}

void
api_client_read(const unsigned char key[API_CLIENT_KEY_SIZE], const char *client_id,
                const PGresult *result, api_client *client)
{
    client->is_enabled = PQgetvalue(result, 0, 0)[0] == 't';
    /* A newer database may have scopes that we do not know; they allow nothing here. */
    client->scopes = SCOPE_ALL;
    if (!PQgetisnull(result, 0, 3))
        scope_read(PQgetvalue(result, 0, 3), " ", &client->scopes);
    make_version(key, client_id, PQgetvalue(result, 0, API_CLIENT_SECRET_COLUMN),
                 PQgetvalue(result, 0, 2), client->version);
}

/* ---- what is remembered -------------------------------------------------------------- */

api_client_memory *
api_client_memory_new(void)
{
    return xcalloc(1, sizeof(api_client_memory));
}

void
api_client_memory_free(api_client_memory *memory)
{
    api_client_forget_all(memory);
    free(memory);
}

void
api_client_forget_all(api_client_memory *memory)
{
    while (memory->count > 0)
        free(memory->clients[--memory->count].client_id);
}

static known_client *
find_client(api_client_memory *memory, const char *client_id)
{
    for (int i = 0; i < memory->count; i++) {
        if (strcmp(memory->clients[i].client_id, client_id) == 0)
            return &memory->clients[i];
    }
    return NULL;
}

void
api_client_remember(api_client_memory *memory, const char *client_id, const api_client *client)
{
    known_client *known = find_client(memory, client_id);

    if (known == NULL) {
        if (memory->count == CLIENTS_MAX)
            api_client_forget_all(memory);
        known = &memory->clients[memory->count++];
        *known = (known_client){.client_id = xstrdup(client_id)};
    }
    known->client = *client;
    known->known_since_s = clock_now_s();
}

const api_client *
api_client_recall(api_client_memory *memory, const char *client_id, double max_age_s)
{
    known_client *known = find_client(memory, client_id);

    if (known == NULL || known->known_since_s + max_age_s < clock_now_s())
        return NULL;
    return &known->client;
}

bool
api_client_is_touch_due(api_client_memory *memory, const char *client_id, double interval_s)
{
    known_client *known = find_client(memory, client_id);
    double now = clock_now_s();

    if (known == NULL || (known->touched_s > 0 && known->touched_s + interval_s > now))
        return false;
    known->touched_s = now;
    return true;
}
