/*
 * base/iso_time.h: reads and writes dates and times as ISO 8601. It raises no errors and does not
 * depend on the settings of the session (DateStyle, TimeZone).
 */
#ifndef CTMS_BASE_ISO_TIME_H
#define CTMS_BASE_ISO_TIME_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/date.h"

/* YYYY-MM-DD, years 0001 to 9999. */
extern bool iso_date_read(const char *input, int length, DateADT *date);

/*
 * A date, then optionally "T" or a space, HH:MM[:SS[.fraction]] and a zone: Z, ±HH, ±HHMM or
 * ±HH:MM. Without a zone the time is UTC. A fraction is cut at microseconds. A space in place of
 * the zone's "+" is accepted, because an unescaped "+" in a URL becomes a space.
 */
extern bool iso_time_read(const char *input, int length, TimestampTz *time);

/*
 * "2020-03-28" and "2020-03-28T15:41:00+00:00" in UTC, with microseconds only when they are not
 * zero. Values that today's rules do not allow (infinite ones, years before Christ) are written
 * too.
 */
extern void iso_date_write(StringInfo out, DateADT date);
extern void iso_time_write(StringInfo out, TimestampTz time);

#endif
