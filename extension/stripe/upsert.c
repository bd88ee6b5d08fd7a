/*
 * stripe/upsert.c: the SQL functions that store Stripe objects.
 *
 * ctms.upsert_stripe() takes one object and raises an error if it has a problem.
 * ctms._upsert_stripe_batch() takes many, stores the good ones and lists the problems of the
 * others. ctms.upsert_stripe_list() takes many too, and stores the first of them, as many as end as
 * if they had been stored one after the other.
 */
#include "extension/stripe/unwrap.h"

#include "extension/base/errors.h"
#include "executor/spi.h"
#include "miscadmin.h"

/* The objects of a call. */
typedef struct StripeCall {
    bool has_message_time;
    TimestampTz message_time; /* of all objects; DT_NOEND without a time */
    bool has_default_time;
    TimestampTz default_time; /* without message_time, of objects that are in no event */
    List *objects;            /* in the order in which they must be stored */
    List *warnings;           /* of char * */
    int sequence;             /* of the records */
} StripeCall;

/* False, and DT_NOEND, if the argument is null. */
static bool
get_time(FunctionCallInfo fcinfo, int argument, TimestampTz *time)
{
    *time = DT_NOEND;
    if (PG_ARGISNULL(argument))
        return false;
    *time = PG_GETARG_TIMESTAMPTZ(argument);
    if (TIMESTAMP_NOT_FINITE(*time))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the time of a message must be finite"));
    return true;
}

static void
raise_problem(const StripeObject *object)
{
    int sqlstate = object->problem->sqlstate;

    ereport(ERROR, errcode(sqlstate), errmsg_internal("%s", stripe_problem_message(object)),
            sqlstate == ERRCODE_CTMS_STRIPE_REFERENCE
                ? errhint("Send it again after what it refers to.")
                : 0);
}

static void
raise_problems(const List *objects)
{
    ListCell *cell;

    foreach (cell, objects) {
        if (((StripeObject *)lfirst(cell))->problem != NULL)
            raise_problem(lfirst(cell));
    }
}

/* Of an object with a list in it, of which there is only a part; NIL otherwise. */
static List *
warning_of_pages(const StripeObject *object)
{
    const StripeRecord *own = object->records == NIL ? NULL : linitial(object->records);
    const char *list = own == NULL ? NULL : stripe_maps[own->kind].list_path;

    if (list == NULL || own->purpose != STRIPE_STORE || own->is_list_complete)
        return NIL;
    return list_make1(psprintf("%s%sStripe %s: the list \"%s\" has more pages", object->path,
                               object->path[0] == '\0' ? "" : ": ",
                               stripe_describe(object->type, object->id), list));
}

