/*
 * acoustic/value.h: writes values in the form that Acoustic reads.
 */
#ifndef CTMS_ACOUSTIC_VALUE_H
#define CTMS_ACOUSTIC_VALUE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* How to write a value where its type alone does not decide. */
typedef enum AcousticStyle {
    ACOUSTIC_PLAIN,
    ACOUSTIC_FLAG,       /* a boolean as 1 or 0 instead of Yes or No */
    ACOUSTIC_DATE,       /* a timestamp as its date, in UTC */
    ACOUSTIC_MAYBE_TIME, /* a text that is sent as a timestamp if it can be read as one */
    ACOUSTIC_MINUS_ONE   /* a number, -1 when null */
} AcousticStyle;

/*
 * Appends "name":"value" to a JSON object, with a comma in front unless it is the first member.
 * The types are text and varchar, boolean, integers, date, timestamptz and uuid. Null becomes
 * empty. ACOUSTIC_MAYBE_TIME depends on the settings DateStyle and TimeZone.
 */
extern void acoustic_append_field(StringInfo json, const char *name, Datum value, bool is_null,
                                  Oid type, AcousticStyle style);

/* The same with a value that is text already. */
extern void acoustic_append_text_field(StringInfo json, const char *name, const char *value);

/* A member of waitlist fields as text: booleans as Yes and No, null empty; palloc'd. */
extern char *acoustic_json_member_text(const JsonbValue *value);

#endif
