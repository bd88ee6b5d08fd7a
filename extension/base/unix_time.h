/*
 * base/unix_time.h: reads times that are numbers.
 */
#ifndef CTMS_BASE_UNIX_TIME_H
#define CTMS_BASE_UNIX_TIME_H

#include "postgres.h"

#include "datatype/timestamp.h"

/*
 * Reads seconds since 1970 in UTC: an optional sign, digits, and optionally a point and more
 * digits, which are cut at microseconds. Numbers beyond 20,000,000,000 (the year 2603) either way
 * are milliseconds, beyond a thousand times that microseconds, and so on up to nanoseconds; larger
 * ones are refused. Raises no errors.
 */
extern bool unix_time_read(const char *input, int length, TimestampTz *time);

#endif
