/*
 * auth/claims.h: from when until when a token is valid: one rule for our own tokens and for those
 * of Google. jwt.c and pubsub.c call it.
 */
#ifndef CTMS_REST_AUTH_CLAIMS_H
#define CTMS_REST_AUTH_CLAIMS_H

#include <jansson.h>
#include <time.h>

/* Clocks differ: a token may be this much too early or too late. */
#define CLAIMS_LEEWAY_S 60

typedef enum claims_time {
    CLAIMS_VALID,
    CLAIMS_NO_EXPIRY, /* "exp" is not there, or not a number */
    CLAIMS_EXPIRED,
    CLAIMS_BAD_START, /* "nbf" is there, but not a number */
    CLAIMS_TOO_EARLY,
} claims_time;

/* claims may be NULL. Of CLAIMS_VALID, *refused_from is the first second in which it no longer is
 * valid; refused_from may be NULL. */
claims_time claims_check_time(const json_t *claims, time_t now, time_t *refused_from);

#endif
