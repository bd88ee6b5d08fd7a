/*
 * stripe/unwrap.h: the Stripe objects in what a caller gives, which may be an object, an event with
 * an object in it, or a list of any of these. stripe/upsert.c calls it.
 */
#ifndef CTMS_STRIPE_UNWRAP_H
#define CTMS_STRIPE_UNWRAP_H

#include "extension/stripe/stripe.h"

/* An object or event that is not a list. */
typedef struct StripePart {
    JsonbValue *value;
    const char *path;       /* leads to it from the value that the caller gave: "data[3]" or "" */
    JsonbContainer *event;  /* NULL: it is no event */
    bool has_time;          /* of the event */
    TimestampTz time;       /* DT_NOEND without a time */
    bool has_more;          /* a list around it has more pages */
    int number;             /* among the parts, as they were found */
    StripeProblem *problem; /* of a list that cannot be read; value is NULL then */
} StripePart;

typedef struct StripeParts {
    List *parts;    /* of StripePart, in the order in which they must be stored */
    List *warnings; /* of char * */
} StripeParts;

/* True for a list as Stripe's API renders it. */
extern bool stripe_is_list(JsonbValue *value);
/*
 * The parts of a value. Raises no error for anything that it contains. What has a time comes in the
 * order of the times; in Stripe's lists the newest event is the first, so of two with the same time
 * the later one in the list comes first.
 */
extern StripeParts *stripe_unwrap(JsonbValue *value);
/* The object of a part, or of the event that it is. "sequence" numbers the records. */
extern StripeObject *stripe_parse_part(const StripePart *part, int *sequence);

#endif
