/*
 * acoustic/tables.c: the tables that are rendered must not be written anew meanwhile.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "extension/acoustic/tables.h"

static const char *const tables[] = {"emails",
                                     "amo",
                                     "fxa",
                                     "newsletters",
                                     "waitlists",
                                     "acoustic_deleted_row",
                                     "acoustic_sent",
                                     "stripe_customer",
                                     "stripe_subscription",
                                     "stripe_subscription_item",
                                     "stripe_price",
                                     "acoustic_field",
                                     "acoustic_newsletter_mapping"};

bool
acoustic_tables_hold(void)
{
    Oid schema = get_namespace_oid("ctms", false);

    for (int i = 0; i < (int)lengthof(tables); i++) {
        Oid table = get_relname_relid(tables[i], schema);

        if (OidIsValid(table))
            LockRelationOid(table, AccessShareLock);
    }
    if (IsolationUsesXactSnapshot() || IsInParallelMode())
        return false;
    PushActiveSnapshot(GetLatestSnapshot());
    return true;
}

/* Whatever ALTER TABLE and TRUNCATE do to a table, they write its row in pg_class anew. */
static bool
is_newer(Oid table, Snapshot snapshot)
{
    HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    TransactionId writer;

    if (!HeapTupleIsValid(row))
        return false; /* gone: its reader will say so */
    writer = HeapTupleHeaderGetXmin(row->t_data);
    ReleaseSysCache(row);
    return !TransactionIdIsCurrentTransactionId(writer) && XidInMVCCSnapshot(writer, snapshot);
}

void
acoustic_tables_check(void)
{
    Oid schema = get_namespace_oid("ctms", false);

    for (int i = 0; i < (int)lengthof(tables); i++)
        if (is_newer(get_relname_relid(tables[i], schema), GetActiveSnapshot()))
            ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("table \"%s\" was altered after the snapshot was taken", tables[i]),
                    errhint("Try the transaction again."));
}
