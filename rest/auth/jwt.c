/* auth/jwt.c: makes and verifies our own access tokens: JWTs signed with HS256; see jwt.h. */
#include "rest/auth/jwt.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "rest/auth/claims.h"
#include "rest/auth/jose_text.h"

#define TOKEN_MAX 8192

struct jwt_key {
    cjose_jwk_t *jwk;
};

jwt_key *
jwt_key_new(const char *secret)
{
    cjose_err error;
    cjose_jwk_t *jwk = cjose_jwk_create_oct_spec((const uint8_t *)secret, strlen(secret), &error);
    jwt_key *key;

    if (jwk == NULL)
        return NULL;
    key = xmalloc(sizeof(*key));
    key->jwk = jwk;
    return key;
}

void
jwt_key_free(jwt_key *key)
{
    if (key == NULL)
        return;
    cjose_jwk_release(key->jwk);
    free(key);
}

char *
jwt_sign(const jwt_key *key, const char *subject, const char *version, const char *scope,
         time_t now, time_t expires)
{
    json_t *claims = json_pack("{s:s, s:s, s:s*, s:I, s:I}", "sub", subject, "ver", version,
                               "scope", scope, "iat", (json_int_t)now, "exp", (json_int_t)expires);
    char *payload = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    cjose_header_t *header = NULL;
    cjose_jws_t *jws = NULL;
    const char *compact = NULL;
    char *token = NULL;
    cjose_err error;

    if (payload == NULL || (header = cjose_header_new(&error)) == NULL ||
        !cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_HS256, &error) ||
        !cjose_header_set(header, "typ", "JWT", &error))
        goto out;
    jws = cjose_jws_sign(key->jwk, header, (const uint8_t *)payload, strlen(payload), &error);
    if (jws != NULL && cjose_jws_export(jws, &compact, &error))
        token = xstrdup(compact);
out:
    cjose_jws_release(jws);
    cjose_header_release(header);
    free(payload);
    json_decref(claims);
    return token;
}

/* HS256 and no "crit": a token that asks for anything else is refused. */
static bool
has_our_header(cjose_jws_t *jws)
{
    cjose_header_t *header = cjose_jws_get_protected(jws);
    cjose_err error;
    const char *algorithm = header ? cjose_header_get(header, CJOSE_HDR_ALG, &error) : NULL;
    char *critical = header ? cjose_header_get_raw(header, "crit", &error) : NULL;
    bool ok = algorithm != NULL && strcmp(algorithm, CJOSE_HDR_ALG_HS256) == 0 && critical == NULL;

    free(critical);
    return ok;
}

static jwt_status
check_claims(const json_t *json, time_t now, jwt_claims *claims)
{
    const json_t *subject = json_object_get(json, "sub");
    const json_t *version = json_object_get(json, "ver");
    const json_t *granted = json_object_get(json, "scope");

    if (!json_is_string(subject) || (version != NULL && !json_is_string(version)) ||
        (granted != NULL && !json_is_string(granted)))
        return JWT_UNUSABLE;
    switch (claims_check_time(json, now, &claims->refused_from)) {
    case CLAIMS_VALID: break;
    case CLAIMS_NO_EXPIRY:
    case CLAIMS_BAD_START: return JWT_UNUSABLE;
    case CLAIMS_EXPIRED: return JWT_EXPIRED;
    case CLAIMS_TOO_EARLY: return JWT_TOO_EARLY;
    }
    claims->subject = xstrdup(json_string_value(subject));
    claims->version = version ? xstrdup(json_string_value(version)) : NULL;
    claims->scope = granted ? xstrdup(json_string_value(granted)) : NULL;
    return JWT_VALID;
}

static jwt_status
read_claims(cjose_jws_t *jws, time_t now, jwt_claims *claims)
{
    uint8_t *text = NULL;
    size_t length = 0;
    cjose_err error;
    json_t *json;
    jwt_status status;

    if (!cjose_jws_get_plaintext(jws, &text, &length, &error))
        return JWT_UNUSABLE;
    json = json_loadb((const char *)text, length, 0, NULL);
    status = check_claims(json, now, claims);
    json_decref(json);
    return status;
}

jwt_status
jwt_verify(const jwt_key *key, const char *token, time_t now, jwt_claims *claims)
{
    size_t length = strlen(token);
    jwt_status status = JWT_MALFORMED;
    cjose_jws_t *jws;
    cjose_err error;

    *claims = (jwt_claims){.subject = NULL};
    if (length > TOKEN_MAX || !jose_text_is_compact_jws(token, length) ||
        (jws = cjose_jws_import(token, length, &error)) == NULL)
        return JWT_MALFORMED;
    if (has_our_header(jws)) {
        if (cjose_jws_verify(jws, key->jwk, &error))
            status = read_claims(jws, now, claims);
        else
            status = JWT_FORGED;
    }
    cjose_jws_release(jws);
    return status;
}

void
jwt_claims_free(jwt_claims *claims)
{
    free(claims->subject);
    free(claims->version);
    free(claims->scope);
    *claims = (jwt_claims){.subject = NULL};
}
