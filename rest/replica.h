/*
 * replica.h: reads from a replica, never older than what was committed before they came.
 *
 * The position of the primary in its write-ahead log is asked for first, then whether the
 * replica has got there; only then is the statement sent to the replica. Where the replica
 * is behind or away, the primary answers. So whoever has the answer to a write reads it,
 * through whichever process or machine the write went.
 */
#ifndef CTMS_REST_REPLICA_H
#define CTMS_REST_REPLICA_H

#include "rest/exchange.h"

/*
 * As exchange_query() or exchange_query_rows(), for a statement that only reads, when the app has a
 * replica. The values must stay where they are until the answer.
 */
void replica_query(exchange *ex, const pg_statement *statement, const char *const *values,
                   bool is_streamed, pg_callback callback);

#endif
