/*
 * stripe/parse.c: turns a Stripe object into the records to be stored.
 *
 * It reads only the value that it is given, and no table. A fault in the value is returned as a
 * problem instead of an error, so that the good objects of a message can still be stored. It
 * follows the tables in stripe/map.c.
 */
#include "extension/stripe/value.h"

#include "extension/base/errors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* How many characters of a name that is too long are shown in a message. */
#define CLIPPED_LENGTH 40

/* ---- records ------------------------------------------------------------------- */

static StripeRecord *
new_record(StripeReader *reader, StripeKind kind, const char *id)
{
    StripeRecord *record = palloc0(sizeof(StripeRecord));

    record->kind = kind;
    record->id = id;
    record->sequence = (*reader->sequence)++;
    memset(record->nulls, 'n', sizeof(record->nulls));
    return record;
}

static void
set_value(StripeRecord *record, int field, Datum value)
{
    record->values[field] = value;
    record->nulls[field] = ' ';
}

static bool
read_fields(StripeReader *reader, JsonbContainer *container, const char *prefix,
            StripeRecord *record)
{
    const StripeMap *map = &stripe_maps[record->kind];
    int i;

    for (i = 0; i < map->field_count; i++) {
        const StripeField *field = &map->fields[i];
        const char *path;
        JsonbValue *value;
        Datum datum;

        if (field->paths[0] == NULL)
            continue;
        if (!stripe_find_value(reader, container, prefix, field, &path, &value))
            return false;
        if (value == NULL) {
            if (field->flags & STRIPE_REQUIRED)
                return stripe_refuse(reader, prefix, path, "is missing");
            continue;
        }
        if (!stripe_get_datum(reader, prefix, path, field, value, &datum))
            return false;
        set_value(record, i, datum);
    }
    if (map->is_deletable && record->nulls[STRIPE_DELETED_FLAG] == 'n')
        set_value(record, STRIPE_DELETED_FLAG, BoolGetDatum(false));
    return true;
}

static bool read_children(StripeReader *reader, JsonbContainer *container, StripeRecord *record);

static void
need(StripeReader *reader, StripeKind kind, const char *id)
{
    StripeNeed *what;

    /* Often the same price is needed several times in a row. */
    if (reader->object->needs != NIL) {
        what = llast(reader->object->needs);
        if (what->kind == kind && strcmp(what->id, id) == 0)
            return;
    }
    what = palloc(sizeof(StripeNeed));
    what->kind = kind;
    what->id = id;
    reader->object->needs = lappend(reader->object->needs, what);
}

/*
 * The id of an object inside another one. The inner object must say that it is of the kind that
 * belongs there.
 */
static char *
read_inner_id(StripeReader *reader, JsonbContainer *container, const char *prefix, StripeKind kind)
{
    JsonbValue *value = stripe_get_key(container, "object", 6);
    char *id = NULL;

    if (value == NULL)
        stripe_refuse(reader, prefix, "object", "is missing");
    else if (value->type != jbvString ||
             stripe_kind_of(pnstrdup(value->val.string.val, value->val.string.len)) != kind)
        stripe_refuse(reader, prefix, "object",
                      psprintf("must be \"%s\"", stripe_maps[kind].object));
    if (reader->object->problem != NULL)
        return NULL;
    value = stripe_get_key(container, "id", 2);
    if (value == NULL)
        stripe_refuse(reader, prefix, "id", "is missing");
    else if (value->type != jbvString)
        stripe_refuse(reader, prefix, "id", "must be a string");
    else
        stripe_get_text(reader, prefix, "id", value, STRIPE_MAX_ID_LENGTH, &id);
    return id;
}

static bool
is_prefix_of(const char *prefix, const char *text)
{
    return strncmp(prefix, text, strlen(prefix)) == 0;
}

/*
 * The id that a child is stored by, or NULL. That is the id that Stripe gives it, unless others
 * may have the same.
 */
