/*
 * base/subtransaction.c: runs a piece of work in a subtransaction of the server's, as PL/pgSQL
 * does for a block with EXCEPTION.
 *
 * An error must not leave the subtransaction by itself: then the session would wait for a ROLLBACK
 * TO that nobody can give.
 */
#include "extension/base/compat.h"

#include "extension/base/subtransaction.h"

#include "access/xact.h"
#include "utils/resowner.h"

static void
undo(MemoryContext context, ResourceOwner owner)
{
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
}

static bool
is_among(const int *states, int state)
{
    for (; states && *states != 0; states++)
        if (*states == state)
            return true;
    return false;
}

bool
subtransaction_try(SubtransactionWork work, void *arg, const int *forgiven)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    volatile bool is_kept = false;

    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        is_kept = work(arg);
        if (is_kept)
            ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        FlushErrorState();
        undo(context, owner);
        if (!is_among(forgiven, error->sqlerrcode))
            ReThrowError(error);
        FreeErrorData(error);
        return false;
    }
    PG_END_TRY();
    if (!is_kept)
        undo(context, owner);
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return is_kept;
}
