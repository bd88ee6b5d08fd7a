/*
 * stripe/value.h: reads and checks single values of a Stripe object; used by stripe/parse.c.
 *
 * "prefix" leads from the top object to the one that the path starts from ("items.data[0]."). A
 * function that returns false has noted the fault as the problem of the object.
 */
#ifndef CTMS_STRIPE_VALUE_H
#define CTMS_STRIPE_VALUE_H

#include "extension/stripe/stripe.h"

#define STRIPE_MAX_ID_LENGTH 255

typedef struct StripeReader {
    StripeObject *object; /* gets the records, or the problem */
    int *sequence;
} StripeReader;

/* Notes what is wrong with a key; returns false. */
extern bool
stripe_refuse(StripeReader *reader, const char *prefix, const char *path, const char *what);

/* NULL when the key is absent or null. */
extern JsonbValue *stripe_get_key(JsonbContainer *container, const char *key, int length);
/* A copy of the string of a key; NULL when there is none, or an empty one. */
extern char *stripe_get_string(JsonbContainer *container, const char *key);
/* NULL when the value is no object. */
extern JsonbContainer *stripe_object_of(JsonbValue *value);
/*
 * The value at a path of keys. *value is NULL when it, or an object on the way to it, is absent
 * or null.
 */
extern bool stripe_get_path(StripeReader *reader, JsonbContainer *container, const char *prefix,
                            const char *path, JsonbValue **value);
/* Copies a string of 1 to max_length characters. */
extern bool stripe_get_text(StripeReader *reader, const char *prefix, const char *path,
                            JsonbValue *value, int max_length, char **result);
/* Copies an id, or the id of an object in its place. */
extern bool stripe_get_reference(StripeReader *reader, const char *prefix, const char *path,
                                 JsonbValue *value, char **result);
/* Returns false, without noting a problem, when the value is not a time. */
extern bool stripe_get_time(JsonbValue *value, TimestampTz *result);
/*
 * The value of a field and the path that has it. *value is NULL, and *path the first path, when
 * none has it.
 */
extern bool stripe_find_value(StripeReader *reader, JsonbContainer *container, const char *prefix,
                              const StripeField *field, const char **path, JsonbValue **value);
extern bool stripe_get_datum(StripeReader *reader, const char *prefix, const char *path,
                             const StripeField *field, JsonbValue *value, Datum *result);

#endif
