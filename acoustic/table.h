/* acoustic/table.h: the tables at Acoustic that contacts are sent to. */
#ifndef CTMS_ACOUSTIC_TABLE_H
#define CTMS_ACOUSTIC_TABLE_H

#include <stdbool.h>

/* In the order of sending: the main row of a contact comes before its other rows. */
typedef enum acoustic_table {
    ACOUSTIC_MAIN,
    ACOUSTIC_NEWSLETTER,
    ACOUSTIC_WAITLIST,
    ACOUSTIC_PRODUCT,
    ACOUSTIC_TABLES,
} acoustic_table;

/* The name that ctms.acoustic_rows() uses. */
const char *acoustic_table_name(acoustic_table table);
/* False when no table has that name. */
bool acoustic_table_find(const char *name, acoustic_table *table);

#endif
