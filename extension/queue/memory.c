/*
 * queue/memory.c: remembers which contacts were sent and with what content; see
 * 52_acoustic_memory.sql.
 *
 * Hashes and history are written by the transaction that finishes a contact, while it holds the
 * queue row of the contact, so they are as crash-safe as the queue itself. A hash is only trusted
 * if nobody has tried to send the contact since it was written (pending_acoustic.is_tried).
 *
 * Nothing here waits for a row: of the rows that remember a contact as sent, only who holds its
 * queue row or its row in emails writes one. A note of a deletion that another transaction is
 * writing again is skipped: the commit of that transaction will enqueue the contact again. So are
 * rows of the history that are being deleted with their contact.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "extension/base/restore.h"
#include "extension/base/settings.h"
#include "extension/queue/flush.h"
#include "extension/queue/memory.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/wake.h"

/* How many rows of the history are removed at once, and how often a session looks for old ones. */
#define PURGE_ROWS 5000
#define PURGE_INTERVAL_MS 10000

PG_FUNCTION_INFO_V1(ctms__carries_deletions);
PG_FUNCTION_INFO_V1(ctms_forget_acoustic_history);
PG_FUNCTION_INFO_V1(ctms__wake_agents);

static QueuePlan remember_plan = {
    .sql = "INSERT INTO ctms.acoustic_sent AS s (email_id, hashes)"
           " SELECT email_id, hashes::jsonb FROM unnest($1, $2) AS sent (email_id, hashes)"
           " WHERE hashes IS NOT NULL ORDER BY email_id"
           " ON CONFLICT (email_id) DO UPDATE SET hashes = EXCLUDED.hashes"
           " WHERE s.hashes <> EXCLUDED.hashes",
    .arg_count = 2,
    .arg_types = {UUIDARRAYOID, TEXTARRAYOID}};

static QueuePlan forget_plan = {
    .sql = "DELETE FROM ctms.acoustic_sent AS s USING unnest($1, $2) AS sent (email_id, hashes)"
           " WHERE sent.hashes IS NULL AND s.email_id = sent.email_id",
    .arg_count = 2,
    .arg_types = {UUIDARRAYOID, TEXTARRAYOID}};

static QueuePlan forget_notes_plan = {
    .sql = "DELETE FROM ctms.acoustic_deleted_row AS d USING ("
           " SELECT email_id, kind, name FROM ctms.acoustic_deleted_row"
           " WHERE email_id = ANY ($1) FOR UPDATE SKIP LOCKED) AS done"
           " WHERE d.email_id = done.email_id AND d.kind = done.kind AND d.name = done.name",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID}};

