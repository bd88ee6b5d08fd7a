/*
 * stripe/rows.c: reads and writes single rows of the Stripe tables.
 *
 * The statements are made from the tables in stripe/map.c, one for each kind of object and
 * operation, and their plans are kept. All statements take the same parameters: the id; the
 * values of the fields; the time of the message; the time of its list; and, when a row is
 * replaced, the times when the old row was created and deleted.
 */
#include "extension/stripe/stripe.h"

#include "extension/base/kept_plan.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

typedef enum Operation {
    READ,
    READ_LOCKED,
    INSERT,
    UPDATE,
    MARK_DELETED,
    TOUCH,
    DELETE,
    EXISTS,
    CHILDREN,
    OPERATIONS
} Operation;

#define MAX_PARAMETERS (STRIPE_MAX_FIELDS + 5)

/* ---- statements ------------------------------------------------------------------ */

static bool
has_list(const StripeMap *map)
{
    return map->list_path != NULL;
}

/* $1 is the id, $2 the first field. */
static int
field_parameter(int field)
{
    return field + 2;
}

static int
message_time_parameter(const StripeMap *map)
{
    return map->field_count + 2;
}

static void
append_columns(StringInfo sql, const StripeMap *map)
{
    int i;

    for (i = 0; i < map->field_count; i++)
        appendStringInfo(sql, "%s%s", i > 0 ? ", " : "", map->fields[i].column);
}

/*
 * The new value of a field. A row stays deleted if the deletion is newer than the content;
 * "deletion" is the expression that gives the time of the deletion.
 */
static void
append_value(StringInfo sql, const StripeMap *map, int field, const char *deletion)
{
    if (map->is_deletable && field == STRIPE_DELETED_FLAG)
        appendStringInfo(sql, "($%d OR COALESCE(%s >= $%d, false))", field_parameter(field),
                         deletion, message_time_parameter(map));
    else
        appendStringInfo(sql, "$%d", field_parameter(field));
}

/*
 * Whether the row has the same content as the record: in all columns, or only in those that
 * contacts show.
 */
static void
append_comparison(StringInfo sql, const StripeMap *map, bool is_all)
{
    const char *separator = "";
    int i;

    for (i = 0; i < map->field_count; i++) {
        if (!is_all && (map->fields[i].flags & STRIPE_UNSEEN))
            continue;
        appendStringInfo(sql, "%s%s IS NOT DISTINCT FROM ", separator, map->fields[i].column);
        append_value(sql, map, i, "deletion_timestamp");
        separator = " AND ";
    }
}

static void
append_read(StringInfo sql, StripeKind kind, bool is_locked)
{
    const StripeMap *map = &stripe_maps[kind];

    appendStringInfoString(sql, "SELECT stripe_id::text, ");
    append_comparison(sql, map, true);
    appendStringInfoString(sql, ", ");
    append_comparison(sql, map, false);
    appendStringInfo(sql,
                     ", %s::text, message_timestamp::timestamptz, %s::timestamptz, "
                     "create_timestamp::timestamptz, %s",
                     map->fields[STRIPE_OWNER].column, has_list(map) ? "list_timestamp" : "NULL",
                     map->is_deletable ? "deleted::boolean, deletion_timestamp::timestamptz"
                                       : "false, NULL::timestamptz");
    appendStringInfo(sql, " FROM ctms.%s WHERE stripe_id = $1", map->table);
    if (kind == STRIPE_CUSTOMER)
        appendStringInfo(sql, " OR fxa_id = $%d ORDER BY stripe_id", field_parameter(STRIPE_OWNER));
    if (is_locked)
        appendStringInfoString(sql, kind == STRIPE_CUSTOMER ? " FOR UPDATE" : " FOR NO KEY UPDATE");
}

static void
append_insert(StringInfo sql, const StripeMap *map)
{
    int message_time = message_time_parameter(map);
    char deletion[16];
    int i;

    snprintf(deletion, sizeof(deletion), "$%d", message_time + 3);
    appendStringInfo(sql, "INSERT INTO ctms.%s (stripe_id, ", map->table);
    append_columns(sql, map);
    appendStringInfo(sql, ", message_timestamp%s%s, create_timestamp) VALUES ($1",
                     has_list(map) ? ", list_timestamp" : "",
                     map->is_deletable ? ", deletion_timestamp" : "");
    for (i = 0; i < map->field_count; i++) {
        appendStringInfoString(sql, ", ");
        append_value(sql, map, i, deletion);
    }
    appendStringInfo(sql, ", $%d", message_time);
    if (has_list(map))
        appendStringInfo(sql, ", $%d", message_time + 1);
    if (map->is_deletable)
        appendStringInfo(sql, ", CASE WHEN %s >= $%d THEN %s END", deletion, message_time,
                         deletion);
    appendStringInfo(sql, ", COALESCE($%d, now())) ON CONFLICT DO NOTHING", message_time + 2);
}

