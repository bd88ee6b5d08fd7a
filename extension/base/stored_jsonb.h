/*
 * base/stored_jsonb.h: reads one jsonb from a configuration table, for a cache of the session.
 */
#ifndef CTMS_BASE_STORED_JSONB_H
#define CTMS_BASE_STORED_JSONB_H

#include "extension/base/compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"

/*
 * Runs a query with one text parameter and returns its single jsonb in the current memory
 * context, or NULL when there is no row. It reads with the latest snapshot, like catalog reads
 * do, so in every isolation level it sees the newest committed change. It runs with the rights of
 * the owner of the table, like a foreign key check. *plan keeps the prepared query.
 */
extern Jsonb *stored_jsonb_read(Oid table, SPIPlanPtr *plan, const char *query, const char *key);

#endif
