/*
 * stripe/unwrap.c: finds the Stripe objects in lists and events; see stripe/unwrap.h.
 *
 * It is the only code that knows how Stripe wraps objects. Like stripe/parse.c, it returns faults
 * as problems of the objects, and touches no table.
 */
#include "extension/stripe/unwrap.h"

#include "extension/base/errors.h"
#include "extension/base/result_row.h"
#include "extension/stripe/value.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Stripe puts lists into lists only inside of objects. */
#define MAX_LISTS 4

/* ---- lists ------------------------------------------------------------------------- */

/* Also what a search finds, which is a list by another name. */
static bool
is_list(JsonbContainer *container)
{
    char *type = stripe_get_string(container, "object");

    return type != NULL && (strcmp(type, "list") == 0 || strcmp(type, "search_result") == 0);
}

bool
stripe_is_list(JsonbValue *value)
{
    JsonbContainer *container = stripe_object_of(value);

    return container != NULL && is_list(container);
}

static StripePart *
add_part(StripeParts *all, const char *path)
{
    StripePart *part = palloc0(sizeof(StripePart));

    part->path = path;
    part->time = DT_NOEND;
    part->number = list_length(all->parts);
    all->parts = lappend(all->parts, part);
    return part;
}

static void
refuse_list(StripeParts *all, const char *path, const char *what)
{
    add_part(all, path)->problem =
        stripe_problem(ERRCODE_CTMS_STRIPE_CONTENT, "Stripe list: key \"data\" %s", what);
}

static bool
ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/*
 * Stripe's times are whole seconds, in which much may happen to an object, and events come in any
 * order. Of those of one second, the one that made the object counts as the first, and the one that
 * ended it as the last. In microseconds.
 */
static int
place_in_second(JsonbContainer *event)
{
    char *type = stripe_get_string(event, "type");

    if (type != NULL && ends_with(type, ".created"))
        return -1;
    return type != NULL && ends_with(type, ".deleted") ? 1 : 0;
}

/*
 * No event is later than now; with such a time, all that comes later would be skipped. It is the
 * same "now" for all events of a call, so that those of the future keep their order.
 */
static void
read_time(StripePart *part)
{
    JsonbValue *value = stripe_get_key(part->event, "created", 7);
    TimestampTz time;

    if (value == NULL || !stripe_get_time(value, &time))
        return;
    part->has_time = true;
    part->time = Min(time + place_in_second(part->event), GetCurrentStatementStartTimestamp());
}

static void
add_list(StripeParts *all, JsonbContainer *list, const char *path, int depth, bool has_more);

static void
add_value(StripeParts *all, JsonbValue *value, const char *path, int depth, bool has_more)
{
    JsonbContainer *container = stripe_object_of(value);
    char *type = container == NULL ? NULL : stripe_get_string(container, "object");
    StripePart *part;

    CHECK_FOR_INTERRUPTS();
    if (container != NULL && is_list(container)) {
        add_list(all, container, path, depth, has_more);
        return;
    }
    part = add_part(all, path);
    part->value = value;
    part->has_more = has_more;
    if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
        !JsonContainerIsScalar(value->val.binary.data))
        part->problem = stripe_problem(
            ERRCODE_CTMS_STRIPE_UNRECOGNIZED,
            "not a Stripe object but an array: send {\"object\": \"list\", \"data\": [...]}");
    if (type == NULL || strcmp(type, "event") != 0)
        return;
    part->event = container;
    read_time(part);
}

static void
add_list(StripeParts *all, JsonbContainer *list, const char *path, int depth, bool has_more)
{
    const char *separator = path[0] == '\0' ? "" : ".";
    JsonbValue *data = stripe_get_key(list, "data", 4);
    JsonbValue *more = stripe_get_key(list, "has_more", 8);
    uint32 i;

    if (data == NULL || data->type != jbvBinary || !JsonContainerIsArray(data->val.binary.data)) {
        refuse_list(all, path, data == NULL ? "is missing" : "must be an array");
        return;
    }
    if (depth == MAX_LISTS) {
        refuse_list(all, path, psprintf("is nested in more than %d lists", MAX_LISTS - 1));
        return;
    }
    if (more != NULL && more->type == jbvBool && more->val.boolean) {
        has_more = true;
        all->warnings = lappend(all->warnings, psprintf("%s%sthe list has more pages", path,
                                                        path[0] == '\0' ? "" : ": "));
    }
    for (i = 0; i < JsonContainerSize(data->val.binary.data); i++)
        add_value(all, getIthJsonbValueFromContainer(data->val.binary.data, i),
                  psprintf("%s%sdata[%u]", path, separator, i), depth + 1, has_more);
}

static int
compare_parts(const ListCell *left, const ListCell *right)
{
    const StripePart *a = lfirst(left);
    const StripePart *b = lfirst(right);
    int order = (a->number > b->number) - (a->number < b->number);

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return a->has_time ? -order : order;
}

StripeParts *
stripe_unwrap(JsonbValue *value)
{
    StripeParts *all = palloc0(sizeof(StripeParts));

    add_value(all, value, "", 0, false);
    list_sort(all->parts, compare_parts);
    return all;
}

/* ---- events ------------------------------------------------------------------------ */

