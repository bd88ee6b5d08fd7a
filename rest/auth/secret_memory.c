/* auth/secret_memory.c: a table of digests, in sets of a few; see secret_memory.h. */
#include "rest/auth/secret_memory.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* A pair can be in one set only, which its digest names. */
#define WAYS 8

typedef struct known_pair {
    secret_digest pair;
    double used_s;
    double expires_s; /* 0: never used */
} known_pair;

struct secret_memory {
    size_t sets;
    double lifetime_s;
    known_pair known[];
};

secret_digest
secret_memory_digest(const secret_digest *key, const char *client_id, const char *hash,
                     const char *secret)
{
    /* Each with its NUL, so that no two triples make one text. */
    size_t length = strlen(client_id) + strlen(hash) + strlen(secret) + 3;
    secret_digest digest = {{0}};
    buf text = BUF_INIT;

    buf_reserve(&text, length + 1);
    buf_append(&text, client_id, strlen(client_id) + 1);
    buf_append(&text, hash, strlen(hash) + 1);
    buf_append(&text, secret, strlen(secret) + 1);
    HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), (const unsigned char *)text.data,
         text.length, digest.bytes, NULL);
    explicit_bzero(text.data, text.length);
    buf_free(&text);
    return digest;
}

secret_memory *
secret_memory_new(size_t pairs, double lifetime_s)
{
    size_t sets = (pairs + WAYS - 1) / WAYS;
    secret_memory *memory = xcalloc(1, sizeof(*memory) + sets * WAYS * sizeof(known_pair));

    memory->sets = sets;
    memory->lifetime_s = lifetime_s;
    return memory;
}

void
secret_memory_free(secret_memory *memory)
{
    free(memory);
}

static known_pair *
set_of(secret_memory *memory, const secret_digest *pair)
{
    size_t number;

    memcpy(&number, pair->bytes, sizeof(number));
    return &memory->known[number % memory->sets * WAYS];
}

static known_pair *
find(known_pair *set, const secret_digest *pair)
{
    for (int i = 0; i < WAYS; i++) {
        if (set[i].expires_s > 0 && memcmp(&set[i].pair, pair, sizeof(*pair)) == 0)
            return &set[i];
    }
    return NULL;
}

void
secret_memory_add(secret_memory *memory, const secret_digest *pair, double now_s)
{
    known_pair *set = set_of(memory, pair);
    known_pair *place = find(set, pair);

    for (int i = 0; place == NULL && i < WAYS; i++) {
        if (set[i].expires_s <= now_s)
            place = &set[i];
    }
    if (place == NULL) {
        place = set;
        for (int i = 1; i < WAYS; i++) {
            if (set[i].used_s < place->used_s)
                place = &set[i];
        }
    }
    *place = (known_pair){.pair = *pair, .used_s = now_s, .expires_s = now_s + memory->lifetime_s};
}

bool
secret_memory_has(secret_memory *memory, const secret_digest *pair, double now_s, bool is_renewed)
{
    known_pair *known = find(set_of(memory, pair), pair);

    if (known == NULL || known->expires_s <= now_s)
        return false;
    known->used_s = now_s;
    if (is_renewed)
        known->expires_s = now_s + memory->lifetime_s;
    return true;
}