static QueuePlan history_plan = {
    .sql =
        "INSERT INTO ctms.acoustic_history (email_id, outcome, error)"
        " SELECT email_id, outcome, error FROM unnest($1, $2, $3) AS o (email_id, outcome, error)",
    .arg_count = 3,
    .arg_types = {UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

/*
 * Uses the primary key, which grows with time. There are never more rows than ids from the first
 * to the last. Rows that others are deleting, with their contact, are not waited for.
 */
static QueuePlan purge_plan = {
    .sql = "WITH old AS MATERIALIZED ("
           " SELECT id FROM ctms.acoustic_history"
           " WHERE id < (SELECT id FROM ctms.acoustic_history ORDER BY id LIMIT 1) + $2"
           " AND (create_timestamp < $1"
           "  OR id <= (SELECT id FROM ctms.acoustic_history ORDER BY id DESC LIMIT 1) - $3)"
           " FOR UPDATE SKIP LOCKED)"
           "DELETE FROM ctms.acoustic_history AS h USING old WHERE h.id = old.id",
    .arg_count = 3,
    .arg_types = {TIMESTAMPTZOID, INT8OID, INT8OID}};

/* ---- columns ------------------------------------------------------------------------ */

void
memory_add_outcome(Outcomes *to, Datum email_id, const char *outcome, Datum detail, bool is_null)
{
    if (to->count == to->capacity) {
        int capacity = Max(64, 2 * to->capacity);
        Outcomes grown = {.count = to->count, .capacity = capacity};

        grown.email_ids = palloc(capacity * sizeof(Datum));
        grown.outcomes = palloc(capacity * sizeof(Datum));
        grown.details = palloc(capacity * sizeof(Datum));
        grown.are_null = palloc(capacity * sizeof(bool));
        if (to->count > 0) {
            memcpy(grown.email_ids, to->email_ids, to->count * sizeof(Datum));
            memcpy(grown.outcomes, to->outcomes, to->count * sizeof(Datum));
            memcpy(grown.details, to->details, to->count * sizeof(Datum));
            memcpy(grown.are_null, to->are_null, to->count * sizeof(bool));
        }
        *to = grown;
    }
    to->email_ids[to->count] = email_id;
    to->outcomes[to->count] = CStringGetTextDatum(outcome);
    to->details[to->count] = detail;
    to->are_null[to->count++] = is_null;
}

static Datum
uuid_array(const Outcomes *from)
{
    return PointerGetDatum(
        construct_array(from->email_ids, from->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static Datum
text_array(Datum *values, bool *are_null, int count)
{
    int lower_bound = 1;

    return PointerGetDatum(construct_md_array(values, are_null, 1, &count, &lower_bound, TEXTOID,
                                              -1, false, TYPALIGN_INT));
}

static bool
is_any_detail(const Outcomes *from)
{
    for (int i = 0; i < from->count; i++)
        if (!from->are_null[i])
            return true;
    return false;
}

/* ---- what was sent ------------------------------------------------------------------ */

void
memory_remember_sent(const Outcomes *finished)
{
    bool is_any_kept = is_any_detail(finished);
    bool is_any_forgotten = queue_is_table_used(queue_relations()->sent);
    bool is_any_noted = queue_is_table_used(queue_relations()->deleted_rows);
    Datum args[2];

    if (finished->count == 0 || (!is_any_kept && !is_any_forgotten && !is_any_noted))
        return;
    args[0] = uuid_array(finished);
    args[1] = text_array(finished->details, finished->are_null, finished->count);
    if (is_any_kept)
        queue_run_plan(&remember_plan, args, NULL, SPI_OK_INSERT);
    if (is_any_forgotten)
        queue_run_plan(&forget_plan, args, NULL, SPI_OK_DELETE);
    if (is_any_noted)
        queue_run_plan(&forget_notes_plan, args, NULL, SPI_OK_DELETE);
}

/* ---- history -------------------------------------------------------------------------- */

/*
 * Removes rows that are too old, or too many; returns how many it has removed. Only one session at
 * a time does this; the lock keeps out nothing but other purges.
 */
static uint64
purge(void)
{
    TimestampTz limit =
        GetCurrentTimestamp() - settings_get_ms(SETTING_ACOUSTIC_HISTORY_AGE) * 1000;
    int64 rows = settings_get_number(SETTING_ACOUSTIC_HISTORY_ROWS);
    Datum args[] = {TimestampTzGetDatum(limit), Int64GetDatum(PURGE_ROWS), Int64GetDatum(rows)};
    Oid history = get_relname_relid("acoustic_history", get_namespace_oid("ctms", false));

    if (!ConditionalLockRelationOid(history, ShareUpdateExclusiveLock))
        return 0;
    return queue_run_plan(&purge_plan, args, NULL, SPI_OK_DELETE);
}

static void
purge_now_and_then(void)
{
    static TimestampTz next_purge = 0;
    TimestampTz now = GetCurrentTimestamp();

    if (now >= next_purge && purge() == 0)
        next_purge = TimestampTzPlusMilliseconds(now, PURGE_INTERVAL_MS);
}

bool
memory_keeps_sent(void)
{
    return settings_get_ms(SETTING_ACOUSTIC_HISTORY_AGE) > 0 &&
           settings_is_on(SETTING_ACOUSTIC_HISTORY_SENT);
}

void
memory_write_history(const Outcomes *outcomes)
{
    Datum args[3];

    if (outcomes->count == 0 || settings_get_ms(SETTING_ACOUSTIC_HISTORY_AGE) == 0)
        return;
    args[0] = uuid_array(outcomes);
    args[1] = text_array(outcomes->outcomes, NULL, outcomes->count);
    args[2] = text_array(outcomes->details, outcomes->are_null, outcomes->count);
    queue_run_plan(&history_plan, args, NULL, SPI_OK_INSERT);
    purge_now_and_then();
}

/* ctms.forget_acoustic_history() → rows removed */
Datum
ctms_forget_acoustic_history(PG_FUNCTION_ARGS)
{
    uint64 removed;

    SPI_connect();
    removed = purge();
    SPI_finish();
    PG_RETURN_INT64(removed);
}

/* ---- for triggers --------------------------------------------------------------------- */

/* ctms._carries_deletions() → boolean */
Datum
ctms__carries_deletions(PG_FUNCTION_ARGS)
{
    PG_RETURN_BOOL(feed_is_enabled && !restore_is_running() &&
                   settings_is_on(SETTING_ACOUSTIC_DELETIONS));
}

/* ctms._wake_agents() → void */
Datum
ctms__wake_agents(PG_FUNCTION_ARGS)
{
    wake_agents();
    PG_RETURN_VOID();
}