/* Times only move forward; a message without a time leaves them alone. */
static void
append_times(StringInfo sql, const StripeMap *map)
{
    int message_time = message_time_parameter(map);

    appendStringInfo(sql, "message_timestamp = GREATEST(message_timestamp, $%d)", message_time);
    if (has_list(map))
        appendStringInfo(sql, ", list_timestamp = GREATEST(list_timestamp, $%d)", message_time + 1);
    appendStringInfoString(sql, " WHERE stripe_id = $1");
}

static void
append_update(StringInfo sql, const StripeMap *map)
{
    int i;

    appendStringInfo(sql, "UPDATE ctms.%s SET ", map->table);
    for (i = 0; i < map->field_count; i++) {
        appendStringInfo(sql, "%s = ", map->fields[i].column);
        append_value(sql, map, i, "deletion_timestamp");
        appendStringInfoString(sql, ", ");
    }
    /* If the content is newer than the deletion, the deletion is forgotten. */
    if (map->is_deletable)
        appendStringInfo(sql,
                         "deletion_timestamp = CASE WHEN deletion_timestamp >= $%d"
                         " THEN deletion_timestamp END, ",
                         message_time_parameter(map));
    append_times(sql, map);
}

/* $1 is the parent, $2 the time of the message. */
static void
append_children(StringInfo sql, const StripeMap *map)
{
    appendStringInfo(sql,
                     "SELECT stripe_id::text FROM ctms.%s WHERE %s = $1"
                     " AND ($2 IS NULL OR message_timestamp IS NULL OR message_timestamp <= $2)",
                     map->table, map->fields[STRIPE_OWNER].column);
}

static char *
statement(StripeKind kind, Operation operation)
{
    const StripeMap *map = &stripe_maps[kind];
    StringInfoData sql;

    initStringInfo(&sql);
    switch (operation) {
    case READ:
    case READ_LOCKED: append_read(&sql, kind, operation == READ_LOCKED); break;
    case INSERT: append_insert(&sql, map); break;
    case UPDATE: append_update(&sql, map); break;
    case MARK_DELETED:
        /* Without a time, the deletion is as new as the content: if that comes again, it stays. */
        appendStringInfo(&sql,
                         "UPDATE ctms.%s SET deleted = true, deletion_timestamp ="
                         " GREATEST(deletion_timestamp, COALESCE($%d, message_timestamp))"
                         " WHERE stripe_id = $1",
                         map->table, message_time_parameter(map));
        break;
    case TOUCH:
        appendStringInfo(&sql, "UPDATE ctms.%s SET ", map->table);
        append_times(&sql, map);
        break;
    case DELETE:
        appendStringInfo(&sql, "DELETE FROM ctms.%s WHERE stripe_id = $1 AND %s = $2", map->table,
                         map->fields[STRIPE_OWNER].column);
        break;
    case EXISTS:
        appendStringInfo(&sql, "SELECT FROM ctms.%s WHERE stripe_id = $1", map->table);
        break;
    case CHILDREN: append_children(&sql, map); break;
    case OPERATIONS: break;
    }
    return sql.data;
}

static Oid
parameter_type(StripeFieldType type)
{
    switch (type) {
    case STRIPE_TEXT:
    case STRIPE_WORD:
    case STRIPE_REFERENCE: return TEXTOID;
    case STRIPE_TIME: return TIMESTAMPTZOID;
    case STRIPE_BOOLEAN: return BOOLOID;
    case STRIPE_INTEGER: return INT4OID;
    case STRIPE_BIGINT: return INT8OID;
    }
    return InvalidOid;
}

static int
parameter_types(StripeKind kind, Operation operation, Oid *types)
{
    const StripeMap *map = &stripe_maps[kind];
    int count = 0;
    int i;

    types[count++] = TEXTOID;
    if (operation == CHILDREN) {
        types[count++] = TIMESTAMPTZOID;
        return count;
    }
    for (i = 0; i < map->field_count; i++)
        types[count++] = parameter_type(map->fields[i].type);
    for (i = 0; i < 4; i++)
        types[count++] = TIMESTAMPTZOID;
    return count;
}

static SPIPlanPtr
plan_of(StripeKind kind, Operation operation)
{
    static SPIPlanPtr plans[STRIPE_KINDS][OPERATIONS];
    bool has_or = kind == STRIPE_CUSTOMER && (operation == READ || operation == READ_LOCKED);
    Oid types[MAX_PARAMETERS];

    if (plans[kind][operation] != NULL)
        return plans[kind][operation];
    return kept_plan_prepare_by(
        &plans[kind][operation], has_or ? KEPT_PLAN_BY_BITMAP : KEPT_PLAN_BY_INDEX,
        statement(kind, operation), parameter_types(kind, operation, types), types);
}

