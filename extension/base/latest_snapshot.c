/*
 * base/latest_snapshot.c: see latest_snapshot.h.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "extension/base/latest_snapshot.h"

Snapshot
latest_snapshot_register(Oid table)
{
    return RegisterSnapshot(IsInParallelMode() ? GetCatalogSnapshot(table) : GetLatestSnapshot());
}
