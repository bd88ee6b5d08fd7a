/*
 * queue/claim_share.c: see claim_share.h. What is owed is kept from claim to claim, so the share is
 * also right for agents that claim only a few rows at a time.
 */
#include "extension/base/compat.h"

#include "extension/queue/claim_share.h"

int
claim_share_due(const ClaimShare *share, int batch_limit)
{
    return Min((share->debt + batch_limit) / CLAIM_SHARE, batch_limit);
}

/* A limit may have kept the claim from paying. It must not have to pay for hours of that at once.
 */
void
claim_share_settle(ClaimShare *share, int batch_limit, int count, int taken, bool is_short)
{
    int debt = share->debt + count - CLAIM_SHARE * taken;

    share->debt = is_short ? 0 : Min(Max(debt, 0), Max(batch_limit, CLAIM_SHARE));
}
