/*
 * base/stored_jsonb.c: reads one jsonb from a configuration table, for a cache of the session.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "extension/base/latest_snapshot.h"
#include "extension/base/stored_jsonb.h"

static Oid
owner_of(Oid table)
{
    HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    Oid owner;

    if (!HeapTupleIsValid(row))
        elog(ERROR, "cache lookup failed for relation %u", table);
    owner = ((Form_pg_class)GETSTRUCT(row))->relowner;
    ReleaseSysCache(row);
    return owner;
}

static SPIPlanPtr
kept_plan(const char *query)
{
    Oid types[1] = {TEXTOID};
    SPIPlanPtr plan = SPI_prepare(query, 1, types);

    if (!plan || SPI_keepplan(plan) != 0)
        elog(ERROR, "could not prepare \"%s\"", query);
    return plan;
}

static Jsonb *
execute(Oid table, SPIPlanPtr plan, const char *key, MemoryContext context)
{
    Datum values[1] = {CStringGetTextDatum(key)};
    Snapshot snapshot = latest_snapshot_register(table);
    Jsonb *found = NULL;
    bool is_null;

    if (SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot, true, false, 1) !=
        SPI_OK_SELECT)
        elog(ERROR, "could not read a stored schema");
    UnregisterSnapshot(snapshot);
    if (SPI_processed == 1) {
        Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
        MemoryContext old = MemoryContextSwitchTo(context);

        found = is_null ? NULL : (Jsonb *)PG_DETOAST_DATUM_COPY(value);
        MemoryContextSwitchTo(old);
    }
    return found;
}

Jsonb *
stored_jsonb_read(Oid table, SPIPlanPtr *plan, const char *query, const char *key)
{
    MemoryContext context = CurrentMemoryContext;
    Oid user;
    int security;
    Jsonb *found;

    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(owner_of(table),
                           security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "could not connect to SPI");
    if (!*plan)
        *plan = kept_plan(query);
    found = execute(table, *plan, key, context);
    SPI_finish();
    SetUserIdAndSecContext(user, security);
    return found;
}
