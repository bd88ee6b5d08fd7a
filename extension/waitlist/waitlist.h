/*
 * waitlist/waitlist.h: checks the fields of a waitlist with the JSON Schema that is stored for
 * its name.
 */
#ifndef CTMS_WAITLIST_H
#define CTMS_WAITLIST_H

#include "extension/base/compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* What is wrong with one field. A message never contains a value of the fields. */
typedef struct WaitlistFieldError {
    char *instance_location; /* JSON Pointer into the fields, "" for the whole */
    char *keyword;
    char *keyword_location; /* JSON Pointer into the schema */
    char *message;
} WaitlistFieldError;

/*
 * Whether the fields are valid under the schema of that name or, if there is none, under the one
 * named "default". If that does not exist either, no fields are valid. When the fields are not
 * valid, *errors becomes a List of WaitlistFieldError in the current memory context; errors may
 * be NULL. Sees changes of schemas by this transaction, and changes by others as soon as they are
 * committed.
 */
extern bool waitlist_check_fields(const char *name, JsonbContainer *fields, List **errors);

#endif
