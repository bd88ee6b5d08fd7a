/* bearer.c: tokens of the Bearer scheme; see bearer.h. */
#include "common/bearer.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

const char *
bearer_find_token(const char *authorization)
{
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    return authorization + 7 + strspn(authorization + 7, " ");
}

bool
bearer_is_same(const char *given, const char *expected)
{
    unsigned char hashes[2][SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)given, strlen(given), hashes[0]);
    SHA256((const unsigned char *)expected, strlen(expected), hashes[1]);
    return CRYPTO_memcmp(hashes[0], hashes[1], sizeof(hashes[0])) == 0;
}
