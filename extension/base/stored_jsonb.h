/*
 * base/stored_jsonb.h: one jsonb from a configuration table that the session caches.
 */
#ifndef CTMS_BASE_STORED_JSONB_H
#define CTMS_BASE_STORED_JSONB_H

#include "extension/base/compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"

/*
 * Runs a query with one text parameter and returns its single jsonb in the current memory
 * context, NULL when there is no row. Reads with the latest snapshot, as catalogs are read,
 * so that nothing a committed change replaced is seen, in any isolation level; and with
 * the rights of the table's owner, as foreign keys do. *plan keeps the prepared query.
 */
extern Jsonb *stored_jsonb_read(Oid table, SPIPlanPtr *plan, const char *query, const char *key);

#endif
