/*
 * queue/enqueue.c: enqueues contacts at once.
 *
 * It is called at commit for the contacts that a transaction has changed (queue/flush.c), for the
 * contacts that left Stripe keys turn out to belong to (queue/stripe.c), and for operators
 * (queue/admin.c).
 *
 * The rows are written below the executor (queue/direct.c) where possible, otherwise by the
 * statement below.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "extension/queue/direct.h"
#include "extension/queue/enqueue.h"
#include "extension/queue/plan.h"

/*
 * Contacts per statement. This limits the memory of a bulk change and costs nothing in other
 * cases.
 */
#define CONTACTS_PER_STATEMENT 10000

/*
 * A contact that is already waiting keeps its place. A contact that has failed starts again,
 * behind those that wait for their first attempt, because its failures say nothing about its new
 * content. A live lease is left alone, so that a second agent does not send the same contact at
 * the same time. The new generation makes sure that the row stays when the first agent finishes
 * it.
 *
 * A row that was never claimed is only locked (DO UPDATE locks the row even if its WHERE is
 * false). That is enough: no agent knows its generation, and an agent that claims it later reads
 * what was committed with the lock.
 */
static QueuePlan enqueue_plan = {
    .sql = "WITH contact AS MATERIALIZED ("
           " SELECT email_id FROM ctms.emails WHERE email_id = ANY ($1)"
           " ORDER BY email_id FOR KEY SHARE),"
           "enqueued AS ("
           " INSERT INTO ctms.pending_acoustic AS p"
           "  (email_id, create_timestamp, update_timestamp)"
           " SELECT email_id, $2, $2 FROM contact ORDER BY email_id"
           " ON CONFLICT (email_id) DO UPDATE SET"
           "  generation = EXCLUDED.generation,"
           "  retry = 0, last_error = NULL, retry_after = NULL,"
           "  create_timestamp = CASE WHEN p.retry > 0 THEN EXCLUDED.create_timestamp"
           "                     ELSE p.create_timestamp END,"
           "  update_timestamp = EXCLUDED.update_timestamp"
           " WHERE p.is_tried OR p.retry > 0 OR p.retry_after IS NOT NULL"
           "  OR p.lease_owner IS NOT NULL)"
           "SELECT FROM contact",
    .arg_count = 2,
    .arg_types = {UUIDARRAYOID, TIMESTAMPTZOID},
    .sees_latest = true};

static uint64
enqueue_by_sql(FeedKeys *contacts)
{
    Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
    uint64 enqueued = 0;
    QueueOwner saved;

    queue_start_sql(&saved);
    while (contacts->taken < contacts->count) {
        ArrayType *email_ids = feed_take(contacts, CONTACTS_PER_STATEMENT);

        CHECK_FOR_INTERRUPTS();
        enqueued += queue_run_plan(&enqueue_plan, (Datum[]){PointerGetDatum(email_ids), now}, NULL,
                                   SPI_OK_SELECT);
        SPI_freetuptable(SPI_tuptable);
        pfree(email_ids);
    }
    queue_end_sql(&saved);
    return enqueued;
}

uint64
enqueue_contacts(FeedKeys *contacts)
{
    if (contacts->count == 0)
        return 0;
    /*
     * When a transaction commits, no command ends after the last statement, so its effects are not
     * visible yet. Without this, contacts whose rows it rewrote would be seen in their old version
     * and taken for deleted.
     */
    CommandCounterIncrement();
    return direct_enqueue(contacts) ? (uint64)contacts->count : enqueue_by_sql(contacts);
}
