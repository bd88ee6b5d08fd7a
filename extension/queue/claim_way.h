/*
 * queue/claim_way.h: where the scans of a session begin that look for free rows.
 *
 * Rows that were sent leave dead entries at the very beginning of their part of the index until a
 * vacuum removes them. While a long transaction keeps vacuum from doing so, each scan from the
 * beginning takes longer than the one before. So a session whose scan was long starts its next
 * claims at the place where it last found something. It scans from the beginning only once a
 * second, or less often if that takes long. Rows that appear before that place (released,
 * expired, free again after a failure) wait until then.
 */
#ifndef CTMS_QUEUE_CLAIM_WAY_H
#define CTMS_QUEUE_CLAIM_WAY_H

#include "extension/queue/claim.h"

/* What the session knows about the beginning of one part of an index. Static; starts as zero. */
typedef struct ClaimWay {
    bool is_warm; /* the first claim also reads pages of the catalogs */
    bool is_long;
    TimestampTz found_at;       /* no row that waits for its first attempt is older */
    TimestampTz next_whole_way; /* when to read from the beginning again */
} ClaimWay;

/* A scan that begins. */
typedef struct ClaimWalk {
    ClaimWay *way;
    int first; /* place in the claim of the first row that it finds */
    int64 pages;
    bool is_whole;
    TimestampTz from; /* unless "is_whole": rows that are older are left out, and failed ones */
} ClaimWalk;

/* Whether the way is short, or it is time to look at all of it again. */
extern bool claim_way_is_whole_due(const ClaimWay *way, TimestampTz now);

extern ClaimWalk claim_way_begin(ClaimWay *way, const Claim *claim, bool is_whole);
/* Must be called with the rows that the scan has found, in the order in which they are claimed. */
extern void claim_way_end(const ClaimWalk *walk, const Claim *claim);

#endif