/* "element" is the place of what the parts were found in, in the array of the call. */
static void
add_objects(StripeCall *call, const StripeParts *parts, int element)
{
    ListCell *cell;

    call->warnings = list_concat(call->warnings, parts->warnings);
    foreach (cell, parts->parts) {
        StripeObject *object = stripe_parse_part(lfirst(cell), &call->sequence);

        CHECK_FOR_INTERRUPTS();
        if (call->has_message_time) {
            object->has_time = true;
            object->time = call->message_time;
        } else if (call->has_default_time && !object->has_time) {
            object->has_time = true;
            object->time = call->default_time;
        }
        call->warnings = list_concat(call->warnings, warning_of_pages(object));
        object->place = list_length(call->objects);
        object->element = element;
        call->objects = lappend(call->objects, object);
    }
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

/*
 * Whether two objects are stored together. Of objects with different times, those with an earlier
 * one are stored before.
 */
static bool
is_same_time(const StripeObject *a, const StripeObject *b)
{
    return a->has_time == b->has_time && a->time == b->time;
}

static int
count_objects(const List *objects)
{
    int count = 0;
    ListCell *cell;

    foreach (cell, objects) {
        const StripeObject *object = lfirst(cell);
        const StripeRecord *own = object->records == NIL ? NULL : linitial(object->records);

        count += object->problem != NULL || (own != NULL && own->action != STRIPE_SKIPPED);
    }
    return count;
}

/* Stores the objects from a place on that have the same time. Returns the place after them. */
static int
store_some(const StripeCall *call, int place, bool is_soft)
{
    const StripeObject *first = list_nth(call->objects, place);
    StripeBatch batch = {.has_message_time = first->has_time, .message_time = first->time};

    for (; place < list_length(call->objects); place++) {
        StripeObject *object = list_nth(call->objects, place);

        if (!is_same_time(first, object))
            break;
        batch.objects = lappend(batch.objects, object);
    }
    drop_superseded(&batch);
    stripe_check_needs(&batch);
    if (!is_soft)
        raise_problems(batch.objects);
    stripe_store(&batch);
    return place;
}

/* Stores the objects that were parsed. With is_soft, problems are listed instead of raised. */
static Jsonb *
store_and_report(const StripeCall *call, bool is_soft, bool is_counted)
{
    MemoryContext caller = CurrentMemoryContext;
    StripeReport report = {.warnings = call->warnings, .is_counted = is_counted};
    Jsonb *result;
    ListCell *cell;
    int place = 0;

    if (!is_soft)
        raise_problems(call->objects);
    SPI_connect();
    foreach (cell, call->objects)
        ((StripeObject *)lfirst(cell))->report = &report;
    while (place < list_length(call->objects))
        place = store_some(call, place, is_soft);
    stripe_find_contacts(&report);
    report.count = count_objects(call->objects);
    MemoryContextSwitchTo(caller);
    result = stripe_report(&report, is_soft ? call->objects : NIL);
    SPI_finish();
    return result;
}

PG_FUNCTION_INFO_V1(ctms_upsert_stripe);
/* ctms.upsert_stripe(object jsonb, message_timestamp timestamptz) */
PGDLLEXPORT Datum
ctms_upsert_stripe(PG_FUNCTION_ARGS)
{
    StripeCall call = {0};
    StripeParts *parts;
    StripePart *first;
    JsonbValue value = {.type = jbvNull};
    bool is_plain;

    call.has_message_time = get_time(fcinfo, 1, &call.message_time);
    if (!PG_ARGISNULL(0)) {
        value.type = jbvBinary;
        value.val.binary.data = &PG_GETARG_JSONB_P(0)->root;
    }
    parts = stripe_unwrap(&value);
    first = parts->parts == NIL ? NULL : linitial(parts->parts);
    is_plain = first != NULL && first->path[0] == '\0' && first->event == NULL;
    add_objects(&call, parts, 0);
    PG_RETURN_JSONB_P(store_and_report(&call, false, !is_plain));
}

/* The elements of the array that is the first argument. */
static List *
read_array(FunctionCallInfo fcinfo)
{
    JsonbContainer *container;
    List *values = NIL;
    uint32 i;

    if (PG_ARGISNULL(0) || !JB_ROOT_IS_ARRAY(PG_GETARG_JSONB_P(0)))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("Stripe objects must be in a JSON array"));
    container = &PG_GETARG_JSONB_P(0)->root;
    for (i = 0; i < JsonContainerSize(container); i++)
        values = lappend(values, getIthJsonbValueFromContainer(container, i));
    return values;
}

PG_FUNCTION_INFO_V1(ctms_upsert_stripe_batch);
/*
 * ctms._upsert_stripe_batch(objects jsonb, message_timestamp timestamptz,
 *     default_timestamp timestamptz);
 * objects is an array
 */
PGDLLEXPORT Datum
ctms_upsert_stripe_batch(PG_FUNCTION_ARGS)
{
    StripeCall call = {0};
    List *values;
    ListCell *cell;

    call.has_message_time = get_time(fcinfo, 1, &call.message_time);
    call.has_default_time = get_time(fcinfo, 2, &call.default_time);
    values = read_array(fcinfo);
    foreach (cell, values)
        add_objects(&call, stripe_unwrap(lfirst(cell)), foreach_current_index(cell));
    PG_RETURN_JSONB_P(store_and_report(&call, true, true));
}

/*
 * The objects at the beginning of the array that may be stored together. A Stripe list in it is one
 * that is not: it comes alone.
 */
static List *
parse_first_objects(FunctionCallInfo fcinfo)
{
    StripeCall call = {.message_time = DT_NOEND};
    List *values = read_array(fcinfo);
    ListCell *cell;
    int count;

    foreach (cell, values) {
        StripeParts list = {0};
        StripePart part = {.path = ""};
        int element = foreach_current_index(cell);

        if (!stripe_is_list(lfirst(cell))) {
            add_objects(&call, stripe_unwrap(lfirst(cell)), element);
            continue;
        }
        if (call.objects != NIL)
            break;
        part.problem = stripe_problem(ERRCODE_CTMS_STRIPE_CONTENT, "a list");
        list.parts = list_make1(&part);
        add_objects(&call, &list, element);
        break;
    }
    for (count = 0; count < list_length(call.objects); count++) {
        if (!is_same_time(linitial(call.objects), list_nth(call.objects, count)))
            break;
    }
    call.objects = list_truncate(call.objects, count);
    return list_truncate(call.objects, stripe_count_apart(call.objects));
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

    batch.objects = parse_first_objects(fcinfo);
    foreach (cell, batch.objects) {
        StripeObject *object = lfirst(cell);

        object->report = palloc0(sizeof(StripeReport));
        object->report->warnings = warning_of_pages(object);
        batch.has_message_time = object->has_time;
        batch.message_time = object->time;
    }
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