static char *
stored_id(StripeReader *reader, JsonbContainer *child, const char *prefix, StripeKind kind,
          const char *parent_id, char *id)
{
    const StripeMap *map = &stripe_maps[kind];
    const char *path = map->unique_id_path;
    JsonbValue *value = path == NULL ? NULL : stripe_get_key(child, path, strlen(path));
    int i;

    if (value != NULL && value->type != jbvString) {
        stripe_refuse(reader, prefix, path, "must be a string");
        return NULL;
    }
    if (value != NULL)
        return stripe_get_text(reader, prefix, path, value, STRIPE_MAX_ID_LENGTH, &id) ? id : NULL;
    for (i = 0; map->old_ids != NULL && map->old_ids[i] != NULL; i++) {
        if (!is_prefix_of(map->old_ids[i], id))
            continue;
        id = psprintf("%s/%s", parent_id, id);
        if (strlen(id) <= STRIPE_MAX_ID_LENGTH)
            return id;
        stripe_refuse(reader, prefix, "id", "is too long together with that of its parent");
        return NULL;
    }
    return id;
}

static bool
read_is_deleted(StripeReader *reader, JsonbContainer *container, const char *prefix,
                bool *is_deleted)
{
    JsonbValue *value = stripe_get_key(container, "deleted", 7);

    if (value != NULL && value->type != jbvBool)
        return stripe_refuse(reader, prefix, "deleted", "must be true or false");
    *is_deleted = value != NULL && value->val.boolean;
    return true;
}

/*
 * The price of an item or line. A whole price becomes a record; if there is only an id, or what is
 * left of a deleted price, that price must be stored already.
 */
static bool
read_price(StripeReader *reader, JsonbContainer *container, const char *prefix,
           StripeRecord *record)
{
    int field = stripe_maps[record->kind].price_field;
    StripeRecord *price_record;
    JsonbContainer *price;
    JsonbValue *value;
    const char *path;
    bool is_deleted = false;
    char *id;

    if (!stripe_find_value(reader, container, prefix, &stripe_maps[record->kind].fields[field],
                           &path, &value))
        return false;
    if (value == NULL)
        return true;
    id = TextDatumGetCString(record->values[field]);
    price = stripe_object_of(value);
    if (price == NULL) {
        need(reader, STRIPE_PRICE, id);
        return true;
    }
    prefix = psprintf("%s%s.", prefix, path);
    if (read_inner_id(reader, price, prefix, STRIPE_PRICE) == NULL ||
        !read_is_deleted(reader, price, prefix, &is_deleted))
        return false;
    if (is_deleted) {
        need(reader, STRIPE_PRICE, id);
        return true;
    }
    price_record = new_record(reader, STRIPE_PRICE, id);
    reader->object->records = lappend(reader->object->records, price_record);
    return read_fields(reader, price, prefix, price_record);
}

/*
 * Adds the record of an object and the records of everything inside it. The id has already been
 * read.
 */
static bool
read_record(StripeReader *reader, JsonbContainer *container, const char *prefix,
            StripeRecord *record)
{
    const StripeMap *map = &stripe_maps[record->kind];

    reader->object->records = lappend(reader->object->records, record);
    if (!read_fields(reader, container, prefix, record))
        return false;
    if (map->parent != STRIPE_NO_KIND)
        set_value(record, STRIPE_OWNER, CStringGetTextDatum(record->parent_id));
    if (map->price_field >= 0)
        return read_price(reader, container, prefix, record);
    if (map->list_path != NULL)
        return read_children(reader, container, record);
    return true;
}

/* For a bound of the period that the record itself does not have, extends it to that of an item. */
static bool
widen_period(StripeReader *reader, JsonbContainer *item, const char *prefix, StripeRecord *record,
             int field, bool is_open)
{
    const char *path = stripe_maps[record->kind].fields[field].paths[0];
    JsonbValue *value = stripe_get_key(item, path, strlen(path));
    TimestampTz time;
    TimestampTz bound;

    if (!is_open || value == NULL)
        return true;
    if (!stripe_get_time(value, &time))
        return stripe_refuse(reader, prefix, path, "must be a time in Unix seconds");
    bound = DatumGetTimestampTz(record->values[field]);
    if (record->nulls[field] == 'n' ||
        (field == STRIPE_SUBSCRIPTION_PERIOD_START ? time < bound : time > bound))
        set_value(record, field, TimestampTzGetDatum(time));
    return true;
}

