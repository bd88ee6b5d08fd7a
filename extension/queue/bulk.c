/*
 * queue/bulk.c: what a run of files needs of the queue in addition to the functions of agents
 * (queue/agent.c). extension/sql/54_acoustic_bulk.sql has the runs, and calls this.
 *
 * A run holds very many contacts for a long time. Their rows have the lease of the run, and the end
 * of that lease as retry_after, so that they are not in the part of the index that claims read:
 * these would walk over all of them. When the hold ends without anybody ending it, they are free by
 * themselves like rows whose wait after a failure is over. All have one generation, the run's,
 * until they change.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "extension/base/result_row.h"
#include "extension/queue/agent.h"
#include "extension/queue/give_way.h"
#include "extension/queue/plan.h"
#include "extension/queue/stripe.h"

/* How many contacts one call deals with at most. */
#define MAX_CONTACTS 10000

PG_FUNCTION_INFO_V1(ctms__hold_acoustic);
PG_FUNCTION_INFO_V1(ctms__held_acoustic);
PG_FUNCTION_INFO_V1(ctms__commit_durably);

/*
 * $4 and $5 are the same id, or the lowest of all and null. What a file cannot do goes the ordinary
 * way: a contact whose deletion must be sent first, as in queue/claim.c, and one of which rows must
 * be deleted. A note of such a row may be committed after this looks, though before the row is
 * locked, so ctms.settle_acoustic_bulk() looks again. Both are looked up contact by contact: a join
 * that was planned while the tables were empty would be slow when they are not.
 */
static QueuePlan hold_plan = {
    .sql = "WITH free AS MATERIALIZED ("
           " SELECT q.email_id FROM ctms.pending_acoustic AS q"
           " WHERE q.email_id >= $4 AND q.email_id IS DISTINCT FROM $5 AND q.is_bulk"
           "  AND q.retry < $7 AND (q.retry_after IS NULL OR q.retry_after <= $8)"
           "  AND (q.lease_until IS NULL OR q.lease_until <= $8)"
           "  AND (SELECT d.email_id FROM ctms.acoustic_deleted_contact AS d"
           "   WHERE d.email_id = q.email_id AND ((d.is_to_send"
           "    AND d.retry_after IS DISTINCT FROM 'infinity') OR d.lease_until > $8)) IS NULL"
           "  AND (SELECT n.email_id FROM ctms.acoustic_deleted_row AS n"
           "   WHERE n.email_id = q.email_id LIMIT 1) IS NULL"
           " ORDER BY q.email_id LIMIT $6 FOR UPDATE OF q SKIP LOCKED),"
           "held AS ("
           " UPDATE ctms.pending_acoustic AS p SET lease_owner = $1, generation = $2,"
           "  lease_until = $3, retry_after = $3, is_tried = true"
           " FROM free WHERE p.email_id = free.email_id RETURNING p.email_id)"
           "SELECT count(*), (SELECT email_id::uuid FROM free ORDER BY email_id LIMIT 1),"
           " (SELECT email_id::uuid FROM free ORDER BY email_id DESC LIMIT 1) FROM held",
    .arg_count = 8,
    .arg_types = {TEXTOID, INT8OID, TIMESTAMPTZOID, UUIDOID, UUIDOID, INT8OID, INT4OID,
                  TIMESTAMPTZOID}};

/* $4: only rows of this generation; null: of any, and contacts that were deleted meanwhile. */
#define HELD_SQL(table, alias)                                                                     \
    "(SELECT " alias ".email_id::uuid FROM " table " AS " alias " WHERE " alias                    \
    ".email_id >= $2 AND " alias ".email_id IS DISTINCT FROM $3"                                   \
    "  AND " alias ".email_id <= $5 AND " alias ".lease_owner = $1"
#define IN_ORDER " ORDER BY email_id LIMIT $6)"
#define HELD_TYPES                                                                                 \
    {                                                                                              \
        TEXTOID, UUIDOID, UUIDOID, INT8OID, UUIDOID, INT8OID                                       \
    }

static QueuePlan held_unchanged_plan = {
    .sql = "SELECT array_agg(email_id) FROM " HELD_SQL(
        "ctms.pending_acoustic", "p") " AND p.generation = $4" IN_ORDER " AS held",
    .arg_count = 6,
    .arg_types = HELD_TYPES,
    .is_read_only = true};

