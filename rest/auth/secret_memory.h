/*
 * auth/secret_memory.h: remembers for a while that certain pairs of a client and a secret were
 * checked. secret_check.c has one for those that matched, and one for the others.
 *
 * It knows a pair by a digest only, which nobody without the key of this process can make or turn
 * back. The stored hash is part of it, so a pair is forgotten when the client's secret changes.
 */
#ifndef CTMS_REST_AUTH_SECRET_MEMORY_H
#define CTMS_REST_AUTH_SECRET_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_DIGEST_SIZE 32

typedef struct secret_memory secret_memory;

typedef struct secret_digest {
    unsigned char bytes[SECRET_DIGEST_SIZE];
} secret_digest;

/* hash: the stored one, "" for an unknown client. */
secret_digest secret_memory_digest(const secret_digest *key, const char *client_id,
                                   const char *hash, const char *secret);

/* Holds about that many pairs, each for lifetime_s; those that are used least go first. */
secret_memory *secret_memory_new(size_t pairs, double lifetime_s);
void secret_memory_free(secret_memory *memory);
void secret_memory_add(secret_memory *memory, const secret_digest *pair, double now_s);
/* is_renewed: if it has the pair, its lifetime begins anew. */
bool
secret_memory_has(secret_memory *memory, const secret_digest *pair, double now_s, bool is_renewed);

#endif
