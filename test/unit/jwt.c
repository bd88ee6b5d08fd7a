/* Tests of tokens. uses: rest/auth/jwt.c rest/auth/claims.c rest/auth/jose_text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/buf.h"
#include "rest/auth/claims.h"
#include "rest/auth/jwt.h"

static void
signs_and_verifies(void **state)
{
    jwt_key *key = jwt_key_new("a key of at least 32 characters."),
            *other = jwt_key_new("another of 32 characters at least");
    char *token = jwt_sign(key, "api_client:\"x\"", "v", "s t", 1000, 2000);
    jwt_claims claims;

    (void)state;
    assert_int_equal(jwt_verify(key, token, 2059, &claims), JWT_VALID);
    assert_string_equal(claims.subject, "api_client:\"x\"");
    assert_string_equal(claims.version, "v");
    assert_string_equal(claims.scope, "s t");
    assert_int_equal(claims.refused_from, 2060);
    jwt_claims_free(&claims);
    assert_int_equal(jwt_verify(key, token, 2060, &claims), JWT_EXPIRED);
    assert_int_equal(jwt_verify(other, token, 1000, &claims), JWT_FORGED);
    assert_int_equal(jwt_verify(key, "a.b.c", 1000, &claims), JWT_MALFORMED);
    assert_int_equal(jwt_verify(key, "", 1000, &claims), JWT_MALFORMED);
    /* Padding and lengths with which cjose ended the process. */
    assert_int_equal(jwt_verify(key, "A===.A===.A===", 1000, &claims), JWT_MALFORMED);
    assert_int_equal(jwt_verify(key, "e30.e30=.A=AA", 1000, &claims), JWT_MALFORMED);
    assert_int_equal(jwt_verify(key, "e30.e30", 1000, &claims), JWT_MALFORMED);
    assert_int_equal(jwt_verify(key, "e30.e30.e30.e30", 1000, &claims), JWT_MALFORMED);
    free(token);
    jwt_key_free(key);
    jwt_key_free(other);
}

static claims_time
time_of(const char *claims)
{
    json_t *json = json_loads(claims, 0, NULL);
    claims_time result = claims_check_time(json, 1000, NULL);

    json_decref(json);
    return result;
}

static void
knows_when_tokens_are_valid(void **state)
{
    (void)state;
    assert_int_equal(time_of("{\"exp\": 941}"), CLAIMS_VALID);
    assert_int_equal(time_of("{\"exp\": 940.5}"), CLAIMS_VALID);
    assert_int_equal(time_of("{\"exp\": 940}"), CLAIMS_EXPIRED);
    assert_int_equal(time_of("{\"exp\": -1e300}"), CLAIMS_EXPIRED);
    assert_int_equal(time_of("{\"exp\": 1e300}"), CLAIMS_VALID);
    assert_int_equal(time_of("{\"exp\": 9223372036854775807}"), CLAIMS_VALID);
    assert_int_equal(time_of("{\"exp\": 2000, \"nbf\": 1060}"), CLAIMS_VALID);
    assert_int_equal(time_of("{\"exp\": 2000, \"nbf\": 1060.5}"), CLAIMS_TOO_EARLY);
    assert_int_equal(time_of("{\"exp\": 2000, \"nbf\": 1e300}"), CLAIMS_TOO_EARLY);
    assert_int_equal(time_of("{\"exp\": 2000, \"nbf\": null}"), CLAIMS_BAD_START);
    assert_int_equal(time_of("{\"exp\": 2000, \"nbf\": \"1\"}"), CLAIMS_BAD_START);
    assert_int_equal(time_of("{\"exp\": \"2000\"}"), CLAIMS_NO_EXPIRY);
    assert_int_equal(time_of("{\"exp\": true}"), CLAIMS_NO_EXPIRY);
    assert_int_equal(time_of("[]"), CLAIMS_NO_EXPIRY);
    assert_int_equal(time_of("no JSON"), CLAIMS_NO_EXPIRY);
}

/* A token in which any one character is changed is never valid. */
static void
refuses_changed_tokens(void **state)
{
    jwt_key *key = jwt_key_new("a key of at least 32 characters.");
    char *token = jwt_sign(key, "api_client:x", "v", "s t", 1000, 2000);
    jwt_claims claims;

    (void)state;
    /* The last character contains bits that decoders may ignore. */
    for (size_t i = 0; i + 1 < strlen(token); i++) {
        char old = token[i];

        token[i] = old == 'A' ? 'B' : 'A';
        assert_int_not_equal(jwt_verify(key, token, 1000, &claims), JWT_VALID);
        token[i] = old;
    }
    free(token);
    jwt_key_free(key);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_and_verifies),
        cmocka_unit_test(knows_when_tokens_are_valid),
        cmocka_unit_test(refuses_changed_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