/* The elements of a subscription's list of items, or of an invoice's list of lines. */
static JsonbContainer *
get_list(StripeReader *reader, JsonbContainer *container, StripeRecord *record)
{
    const char *path = stripe_maps[record->kind].list_path;
    JsonbValue *value = stripe_get_key(container, path, strlen(path));
    JsonbContainer *list = value == NULL ? NULL : stripe_object_of(value);

    if (list == NULL) {
        stripe_refuse(reader, "", path, value == NULL ? "is missing" : "must be a list object");
        return NULL;
    }
    value = stripe_get_key(list, "has_more", 8);
    if (value != NULL && value->type != jbvBool) {
        stripe_refuse(reader, path, ".has_more", "must be true or false");
        return NULL;
    }
    record->is_list_complete = value == NULL || !value->val.boolean;
    value = stripe_get_key(list, "data", 4);
    if (value == NULL || value->type != jbvBinary ||
        !JsonContainerIsArray(value->val.binary.data)) {
        stripe_refuse(reader, path, ".data", value == NULL ? "is missing" : "must be an array");
        return NULL;
    }
    return value->val.binary.data;
}

static bool
read_child(StripeReader *reader, JsonbContainer *child, const char *prefix, StripeRecord *parent)
{
    StripeKind kind = stripe_maps[parent->kind].child;
    StripeRecord *record;
    char *id;

    id = read_inner_id(reader, child, prefix, kind);
    if (id != NULL)
        id = stored_id(reader, child, prefix, kind, parent->id, id);
    if (id == NULL)
        return false;
    record = new_record(reader, kind, id);
    record->parent_id = parent->id;
    return read_record(reader, child, prefix, record);
}

static bool
read_children(StripeReader *reader, JsonbContainer *container, StripeRecord *record)
{
    static const int PERIOD[] = {STRIPE_SUBSCRIPTION_PERIOD_START, STRIPE_SUBSCRIPTION_PERIOD_END};
    bool is_subscription = record->kind == STRIPE_SUBSCRIPTION;
    bool is_open[lengthof(PERIOD)];
    const char *path = stripe_maps[record->kind].list_path;
    JsonbContainer *data = get_list(reader, container, record);
    uint32 i;
    int bound;

    if (data == NULL)
        return false;
    for (bound = 0; bound < (int)lengthof(PERIOD); bound++)
        is_open[bound] = is_subscription && record->nulls[PERIOD[bound]] == 'n';
    for (i = 0; i < JsonContainerSize(data); i++) {
        JsonbValue *value = getIthJsonbValueFromContainer(data, i);
        JsonbContainer *child = stripe_object_of(value);
        const char *prefix = psprintf("%s.data[%u].", path, i);

        CHECK_FOR_INTERRUPTS();
        if (child == NULL)
            return stripe_refuse(reader, "", pnstrdup(prefix, strlen(prefix) - 1),
                                 "must be an object");
        if (!read_child(reader, child, prefix, record))
            return false;
        for (bound = 0; bound < (int)lengthof(PERIOD); bound++) {
            if (!widen_period(reader, child, prefix, record, PERIOD[bound], is_open[bound]))
                return false;
        }
    }
    for (bound = 0; is_subscription && bound < (int)lengthof(PERIOD); bound++) {
        if (record->nulls[PERIOD[bound]] == 'n')
            return stripe_refuse(reader, "",
                                 stripe_maps[record->kind].fields[PERIOD[bound]].paths[0],
                                 "is missing, and no item has it");
    }
    return true;
}

/* ---- objects ------------------------------------------------------------------- */

/* The beginning of a name that is too long, for a message. */
static const char *
clip(const char *name)
{
    return pnstrdup(name, pg_mbcliplen(name, strlen(name), CLIPPED_LENGTH));
}

