/* secret.c: makes client secrets and their hashes; see secret.h. */
#include "cli/secret.h"

#include <argon2.h>
#include <string.h>
#include <sys/random.h>

/*
 * The second choice of OWASP for argon2id. The secrets are 256 random bits, so the hash need not
 * slow down guessing; it must be cheap enough for every POST /token.
 */
enum {
    ARGON2_PASSES = 2,
    ARGON2_MEMORY_KIB = 19456,
    ARGON2_LANES = 1,
    ARGON2_SALT_BYTES = 16,
    ARGON2_HASH_BYTES = 32,
    SECRET_BYTES = 32,
};

#define SECRET_PREFIX "secret_"

static bool
fill_random(void *buffer, size_t size)
{
    /* For at most 256 bytes getrandom() returns all of them or fails. */
    return getrandom(buffer, size, 0) == (ssize_t)size;
}

/* Base64 with "-" and "_" and without padding. */
static void
encode_base64url(const unsigned char *bytes, size_t size, char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned int bits = 0;
    int held = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            *text++ = alphabet[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *text++ = alphabet[bits << (6 - held) & 63];
    *text = '\0';
}

bool
secret_make(char secret[SECRET_SIZE], char hash[SECRET_HASH_SIZE])
{
    unsigned char random[SECRET_BYTES];
    unsigned char salt[ARGON2_SALT_BYTES];
    int status;

    if (!fill_random(random, sizeof(random)) || !fill_random(salt, sizeof(salt)))
        return false;
    memcpy(secret, SECRET_PREFIX, sizeof(SECRET_PREFIX) - 1);
    encode_base64url(random, sizeof(random), secret + sizeof(SECRET_PREFIX) - 1);
    explicit_bzero(random, sizeof(random));
    status = argon2id_hash_encoded(ARGON2_PASSES, ARGON2_MEMORY_KIB, ARGON2_LANES, secret,
                                   strlen(secret), salt, sizeof(salt), ARGON2_HASH_BYTES, hash,
                                   SECRET_HASH_SIZE);
    return status == ARGON2_OK;
}
