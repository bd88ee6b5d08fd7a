/*
 * queue/claim.h: what a claim asks for and gets; shared by the two ways to claim queue rows.
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

/* Failed rows whose wait is over and that one claim frees at most, beyond its batch. */
#define RIPE_ROWS 1000

/*
 * Claims rows of ctms.pending_acoustic below the executor, without ever waiting for who writes or
 * holds one: it is passed over. "from": only rows that were never tried, and not older. Without
 * it, failed rows whose wait is over become claimable first.
 * False when the tables are not the plain local ones that this code knows: then go by SQL.
 */
extern bool direct_claim(Claim *claim, const TimestampTz *from);

#endif
