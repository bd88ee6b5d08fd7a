/*
 * base/latest_snapshot.h: the snapshot with which configuration is read.
 */
#ifndef CTMS_BASE_LATEST_SNAPSHOT_H
#define CTMS_BASE_LATEST_SNAPSHOT_H

#include "utils/snapshot.h"

/*
 * The latest snapshot, as catalog reads use it: in every isolation level it sees the newest
 * committed change. The caller unregisters it. A parallel query cannot take a new one, so there
 * the catalog snapshot is used.
 */
extern Snapshot latest_snapshot_register(Oid table);

#endif
