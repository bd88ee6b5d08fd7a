/*
 * auth/jwt.h: makes and verifies our own access tokens: JWTs signed with HS256. Nothing that a
 * token says about its algorithm can change that. auth.c calls it.
 */
#ifndef CTMS_REST_AUTH_JWT_H
#define CTMS_REST_AUTH_JWT_H

#include <time.h>

typedef struct jwt_key jwt_key;

typedef enum jwt_status {
    JWT_VALID,
    JWT_MALFORMED, /* not a JWT, another algorithm, or unknown extensions */
    JWT_FORGED,    /* the signature is not ours */
    JWT_UNUSABLE,  /* signed by us, but without a subject, or with claims of other types */
    JWT_EXPIRED,
    JWT_TOO_EARLY,
} jwt_status;

/* Of JWT_VALID; free with jwt_claims_free(). */
typedef struct jwt_claims {
    char *subject;
    char *scope;         /* NULL: none */
    char *version;       /* "ver"; NULL: none */
    time_t refused_from; /* see claims.h */
} jwt_claims;

/* NULL when there is no memory, or when secret is empty. */
jwt_key *jwt_key_new(const char *secret);
void jwt_key_free(jwt_key *key);

/* The compact form; free with free(). NULL on failure. scope may be NULL. */
char *jwt_sign(const jwt_key *key, const char *subject, const char *version, const char *scope,
               time_t now, time_t expires);
jwt_status jwt_verify(const jwt_key *key, const char *token, time_t now, jwt_claims *claims);
/* Also after other statuses. */
void jwt_claims_free(jwt_claims *claims);

#endif
