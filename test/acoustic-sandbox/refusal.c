/* refusal.c: a ring of refusals; see refusal.h. */
#include "test/acoustic-sandbox/refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/utf8.h"

static void
copy(char *into, size_t size, const char *text)
{
    size_t length = text ? strnlen(text, size - 1) : 0;

    /* Not in the middle of a character: the page would not be UTF-8. */
    if (length > 0) {
        length = utf8_valid_prefix(text, length);
        memcpy(into, text, length);
    }
    into[length] = '\0';
}

void
refusal_add(struct refusal_log *log, const char *operation, const char *table,
            const struct row *columns, const char *key, const char *reason)
{
    struct refusal *entry;
    struct timespec now;

    if (log->entries == NULL)
        log->entries = xmalloc(REFUSAL_RING * sizeof(*log->entries));
    entry = &log->entries[log->count++ % REFUSAL_RING];
    clock_gettime(CLOCK_REALTIME, &now);
    *entry = (struct refusal){.time_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9};
    copy(entry->operation, sizeof(entry->operation), operation);
    copy(entry->table, sizeof(entry->table), table);
    copy(entry->reason, sizeof(entry->reason), reason);
    if (columns != NULL) {
        copy(entry->email_id, sizeof(entry->email_id), row_get(columns, "email_id"));
        copy(entry->row, sizeof(entry->row), row_get(columns, key ? key : "email"));
    }
}

const struct refusal *
refusal_get(const struct refusal_log *log, long back)
{
    if (back < 0 || back >= log->count || back >= REFUSAL_RING)
        return NULL;
    return &log->entries[(log->count - 1 - back) % REFUSAL_RING];
}

void
refusal_clear(struct refusal_log *log)
{
    free(log->entries);
    *log = (struct refusal_log){0};
}