/* Runs a statement with a new snapshot, so that it sees what others have committed. */
static void
run(StripeKind kind, Operation operation, Datum *values, const char *nulls)
{
    kept_plan_execute(plan_of(kind, operation), values, nulls, false, 0);
}

/* ---- rows --------------------------------------------------------------------------- */

static void
set_time(Datum *values, char *nulls, int parameter, TimestampTz time)
{
    values[parameter] = TimestampTzGetDatum(time);
    nulls[parameter] = time == DT_NOBEGIN ? 'n' : ' ';
}

/* "old" has the times of the row that is replaced. */
static void
run_on_record(const StripeBatch *batch, const StripeRecord *record, Operation operation,
              const StripeRow *old)
{
    Datum values[MAX_PARAMETERS];
    char nulls[MAX_PARAMETERS];
    int count = stripe_maps[record->kind].field_count;
    TimestampTz message_time = DT_NOBEGIN;

    if (batch != NULL && batch->has_message_time)
        message_time = batch->message_time;
    values[0] = CStringGetTextDatum(record->id);
    nulls[0] = ' ';
    memcpy(values + 1, record->values, count * sizeof(Datum));
    memcpy(nulls + 1, record->nulls, count);
    set_time(values, nulls, count + 1,
             old != NULL && message_time == DT_NOBEGIN ? old->message_time : message_time);
    set_time(values, nulls, count + 2, record->is_list_complete ? message_time : DT_NOBEGIN);
    set_time(values, nulls, count + 3, old != NULL ? old->create_time : DT_NOBEGIN);
    /* Content without a time is stored as it is, without regard to any deletion. */
    set_time(values, nulls, count + 4,
             old != NULL && message_time != DT_NOBEGIN ? old->deletion_time : DT_NOBEGIN);
    run(record->kind, operation, values, nulls);
}

static TimestampTz
time_column(HeapTuple tuple, int column)
{
    bool is_null;
    Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &is_null);

    return is_null ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

static bool
boolean_column(HeapTuple tuple, int column)
{
    bool is_null;
    Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &is_null);

    return !is_null && DatumGetBool(value);
}

static void
fill_row(HeapTuple tuple, StripeRow *row)
{
    row->is_found = true;
    row->id = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
    row->is_same = boolean_column(tuple, 2);
    row->is_seen_same = boolean_column(tuple, 3);
    row->owner = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 4);
    row->message_time = time_column(tuple, 5);
    row->list_time = time_column(tuple, 6);
    row->create_time = time_column(tuple, 7);
    row->is_deleted = boolean_column(tuple, 8);
    row->deletion_time = time_column(tuple, 9);
}

void
stripe_read(const StripeBatch *batch, const StripeRecord *record, bool is_locked, StripeRow *self,
            StripeRow *other)
{
    static const StripeRow NO_ROW = {.message_time = DT_NOBEGIN,
                                     .deletion_time = DT_NOBEGIN,
                                     .list_time = DT_NOBEGIN,
                                     .create_time = DT_NOBEGIN};
    uint64 i;

    *self = NO_ROW;
    *other = NO_ROW;
    run_on_record(batch, record, is_locked ? READ_LOCKED : READ, NULL);
    for (i = 0; i < SPI_processed; i++) {
        StripeRow row = NO_ROW;

        fill_row(SPI_tuptable->vals[i], &row);
        if (strcmp(row.id, record->id) == 0)
            *self = row;
        else
            *other = row;
    }
    SPI_freetuptable(SPI_tuptable);
}

bool
stripe_insert(const StripeBatch *batch, const StripeRecord *record, const StripeRow *old)
{
    run_on_record(batch, record, INSERT, old);
    return SPI_processed > 0;
}

void
stripe_update(const StripeBatch *batch, const StripeRecord *record)
{
    run_on_record(batch, record, record->purpose == STRIPE_MARK_DELETED ? MARK_DELETED : UPDATE,
                  NULL);
}

void
stripe_touch(const StripeBatch *batch, const StripeRecord *record)
{
    run_on_record(batch, record, record->purpose == STRIPE_MARK_DELETED ? MARK_DELETED : TOUCH,
                  NULL);
}

bool
stripe_delete(StripeKind kind, const char *id, const char *owner)
{
    StripeRecord record = {.kind = kind, .id = id};

    memset(record.nulls, 'n', sizeof(record.nulls));
    record.values[STRIPE_OWNER] = CStringGetTextDatum(owner);
    record.nulls[STRIPE_OWNER] = ' ';
    run_on_record(NULL, &record, DELETE, NULL);
    return SPI_processed > 0;
}