/* The invoice of an invoice.upcoming does not exist yet and has no id. */
static bool
is_upcoming(JsonbContainer *event)
{
    char *type = stripe_get_string(event, "type");

    return type != NULL && strcmp(type, "invoice.upcoming") == 0;
}

/* Events of Stripe's newer kind only name their object. */
static bool
is_without_object(JsonbContainer *event)
{
    return stripe_get_key(event, "data", 4) == NULL || is_upcoming(event);
}

static JsonbValue *
event_object(JsonbContainer *event)
{
    JsonbValue *data = stripe_get_key(event, "data", 4);
    JsonbContainer *container = data == NULL ? NULL : stripe_object_of(data);

    if (container == NULL || is_without_object(event))
        return NULL;
    return stripe_get_key(container, "object", 6);
}

/*
 * An event <type>.deleted has the object of that type as it was before.
 * customer.subscription.deleted is not one of these: that subscription is canceled, and says so.
 */
static bool
is_deletion(JsonbContainer *event, JsonbContainer *object)
{
    char *event_type = stripe_get_string(event, "type");
    char *type = stripe_get_string(object, "object");

    return event_type != NULL && type != NULL &&
           strcmp(event_type, psprintf("%s.deleted", type)) == 0;
}

/* A list in an event is no object at all. */
static StripeWrap
wrap_of(JsonbContainer *event, JsonbValue *object)
{
    if (stripe_is_list(object))
        return STRIPE_BARE;
    return is_deletion(event, stripe_object_of(object)) ? STRIPE_DELETION_EVENT : STRIPE_EVENT;
}

static StripeObject *
parse_event(const StripePart *part, int *sequence)
{
    StripeObject *event = stripe_parse(part->value, STRIPE_BARE, sequence);
    StripeReader reader = {event, sequence};
    StripeObject *object;
    JsonbValue *value;

    if (event->problem != NULL)
        return event;
    if (is_without_object(part->event)) {
        event->skip = is_upcoming(part->event) ? STRIPE_SKIP_PREVIEW : STRIPE_SKIP_UNUSED_TYPE;
        return event;
    }
    if (!part->has_time && stripe_get_key(part->event, "created", 7) != NULL) {
        stripe_refuse(&reader, "", "created", "must be a time in Unix seconds");
        return event;
    }
    value = event_object(part->event);
    if (value == NULL || stripe_object_of(value) == NULL) {
        stripe_refuse(&reader, "", "data.object",
                      value == NULL ? "is missing" : "must be an object");
        return event;
    }
    object = stripe_parse(value, wrap_of(part->event, value), sequence);
    object->path = "data.object";
    return object;
}

StripeObject *
stripe_parse_part(const StripePart *part, int *sequence)
{
    StripeObject *object;

    if (part->problem != NULL) {
        object = palloc0(sizeof(StripeObject));
        object->problem = part->problem;
    } else if (part->event != NULL) {
        object = parse_event(part, sequence);
    } else {
        object = stripe_parse(part->value, STRIPE_BARE, sequence);
    }
    if (object->path == NULL)
        object->path = part->path;
    else if (part->path[0] != '\0')
        object->path = psprintf("%s.%s", part->path, object->path);
    object->has_time = part->has_time;
    object->time = part->time;
    return object;
}

/* ---- the SQL function -------------------------------------------------------------- */

/* The columns of ctms.unwrap_stripe(). */
enum { OUT_PATH, OUT_OBJECT, OUT_CONTENT, OUT_HAS_MORE, OUT_COLUMNS };

static void
put_part(ReturnSetInfo *result, const StripePart *part)
{
    JsonbValue *content = part->event == NULL ? NULL : event_object(part->event);
    Datum values[OUT_COLUMNS];
    bool nulls[OUT_COLUMNS] = {false};

    if (part->problem != NULL)
        ereport(ERROR, errcode(part->problem->sqlstate),
                errmsg_internal("%s%s%s", part->path, part->path[0] == '\0' ? "" : ": ",
                                part->problem->message));
    values[OUT_PATH] = CStringGetTextDatum(part->path);
    values[OUT_OBJECT] = JsonbPGetDatum(JsonbValueToJsonb(part->value));
    values[OUT_CONTENT] =
        content == NULL ? values[OUT_OBJECT] : JsonbPGetDatum(JsonbValueToJsonb(content));
    values[OUT_HAS_MORE] = BoolGetDatum(part->has_more);
    result_row_put(result, values, nulls, OUT_COLUMNS);
}

PG_FUNCTION_INFO_V1(ctms_unwrap_stripe);
/* ctms.unwrap_stripe(object jsonb), which is strict */
PGDLLEXPORT Datum
ctms_unwrap_stripe(PG_FUNCTION_ARGS)
{
    Jsonb *object = PG_GETARG_JSONB_P(0);
    JsonbValue value = {.type = jbvBinary};
    ListCell *cell;

    value.val.binary.data = &object->root;
    value.val.binary.len = VARSIZE(object) - VARHDRSZ;
    InitMaterializedSRF(fcinfo, 0);
    foreach (cell, stripe_unwrap(&value)->parts)
        put_part((ReturnSetInfo *)fcinfo->resultinfo, lfirst(cell));
    PG_RETURN_NULL();
}
