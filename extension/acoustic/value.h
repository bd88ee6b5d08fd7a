/*
 * acoustic/value.h: writes values in the form that Acoustic reads.
 */
#ifndef CTMS_ACOUSTIC_VALUE_H
#define CTMS_ACOUSTIC_VALUE_H

#include "postgres.h"

#include "utils/jsonb.h"

/* How to write a value where its type alone does not decide. */
typedef enum AcousticStyle {
    ACOUSTIC_PLAIN,
    ACOUSTIC_FLAG,       /* a boolean as 1 or 0 instead of Yes or No */
    ACOUSTIC_DATE,       /* a timestamp as its date, in UTC */
    ACOUSTIC_MAYBE_TIME, /* a text that is sent as a timestamp if it can be read as one */
    ACOUSTIC_MINUS_ONE   /* a number, -1 when null */
} AcousticStyle;

/* The longest text that is formatted here. */
#define ACOUSTIC_FORMATTED_LENGTH 64

/* A value as text. Its bytes lie in the value, or in "formatted", or in the current context. */
typedef struct AcousticText {
    const char *data; /* no null byte need follow */
    int length;
    char formatted[ACOUSTIC_FORMATTED_LENGTH];
} AcousticText;

extern void acoustic_text_set(AcousticText *text, const char *string);
extern bool acoustic_text_is(const AcousticText *text, const char *string);

/*
 * The types are text and varchar, boolean, integers, date, timestamptz and uuid. Null becomes
 * empty. ACOUSTIC_MAYBE_TIME depends on the settings DateStyle and TimeZone.
 */
extern void
acoustic_text_format(AcousticText *text, Datum value, bool is_null, Oid type, AcousticStyle style);

/* A member of waitlist fields: booleans as Yes and No, null empty. */
extern void acoustic_text_format_member(AcousticText *text, const JsonbValue *value);

#endif
