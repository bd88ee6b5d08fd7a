/* auth/claims.c: from when until when a token is valid; see claims.h. */
#include "rest/auth/claims.h"

/* More seconds than any clock will show, and few enough for time_t. */
#define FAR_FUTURE 1e15

claims_time
claims_check_time(const json_t *claims, time_t now, time_t *refused_from)
{
    const json_t *expires = json_object_get(claims, "exp");
    const json_t *not_before = json_object_get(claims, "nbf");
    double end;

    if (!json_is_number(expires))
        return CLAIMS_NO_EXPIRY;
    if (not_before != NULL && !json_is_number(not_before))
        return CLAIMS_BAD_START;
    end = json_number_value(expires) + CLAIMS_LEEWAY_S;
    if (end <= (double)now)
        return CLAIMS_EXPIRED;
    if (not_before != NULL && json_number_value(not_before) > (double)now + CLAIMS_LEEWAY_S)
        return CLAIMS_TOO_EARLY;
    if (refused_from != NULL)
        *refused_from = (time_t)(end < FAR_FUTURE ? end : FAR_FUTURE);
    return CLAIMS_VALID;
}
