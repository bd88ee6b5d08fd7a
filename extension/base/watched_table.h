/*
 * base/watched_table.h: hears of changes of configuration tables whose rows sessions keep.
 *
 * A trigger of such a table asks for its relcache invalidation with every change
 * (ctms._invalidate_table). Other sessions hear of it when it is committed, this session at its
 * next command, and again when the change is undone. They share one callback, because PostgreSQL
 * has few places for those.
 */
#ifndef CTMS_BASE_WATCHED_TABLE_H
#define CTMS_BASE_WATCHED_TABLE_H

#include "postgres.h"

/* In static memory, with its name; the rest is zeroed, and filled in here. */
typedef struct WatchedTable {
    const char *name; /* in schema ctms */
    /* Grows with every change; never 0 once the table is watched. */
    uint64 generation;
    Oid oid; /* as it was last found; InvalidOid: every change counts */
    struct WatchedTable *next;
} WatchedTable;

/* Called once for each table, by _PG_init. */
extern void watched_table_add(WatchedTable *table);

/* Looks the table up by its name; InvalidOid when there is none. */
extern Oid watched_table_find(WatchedTable *table);

#endif
