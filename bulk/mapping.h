/*
 * bulk/mapping.h: the mapping file, which tells Acoustic what the columns of a CSV file are.
 * files.c writes one beside each. Its form is decided in docs/decisions/acoustic-imports.md, and
 * nowhere else in the code than in mapping.c.
 */
#ifndef CTMS_BULK_MAPPING_H
#define CTMS_BULK_MAPPING_H

#include <stddef.h>

#include "acoustic/table.h"
#include "common/buf.h"

/* columns: in the order of the CSV file. */
void bulk_mapping_append(buf *out, acoustic_table table, long long table_id, char *const *columns,
                         size_t count);

#endif
