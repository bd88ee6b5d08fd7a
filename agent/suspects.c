/* suspects.c: see suspects.h. */
#include "agent/suspects.h"

#include <string.h>

enum { ANY_TABLE = -1 };

static const suspect *
find(const suspects *all, const contact *c, int table)
{
    int count = all->count < SUSPECTS_MAX ? all->count : SUSPECTS_MAX;

    for (int i = 0; i < count; i++) {
        if (strcmp(all->ring[i].email_id, c->email_id) == 0 &&
            (table == ANY_TABLE || all->ring[i].table == (acoustic_table)table))
            return &all->ring[i];
    }
    return NULL;
}

const suspect *
suspects_find_contact(const suspects *all, const contact *c, acoustic_table table)
{
    return find(all, c, (int)table);
}

bool
suspects_have_contact(const suspects *all, const contact *c)
{
    return find(all, c, ANY_TABLE) != NULL;
}

void
suspects_add_contact(suspects *all, const contact *c, acoustic_table table, double now_s)
{
    suspect *entry = (suspect *)find(all, c, (int)table);

    if (entry == NULL)
        entry = &all->ring[all->count++ % SUSPECTS_MAX];
    memcpy(entry->email_id, c->email_id, sizeof(entry->email_id));
    entry->table = table;
    entry->since_s = now_s;
}
