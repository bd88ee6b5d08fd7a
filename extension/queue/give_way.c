/*
 * queue/give_way.c: locks queue rows for agents and operators so that no writer's statement is
 * ever cancelled because of them.
 *
 * At commit the feed locks queue rows in order of email_id. But a DELETE of contacts locks theirs
 * in an order of its own. Whoever holds a queue row and waits for another could therefore end in a
 * deadlock with it. So agents and operators never do that: they lock what they get without
 * waiting. If another transaction holds a row of theirs, they give back everything, wait for that
 * row with nothing in their hands, and begin again with it. Usually the other transaction is a
 * commit that takes a moment.
 *
 * This takes a subtransaction. Locks from before the call, of a caller who does several things in
 * one transaction, are not given back.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "extension/base/subtransaction.h"
#include "extension/queue/give_way.h"

/* After so many rounds what others hold is left alone. */
#define MAX_ROUNDS 20

static QueuePlan wait_plan = {
    .sql = "SELECT FROM ctms.pending_acoustic WHERE email_id = $1 FOR UPDATE",
    .arg_count = 1,
    .arg_types = {UUIDOID}};

static QueuePlan wait_for_deletion_plan = {
    .sql = "SELECT FROM ctms.acoustic_deleted_contact WHERE email_id = $1 FOR UPDATE",
    .arg_count = 1,
    .arg_types = {UUIDOID}};

typedef struct Round {
    GiveWayWork work;
    void *arg;
    PassedRow awaited; /* of the round before */
    PassedRow passed;
    bool is_last;
    int forgiven[2]; /* SQLSTATE; 0 ends them */
} Round;

int
give_way_limit_waits(void)
{
    int level = NewGUCNestLevel();
    int limit = Max(DeadlockTimeout / 2, 1);
    char text[16];

    if (LockTimeout == 0 || LockTimeout > limit) {
        snprintf(text, sizeof(text), "%d", limit);
        set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                          0, false);
    }
    return level;
}

void
give_way_find_passed(PassedRow *passed, bool is_deletion, QueuePlan *plan, Datum *args,
                     const char *nulls)
{
    bool is_null;

    if (passed->is_any || queue_run_plan(plan, args, nulls, SPI_OK_SELECT) == 0)
        return;
    passed->is_any = true;
    passed->is_deletion = is_deletion;
    passed->email_id =
        *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

static bool
run_round(void *arg)
{
    Round *round = arg;
    int level;

    round->forgiven[0] = 0;
    if (round->awaited.is_any)
        queue_run_plan(round->awaited.is_deletion ? &wait_for_deletion_plan : &wait_plan,
                       (Datum[]){UUIDPGetDatum(&round->awaited.email_id)}, NULL, SPI_OK_SELECT);
    if (!round->is_last)
        round->forgiven[0] = ERRCODE_LOCK_NOT_AVAILABLE;
    level = give_way_limit_waits();
    round->passed.is_any = false;
    round->work(round->arg, &round->passed);
    AtEOXact_GUC(true, level);
    return round->is_last || !round->passed.is_any;
}

static void
run_rounds(GiveWayWork work, void *arg, int max_rounds)
{
    Round round = {.work = work, .arg = arg};

    for (int number = 1; !round.is_last; number++) {
        round.is_last = number == max_rounds;
        if (subtransaction_try(run_round, &round, round.forgiven))
            return;
        round.awaited = round.passed;
    }
}

void
give_way_do(GiveWayWork work, void *arg)
{
    run_rounds(work, arg, MAX_ROUNDS);
}

void
give_way_try(GiveWayWork work, void *arg)
{
    run_rounds(work, arg, 1);
}
