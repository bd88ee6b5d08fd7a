/*
 * json/text.h: writes JSON as text, straight into a buffer.
 */
#ifndef CTMS_JSON_TEXT_H
#define CTMS_JSON_TEXT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/date.h"
#include "utils/uuid.h"

/*
 * Builds the result of a function that returns json: begin, append, end. The buffer itself
 * becomes the Datum, so nothing is copied. It is allocated in the context that is current at
 * json_answer_begin().
 */
extern void json_answer_begin(StringInfo out);
extern Datum json_answer_end(StringInfo out);

/* A JSON string of `length` bytes in the database's encoding. */
extern void json_text_write(StringInfo out, const char *bytes, int length);
extern void json_text_write_datum(StringInfo out, Datum text_value);
extern void json_text_write_uuid(StringInfo out, const pg_uuid_t *uuid);

/* "2020-03-28T15:41:00+00:00" in UTC, microseconds only when not zero (base/iso_time.h). */
extern void json_text_write_time(StringInfo out, TimestampTz time);
extern void json_text_write_date(StringInfo out, DateADT date);

#endif
