/*
 * queue/claim_share.h: gives rows that would otherwise wait behind others a part of what a session
 * claims.
 */
#ifndef CTMS_QUEUE_CLAIM_SHARE_H
#define CTMS_QUEUE_CLAIM_SHARE_H

#include "postgres.h"

/* Rows of one kind get at least one in this many. */
#define CLAIM_SHARE 10

/*
 * What the session owes to one kind of rows, in parts of a row: each claimed row owes them one part
 * of CLAIM_SHARE. Static; starts as zero.
 */
typedef struct ClaimShare {
    int debt;
} ClaimShare;

/* How many rows of the kind a claim of at most "batch_limit" rows must take first. */
extern int claim_share_due(const ClaimShare *share, int batch_limit);

/*
 * Must be called after the claim: it has taken "count" rows, "taken" of them of the kind. With
 * "is_short" there were no more of the kind, so nothing is owed to them.
 */
extern void
claim_share_settle(ClaimShare *share, int batch_limit, int count, int taken, bool is_short);

#endif
