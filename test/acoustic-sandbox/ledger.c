/* ledger.c: a ring of requests; see ledger.h. */
#include "test/acoustic-sandbox/ledger.h"

#include <stdlib.h>
#include <time.h>

#include "common/buf.h"

enum { RING = 64 * 1024 };

struct ledger_entry *
ledger_add(struct ledger *ledger)
{
    struct ledger_entry *entry;
    struct timespec now;

    if (ledger->entries == NULL)
        ledger->entries = xmalloc(RING * sizeof(*ledger->entries));
    entry = &ledger->entries[ledger->count % RING];
    clock_gettime(CLOCK_REALTIME, &now);
    *entry = (struct ledger_entry){.number = ++ledger->count,
                                   .time_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
                                   .answer = "right"};
    return entry;
}

json_t *
ledger_json(const struct ledger *ledger, long after, long limit)
{
    json_t *list = json_array();
    long first = ledger->count > RING ? ledger->count - RING : 0;

    for (long i = after > first ? after : first; i < ledger->count && limit-- > 0; i++) {
        const struct ledger_entry *e = &ledger->entries[i % RING];

        json_array_append_new(list, json_pack("{s:I, s:f, s:s, s:s, s:s, s:i, s:i, s:s}", "number",
                                              (json_int_t)e->number, "time", e->time_s, "operation",
                                              e->operation, "table", e->table, "email_id",
                                              e->email_id, "rows", e->rows, "in_flight",
                                              e->in_flight, "answer", e->answer));
    }
    return list;
}

void
ledger_clear(struct ledger *ledger)
{
    free(ledger->entries);
    *ledger = (struct ledger){0};
}
