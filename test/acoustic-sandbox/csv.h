/*
 * csv.h: reads records of a CSV file (RFC 4180) in pieces. job.c calls it.
 *
 * A record ends with LF or CR LF. A value in quotes may have commas, line breaks and doubled
 * quotes. After a record that breaks these rules nothing more can be read. Other text than UTF-8 is
 * not noticed here.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_CSV_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

enum csv_result { CSV_RECORD, CSV_END, CSV_BROKEN };

struct csv {
    int fd; /* of the caller, who closes it */
    char *input;
    size_t at, length;   /* of the input */
    long next_line;      /* the next byte's */
    long line;           /* in which the record began, from 1 on */
    buf text;            /* the record's values, each with a NUL behind it */
    size_t *starts;      /* where they begin, and where the next one would */
    size_t count, size;  /* of the values; of the array */
    const char *problem; /* when it is broken: static text */
};

void csv_open(struct csv *csv, int fd);
enum csv_result csv_next(struct csv *csv);
const char *csv_value(const struct csv *csv, size_t index);
size_t csv_length(const struct csv *csv, size_t index);
void csv_close(struct csv *csv);

/* Adds a value in quotes where it needs them. */
void csv_add(buf *record, const char *value);

#endif