/* Reads the id of the parent, which an item that comes without its parent must name. */
static bool
read_parent_id(StripeReader *reader, JsonbContainer *container, StripeRecord *record)
{
    const StripeMap *map = &stripe_maps[record->kind];
    JsonbValue *value = stripe_get_key(container, map->parent_path, strlen(map->parent_path));
    char *parent_id = NULL;

    if (value == NULL)
        return stripe_refuse(reader, "", map->parent_path, "is missing");
    if (!stripe_get_reference(reader, "", map->parent_path, value, &parent_id))
        return false;
    record->parent_id = parent_id;
    need(reader, map->parent, parent_id);
    return true;
}

static bool
read_object(StripeReader *reader, JsonbContainer *container, StripeKind kind, bool is_deleted)
{
    StripeRecord *record = new_record(reader, kind, reader->object->id);

    if (!is_deleted && !read_is_deleted(reader, container, "", &is_deleted))
        return false;
    /* Subscriptions are not deleted. A price is, but the subscriptions to it keep it. */
    if (is_deleted && !stripe_maps[kind].is_deletable) {
        reader->object->skip = STRIPE_SKIP_DELETION;
        return true;
    }
    if (is_deleted) {
        record->purpose = STRIPE_MARK_DELETED;
        reader->object->records = lappend(reader->object->records, record);
        return true;
    }
    if (stripe_maps[kind].parent != STRIPE_NO_KIND && !read_parent_id(reader, container, record))
        return false;
    return read_record(reader, container, "", record);
}

/* Some types that ctms does not use have no ids, such as the balance of an account. */
static bool
is_unused_without_id(JsonbContainer *container, const StripeObject *object)
{
    return stripe_kind_of(object->type) == STRIPE_NO_KIND &&
           stripe_get_key(container, "id", 2) == NULL;
}

/*
 * Whether the object shows what Stripe may make some day, as an upcoming invoice: it has no id, or
 * one that only lasts as long as the answer.
 */
static bool
is_preview(JsonbContainer *container, const StripeObject *object)
{
    StripeKind kind = stripe_kind_of(object->type);
    const char *preview_id = kind == STRIPE_NO_KIND ? NULL : stripe_maps[kind].preview_id;

    if (preview_id == NULL)
        return false;
    if (object->id == NULL)
        return stripe_get_key(container, "id", 2) == NULL;
    return object->id[0] == '\0' || is_prefix_of(preview_id, object->id);
}

StripeObject *
stripe_parse(JsonbValue *value, StripeWrap wrap, int *sequence)
{
    StripeObject *object = palloc0(sizeof(StripeObject));
    JsonbContainer *container = stripe_object_of(value);
    StripeReader reader = {object, sequence};
    StripeKind kind;

    object->content = container;
    if (container != NULL) {
        object->type = stripe_get_string(container, "object");
        object->id = stripe_get_string(container, "id");
        if (object->type != NULL && object->id == NULL &&
            (is_preview(container, object) ||
             (wrap != STRIPE_BARE && is_unused_without_id(container, object))))
            object->id = "";
    }
    if (object->type == NULL || object->id == NULL) {
        object->problem = stripe_problem(ERRCODE_CTMS_STRIPE_UNRECOGNIZED,
                                         "not a Stripe object: \"object\" and \"id\" are needed");
        return object;
    }
    if (strlen(object->type) > STRIPE_MAX_ID_LENGTH || strlen(object->id) > STRIPE_MAX_ID_LENGTH) {
        const char *key = strlen(object->type) > STRIPE_MAX_ID_LENGTH ? "object" : "id";

        object->type = clip(object->type);
        object->id = clip(object->id);
        stripe_refuse(&reader, "", key, psprintf("is longer than %d bytes", STRIPE_MAX_ID_LENGTH));
        return object;
    }
    kind = stripe_kind_of(object->type);
    if (kind == STRIPE_NO_KIND)
        return object;
    if (is_preview(container, object)) {
        object->skip = STRIPE_SKIP_PREVIEW;
        return object;
    }
    if (stripe_maps[kind].parent != STRIPE_NO_KIND && stripe_maps[kind].parent_path == NULL)
        return object;
    read_object(&reader, container, kind, wrap == STRIPE_DELETION_EVENT);
    if (object->problem != NULL)
        object->records = NIL;
    return object;
}
