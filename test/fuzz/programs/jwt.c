/*
 * Access tokens: no input may be valid, because we signed none of them.
 * uses: rest/auth/jwt.c rest/auth/claims.c rest/auth/jose_text.c
 */
#include <string.h>

#include "rest/auth/jwt.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static jwt_key *key;
    jwt_claims claims = {0};
    char *token = malloc(size + 1);

    if (!key)
        key = jwt_key_new("a secret key for tests only, 32+");
    FUZZ_CHECK(key != NULL && token != NULL);
    if (size > 0)
        memcpy(token, data, size);
    token[size] = '\0';
    FUZZ_CHECK(jwt_verify(key, token, 1000, &claims) != JWT_VALID);
    free(token);
    return 0;
}