static QueuePlan held_plan = {
    .sql = "SELECT array_agg(email_id) FROM (SELECT email_id FROM (" HELD_SQL(
        "ctms.pending_acoustic", "p") IN_ORDER
    " UNION ALL " HELD_SQL("ctms.acoustic_deleted_contact", "d") IN_ORDER
    ") AS either ORDER BY email_id LIMIT $6) AS held",
    .arg_count = 6,
    .arg_types = HELD_TYPES,
    .is_read_only = true};

static void
check_limit(const char *argument, int limit)
{
    if (limit < 1 || limit > MAX_CONTACTS)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("argument \"%s\" must be between 1 and %d", argument, MAX_CONTACTS));
}

typedef struct Hold {
    Datum args[8];
    bool is_from_start;
    Datum values[3]; /* how many, the first and the last */
    bool are_null[3];
} Hold;

static void
hold_rows(void *arg, PassedRow *passed)
{
    Hold *hold = arg;

    hold->args[7] = TimestampTzGetDatum(GetCurrentTimestamp());
    queue_run_plan(&hold_plan, hold->args, hold->is_from_start ? "    n   " : NULL, SPI_OK_SELECT);
    heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, hold->values, hold->are_null);
}

/*
 * ctms._hold_acoustic(owner, generation, hold_until, after, batch_limit, retry_limit) → held,
 * first_email_id, last_email_id
 */
Datum
ctms__hold_acoustic(PG_FUNCTION_ARGS)
{
    static pg_uuid_t lowest;
    Hold hold = {.is_from_start = PG_ARGISNULL(3)};
    MemoryContext caller = CurrentMemoryContext;
    Datum result;

    for (int i = 0; i < 6; i++)
        if (i != 3 && PG_ARGISNULL(i))
            PG_RETURN_NULL();
    check_limit("batch_limit", PG_GETARG_INT32(4));
    queue_check_retry_limit(PG_GETARG_INT32(5));
    PreventCommandIfReadOnly("ctms.claim_acoustic_bulk()");
    for (int i = 0; i < 3; i++)
        hold.args[i] = PG_GETARG_DATUM(i);
    hold.args[4] = PG_GETARG_DATUM(3);
    hold.args[3] = hold.is_from_start ? UUIDPGetDatum(&lowest) : hold.args[4];
    hold.args[5] = Int64GetDatum(PG_GETARG_INT32(4));
    hold.args[6] = PG_GETARG_DATUM(5);

    SPI_connect();
    if (hold.is_from_start)
        queue_resolve_left_keys();
    give_way_do(hold_rows, &hold);
    MemoryContextSwitchTo(caller);
    result = result_row_make(fcinfo, hold.values, hold.are_null, lengthof(hold.values));
    SPI_finish();
    ForceSyncCommit();
    PG_RETURN_DATUM(result);
}

/*
 * ctms._held_acoustic(owner, generation, first_email_id, after, last_email_id, batch_limit) → ids
 * of contacts, in order
 */
Datum
ctms__held_acoustic(PG_FUNCTION_ARGS)
{
    bool is_any_generation = PG_ARGISNULL(1);
    bool is_from_start = PG_ARGISNULL(3);
    char nulls[] = "      ";
    MemoryContext caller = CurrentMemoryContext;
    Datum args[6], result;
    bool is_null;

    /* A run that has not claimed anything has no range. */
    if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
        PG_RETURN_NULL();
    check_limit("batch_limit", PG_GETARG_INT32(5));
    args[0] = PG_GETARG_DATUM(0);
    args[1] = PG_GETARG_DATUM(is_from_start ? 2 : 3);
    args[2] = PG_GETARG_DATUM(3);
    args[3] = PG_GETARG_DATUM(1);
    args[4] = PG_GETARG_DATUM(4);
    args[5] = Int64GetDatum(PG_GETARG_INT32(5));
    nulls[2] = is_from_start ? 'n' : ' ';
    nulls[3] = is_any_generation ? 'n' : ' ';
    SPI_connect();
    queue_run_plan(is_any_generation ? &held_plan : &held_unchanged_plan, args, nulls,
                   SPI_OK_SELECT);
    result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (!is_null) {
        MemoryContext spi = MemoryContextSwitchTo(caller);

        result = datumCopy(result, false, -1);
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    if (is_null)
        PG_RETURN_NULL();
    PG_RETURN_DATUM(result);
}

/* ctms._commit_durably() → void */
Datum
ctms__commit_durably(PG_FUNCTION_ARGS)
{
    ForceSyncCommit();
    PG_RETURN_VOID();
}
