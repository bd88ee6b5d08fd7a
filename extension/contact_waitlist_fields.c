/*
 * contact_waitlist_fields.c: errors of waitlist fields as errors of a request.
 *
 * The trigger on waitlists has the say for now.
 */
#include "compat.h"

#include "contact_waitlist_fields.h"

void
contact_waitlist_fields_check(const char *name, Jsonb *fields, const BodyPlace *place,
                              BodyErrors *errors)
{
}
