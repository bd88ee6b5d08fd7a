/*
 * acoustic/table.h: the tables at Acoustic that a contact goes to.
 */
#ifndef AGENT_ACOUSTIC_TABLE_H
#define AGENT_ACOUSTIC_TABLE_H

#include <stdbool.h>

/* In the order in which they are sent: a contact's main row comes before its others. */
typedef enum acoustic_table {
    ACOUSTIC_MAIN,
    ACOUSTIC_NEWSLETTER,
    ACOUSTIC_WAITLIST,
    ACOUSTIC_PRODUCT,
    ACOUSTIC_TABLES,
} acoustic_table;

/* As ctms.acoustic_rows() calls it. */
const char *acoustic_table_name(acoustic_table table);
/* False when no table is called that. */
bool acoustic_table_find(const char *name, acoustic_table *table);

#endif
