/*
 * replica.h: reads from a replica, but never an older state than what was committed, and answered,
 * before the read came. resource.c calls it.
 *
 * First the primary is asked for its position in the write-ahead log (position.h). Then the
 * statement is sent to a replica (replicas.h), behind a guard that fails unless that server is a
 * replica of the same timeline and has replayed up to there. If it is behind or away, another one
 * is tried, and at last the primary answers; that is also asked when a replica does not answer for
 * long. So a client that has the answer to a write can read what it wrote, through any process or
 * machine.
 */
#ifndef CTMS_REST_REPLICA_H
#define CTMS_REST_REPLICA_H

#include "rest/exchange.h"

/*
 * Like exchange_query() or exchange_query_rows(), for a statement that only reads, when the app has
 * replicas. The values must stay valid until the answer.
 */
void replica_query(exchange *ex, const pg_statement *statement, const char *const *values,
                   bool is_streamed, pg_callback callback);

#endif
