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
    bool is_bulk;
} ClaimedRow;

typedef struct Claim {
    Datum agent; /* text */
    int batch_limit;
    int bulk_limit; /* how many of them may be of the bulk lane */
    int retry_limit;
    Datum lease; /* interval */
    TimestampTz now;
    ClaimedRow *rows; /* room for batch_limit */
    int count;
} Claim;

/* How many failed rows whose wait is over one claim frees at most, in addition to its batch. */
#define RIPE_ROWS 1000

/* One look for free rows of one kind; a claim has several. */
typedef struct ClaimLook {
    bool is_bulk;
    int limit; /* how many rows it may add */
    /* Only rows that were never tried and are not older; NULL: all, from the beginning. */
    const TimestampTz *from;
    bool makes_ripe; /* first makes failed rows claimable whose wait is over */
} ClaimLook;

/*
 * Claims rows of ctms.pending_acoustic below the executor, and adds them in the order of claiming.
 * It never waits for a session that writes or locks a row: it skips that row. Returns false when
 * the tables are not the plain local ones that this code knows; the caller must then use SQL.
 */
extern bool direct_claim(Claim *claim, const ClaimLook *look);

#endif
