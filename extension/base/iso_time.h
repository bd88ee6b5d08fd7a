/*
 * base/iso_time.h: reads dates and times as ISO 8601 writes them, without raising errors and
 * without the session's settings (DateStyle, TimeZone) having a say.
 */
#ifndef CTMS_BASE_ISO_TIME_H
#define CTMS_BASE_ISO_TIME_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/date.h"

/* YYYY-MM-DD, years 0001 to 9999. */
extern bool iso_date_read(const char *input, int length, DateADT *date);

/*
 * A date, then optionally "T" or a space, HH:MM[:SS[.fraction]] and a zone: Z, ±HH, ±HHMM
 * or ±HH:MM; UTC without one. A fraction is cut at microseconds. A space for the zone's
 * "+" is understood: that is what an unescaped "+" in a URL becomes.
 */
extern bool iso_time_read(const char *input, int length, TimestampTz *time);

#endif
