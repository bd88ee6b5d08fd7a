/*
 * legacy.h: finds bodies that still use fields of the older service. resource.c counts them.
 */
#ifndef CTMS_REST_LEGACY_H
#define CTMS_REST_LEGACY_H

#include <stdbool.h>

/*
 * Whether a body, an object as JSON, has a member vpn_waitlist or relay_waitlist, whatever its
 * value, and no waitlists that is a list of something; of two members with one name the last
 * counts. Reads the body once and keeps nothing of it, so it costs a megabyte about a millisecond.
 * Does not check the JSON: of a body that is none the answer means nothing. A name counts only if
 * it is written without escapes.
 */
bool legacy_uses_waitlists(const char *body);

#endif
