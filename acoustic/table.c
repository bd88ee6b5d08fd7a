/*
 * acoustic/table.c: the names of tables; see acoustic/table.h.
 */
#include "acoustic/table.h"

#include <string.h>

static const char *const names[] = {"main", "newsletter", "waitlist", "product"};

_Static_assert(sizeof(names) / sizeof(*names) == ACOUSTIC_TABLES, "every table has a name");

const char *
acoustic_table_name(acoustic_table table)
{
    return names[table];
}

bool
acoustic_table_find(const char *name, acoustic_table *table)
{
    for (int i = 0; i < ACOUSTIC_TABLES; i++) {
        if (strcmp(name, names[i]) == 0) {
            *table = (acoustic_table)i;
            return true;
        }
    }
    return false;
}
