/*
 * mapping.h: reads the mapping file of an import: which table, and what the columns of the CSV file
 * are. import.c and job.c call it.
 *
 * It is strict: an element that it does not know, or one that is missing, is a problem. Only what
 * ctms needs is served: the action ADD_AND_UPDATE, and files of commas with a header.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_MAPPING_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_MAPPING_H

#include "test/acoustic-sandbox/settings.h"

enum { MAPPING_MAX_COLUMNS = 1000 };

struct mapping_column {
    char *name; /* null: the index has no column */
    bool is_included;
};

struct mapping {
    bool is_list;     /* a LIST_IMPORT, otherwise a TABLE_IMPORT */
    enum table table; /* TABLE_COUNT while it is not known */
    struct mapping_column *columns;
    size_t column_count; /* every index from 1 to this one has a column */
    char problem[160];   /* empty: the mapping is right */
};

/* Always fills the mapping; the caller frees it with mapping_free(). */
void mapping_read(struct mapping *mapping, const struct settings *settings, const char *path);
void mapping_free(struct mapping *mapping);

#endif
