/*
 * stripe/upsert.c: the SQL functions that store Stripe objects.
 *
 * ctms.upsert_stripe() takes one object and raises an error if it has a problem.
 * ctms._upsert_stripe_batch() takes many, stores the good ones and lists the problems of the
 * others. ctms.upsert_stripe_list() takes many too, and stores the first of them, as many as end as
 * if they had been stored one after the other.
 */
#include "extension/stripe/stripe.h"

#include "extension/base/errors.h"
#include "executor/spi.h"
#include "miscadmin.h"

static void
set_message_time(StripeBatch *batch, FunctionCallInfo fcinfo)
{
    batch->has_message_time = !PG_ARGISNULL(1);
    batch->message_time = DT_NOEND;
    if (!batch->has_message_time)
        return;
    batch->message_time = PG_GETARG_TIMESTAMPTZ(1);
    if (TIMESTAMP_NOT_FINITE(batch->message_time))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the time of a message must be finite"));
}

static void
raise_problem(const StripeProblem *problem)
{
    ereport(ERROR, errcode(problem->sqlstate), errmsg_internal("%s", problem->message),
            problem->sqlstate == ERRCODE_CTMS_STRIPE_REFERENCE
                ? errhint("Send it again after what it refers to.")
                : 0);
}

/* Stores the objects that were parsed. With is_soft, problems are listed instead of raised. */
static Jsonb *
store_and_report(StripeBatch *batch, bool is_soft)
{
    MemoryContext caller = CurrentMemoryContext;
    StripeReport report = {0};
    Jsonb *result;
    ListCell *cell;

    SPI_connect();
    stripe_check_needs(batch);
    foreach (cell, batch->objects) {
        StripeObject *object = lfirst(cell);

        object->report = &report;
        if (object->problem != NULL && !is_soft)
            raise_problem(object->problem);
    }
    stripe_store(batch);
    stripe_find_contacts(&report);
    MemoryContextSwitchTo(caller);
    result = stripe_report(&report, is_soft ? batch->objects : NIL);
    SPI_finish();
    return result;
}

PG_FUNCTION_INFO_V1(ctms_upsert_stripe);
/* ctms.upsert_stripe(object jsonb, message_time timestamptz) */
PGDLLEXPORT Datum
ctms_upsert_stripe(PG_FUNCTION_ARGS)
{
    StripeBatch batch = {0};
    JsonbValue value = {.type = jbvNull};
    int sequence = 0;

    set_message_time(&batch, fcinfo);
    if (!PG_ARGISNULL(0)) {
        value.type = jbvBinary;
        value.val.binary.data = &PG_GETARG_JSONB_P(0)->root;
    }
    batch.objects = list_make1(stripe_parse(&value, &sequence));
    PG_RETURN_JSONB_P(store_and_report(&batch, false));
}

static int
compare_objects(const ListCell *left, const ListCell *right)
{
    const StripeObject *a = lfirst(left);
    const StripeObject *b = lfirst(right);
    int result = strcmp(a->type, b->type);

    if (result == 0)
        result = strcmp(a->id, b->id);
    return result != 0 ? result : (a->place > b->place) - (a->place < b->place);
}

/* If a message has the same object twice, the last one counts. */
static void
drop_superseded(StripeBatch *batch)
{
    StripeObject *previous = NULL;
    List *sorted = NIL;
    List *kept = NIL;
    ListCell *cell;

    foreach (cell, batch->objects) {
        StripeObject *object = lfirst(cell);

        if (object->type != NULL && object->id != NULL)
            sorted = lappend(sorted, object);
    }
    list_sort(sorted, compare_objects);
    foreach (cell, sorted) {
        StripeObject *object = lfirst(cell);

        if (previous != NULL && strcmp(previous->type, object->type) == 0 &&
            strcmp(previous->id, object->id) == 0)
            previous->is_superseded = true;
        previous = object;
    }
    foreach (cell, batch->objects) {
        if (!((StripeObject *)lfirst(cell))->is_superseded)
            kept = lappend(kept, lfirst(cell));
    }
    batch->objects = kept;
}

static List *
parse_objects(FunctionCallInfo fcinfo)
{
    List *objects = NIL;
    JsonbContainer *container;
    int sequence = 0;
    uint32 i;

    if (PG_ARGISNULL(0) || !JB_ROOT_IS_ARRAY(PG_GETARG_JSONB_P(0)))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("Stripe objects must be in a JSON array"));
    container = &PG_GETARG_JSONB_P(0)->root;
    for (i = 0; i < JsonContainerSize(container); i++) {
        StripeObject *object = stripe_parse(getIthJsonbValueFromContainer(container, i), &sequence);

        CHECK_FOR_INTERRUPTS();
        object->place = i;
        objects = lappend(objects, object);
    }
    return objects;
}

PG_FUNCTION_INFO_V1(ctms_upsert_stripe_batch);
/* ctms._upsert_stripe_batch(objects jsonb, message_time timestamptz); objects is an array */
PGDLLEXPORT Datum
ctms_upsert_stripe_batch(PG_FUNCTION_ARGS)
{
    StripeBatch batch = {0};

    set_message_time(&batch, fcinfo);
    batch.objects = parse_objects(fcinfo);
    drop_superseded(&batch);
    PG_RETURN_JSONB_P(store_and_report(&batch, true));
}

PG_FUNCTION_INFO_V1(ctms_upsert_stripe_list);
/* ctms.upsert_stripe_list(objects jsonb); objects is an array */
PGDLLEXPORT Datum
ctms_upsert_stripe_list(PG_FUNCTION_ARGS)
{
    MemoryContext caller = CurrentMemoryContext;
    StripeBatch batch = {.message_time = DT_NOEND, .is_list = true};
    bool is_stored;
    Jsonb *result;
    ListCell *cell;

    batch.objects = parse_objects(fcinfo);
    batch.objects = list_truncate(batch.objects, stripe_count_apart(batch.objects));
    foreach (cell, batch.objects)
        ((StripeObject *)lfirst(cell))->report = palloc0(sizeof(StripeReport));
    SPI_connect();
    stripe_check_needs(&batch);
    is_stored = stripe_store(&batch);
    foreach (cell, batch.objects) {
        StripeObject *object = lfirst(cell);

        object->is_stored = is_stored && object->problem == NULL;
        if (object->is_stored)
            stripe_find_contacts(object->report);
    }
    MemoryContextSwitchTo(caller);
    result = stripe_report_list(batch.objects);
    SPI_finish();
    PG_RETURN_JSONB_P(result);
}
