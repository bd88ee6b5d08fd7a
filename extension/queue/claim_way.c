/*
 * queue/claim_way.c: see claim_way.h.
 */
#include "extension/base/compat.h"

#include "executor/instrument.h"

#include "extension/queue/claim_way.h"

/*
 * A scan is long when it reads more pages than this, not counting PAGES_PER_ROW for each claimed
 * row.
 */
#define LONG_WAY_PAGES 300
#define PAGES_PER_ROW 30
#define WHOLE_WAY_INTERVAL_MS 1000
/* Scans from the beginning may take at most one part in this many of the time. */
#define WHOLE_WAY_SHARE 20
/*
 * A commit becomes visible a little later than the time that its rows carry. Rows that appear
 * even later than this are found by the next scan from the beginning.
 */
#define LATE_COMMIT_MS 300

static int64
pages_read(void)
{
    return pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read;
}

bool
claim_way_is_whole_due(const ClaimWay *way, TimestampTz now)
{
    return !way->is_long || now >= way->next_whole_way;
}

ClaimWalk
claim_way_begin(ClaimWay *way, const Claim *claim, bool is_whole)
{
    return (ClaimWalk){.way = way,
                       .first = claim->count,
                       .pages = pages_read(),
                       .is_whole = is_whole,
                       .from = TimestampTzPlusMilliseconds(way->found_at, -LATE_COMMIT_MS)};
}

void
claim_way_end(const ClaimWalk *walk, const Claim *claim)
{
    ClaimWay *way = walk->way;
    int found = claim->count - walk->first;
    TimestampTz end;

    /* The next claim may begin here. */
    if (found > 0 && claim->rows[walk->first].retry == 0)
        way->found_at = claim->rows[walk->first].create_timestamp;
    else if (walk->is_whole)
        way->found_at = claim->now;
    if (!walk->is_whole)
        return;
    end = GetCurrentTimestamp();
    way->is_long =
        way->is_warm && pages_read() - walk->pages > LONG_WAY_PAGES + PAGES_PER_ROW * (int64)found;
    way->is_warm = true;
    way->next_whole_way =
        end + Max(WHOLE_WAY_INTERVAL_MS * INT64CONST(1000), WHOLE_WAY_SHARE * (end - claim->now));
}
