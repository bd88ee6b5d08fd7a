/*
 * queue/claim.h: the input and result of a claim, shared by both ways to claim queue rows.
 */
#ifndef CTMS_QUEUE_CLAIM_H
#define CTMS_QUEUE_CLAIM_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A leased row, as ctms.claim_acoustic() returns it. */
typedef struct ClaimedRow {
    pg_uuid_t email_id;
    int64 generation;
    int32 retry;
    const char *state;
    TimestampTz create_timestamp;
} ClaimedRow;

typedef struct Claim {
    Datum agent; /* text */
    int batch_limit;
    int retry_limit;
    Datum lease; /* interval */
    TimestampTz now;
    ClaimedRow *rows; /* room for batch_limit */
    int count;
} Claim;

/* How many failed rows whose wait is over one claim frees at most, in addition to its batch. */
#define RIPE_ROWS 1000

/*
 * Claims rows of ctms.pending_acoustic below the executor. It never waits for a session that
 * writes or locks a row: it skips that row. With "from", it only takes rows that were never tried
 * and are not older than "from". Without "from", it first makes failed rows claimable whose wait
 * is over. Returns false when the tables are not the plain local ones that this code knows; the
 * caller must then use SQL.
 */
extern bool direct_claim(Claim *claim, const TimestampTz *from);

#endif