bool
stripe_is_stored(StripeKind kind, const char *id)
{
    StripeRecord record = {.kind = kind, .id = id};

    memset(record.nulls, 'n', sizeof(record.nulls));
    run_on_record(NULL, &record, EXISTS, NULL);
    SPI_freetuptable(SPI_tuptable);
    return SPI_processed > 0;
}

/* ---- sets --------------------------------------------------------------------------- */

/* A text array made of C strings. */
static Datum
text_array(List *strings)
{
    Datum *elements = palloc((list_length(strings) + 1) * sizeof(Datum));
    int count = 0;
    ListCell *cell;

    foreach (cell, strings)
        elements[count++] = CStringGetTextDatum((char *)lfirst(cell));
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

List *
stripe_stored_children(const StripeBatch *batch, const StripeRecord *parent)
{
    Datum values[2] = {CStringGetTextDatum(parent->id), TimestampTzGetDatum(batch->message_time)};
    char nulls[2] = {' ', batch->has_message_time ? ' ' : 'n'};
    List *ids = NIL;
    uint64 i;

    run(stripe_maps[parent->kind].child, CHILDREN, values, nulls);
    for (i = 0; i < SPI_processed; i++)
        ids = lappend(ids, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
    SPI_freetuptable(SPI_tuptable);
    return ids;
}

/*
 * Finds contacts by what leads to them: FxA IDs for customers, the prices themselves, customers
 * for subscriptions and invoices, subscriptions for items, invoices for lines.
 */
#define OF_CUSTOMER " JOIN ctms.fxa AS f ON f.fxa_id = c.fxa_id"

static const char *const contacts_of[] = {
    [STRIPE_CUSTOMER] = "SELECT f.email_id::uuid FROM ctms.fxa AS f WHERE f.fxa_id = ANY ($1)",
    [STRIPE_PRICE] = "SELECT DISTINCT f.email_id::uuid FROM ctms.stripe_subscription_item AS i"
                     " JOIN ctms.stripe_subscription AS s ON s.stripe_id = i.stripe_subscription_id"
                     " JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id" //
    OF_CUSTOMER " WHERE i.stripe_price_id = ANY ($1)",
    [STRIPE_SUBSCRIPTION] = "SELECT f.email_id::uuid FROM ctms.stripe_customer AS c" //
    OF_CUSTOMER " WHERE c.stripe_id = ANY ($1)",
    [STRIPE_INVOICE] = "SELECT f.email_id::uuid FROM ctms.stripe_customer AS c" //
    OF_CUSTOMER " WHERE c.stripe_id = ANY ($1)",
    [STRIPE_SUBSCRIPTION_ITEM] =
        "SELECT f.email_id::uuid FROM ctms.stripe_subscription AS s"
        " JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id" //
    OF_CUSTOMER " WHERE s.stripe_id = ANY ($1)",
    [STRIPE_LINE_ITEM] = "SELECT f.email_id::uuid FROM ctms.stripe_invoice AS i"
                         " JOIN ctms.stripe_customer AS c ON c.stripe_id = i.stripe_customer_id" //
    OF_CUSTOMER " WHERE i.stripe_id = ANY ($1)",
};

StaticAssertDecl(lengthof(contacts_of) == STRIPE_KINDS, "a kind leads to no contacts");

/* Appends the contacts to which `owners` lead. Few calls have owners of more than one kind. */
static void
append_contacts(StripeKind kind, List *owners, Datum **ids, int *count)
{
    static SPIPlanPtr plans[STRIPE_KINDS];
    Oid type = TEXTARRAYOID;
    Datum values[] = {text_array(owners)};
    uint64 found;

    kept_plan_prepare(&plans[kind], contacts_of[kind], 1, &type);
    found = kept_plan_execute(plans[kind], values, NULL, false, SPI_OK_SELECT);
    *ids = *ids == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, (found + 1) * sizeof(Datum))
                        : repalloc_huge(*ids, (*count + found + 1) * sizeof(Datum));
    for (uint64 i = 0; i < found; i++) {
        bool is_null;

        (*ids)[(*count)++] =
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
    }
}

static int
compare_ids(const void *a, const void *b)
{
    return memcmp(DatumGetUUIDP(*(const Datum *)a), DatumGetUUIDP(*(const Datum *)b), UUID_LEN);
}

void
stripe_find_contacts(StripeReport *report)
{
    Datum *ids = NULL;
    int count = 0;
    int kept = 0;

    for (StripeKind kind = 0; kind < STRIPE_KINDS; kind++)
        if (report->affected[kind] != NIL)
            append_contacts(kind, report->affected[kind], &ids, &count);
    if (count == 0)
        return;
    qsort(ids, count, sizeof(Datum), compare_ids);
    for (int i = 0; i < count; i++)
        if (i == 0 || compare_ids(&ids[i], &ids[kept - 1]) != 0)
            ids[kept++] = ids[i];
    report->email_ids = construct_array(ids, kept, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
}
