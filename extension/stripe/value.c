/*
 * stripe/value.c: reads and checks single values of a Stripe object.
 */
#include "extension/stripe/value.h"

#include "extension/base/errors.h"
#include "extension/base/message.h"
#include "extension/json/clean.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#define MAX_UNIX_TIME INT64CONST(253402300799) /* the end of the year 9999 */
/* Ids of Stripe are shorter. */
#define SHOWN_ID_LENGTH 64
#define UNIX_TO_POSTGRES_SECONDS                                                                   \
    (((int64)POSTGRES_EPOCH_JDATE - (int64)UNIX_EPOCH_JDATE) * SECS_PER_DAY)

StripeProblem *
stripe_problem(int sqlstate, const char *format, ...)
{
    StripeProblem *problem = palloc(sizeof(StripeProblem));
    va_list arguments;

    va_start(arguments, format);
    problem->message = message_vformat(format, arguments);
    va_end(arguments);
    problem->sqlstate = sqlstate;
    return problem;
}

static bool
is_word(const char *text)
{
    return text[0] != '\0' && strlen(text) <= SHOWN_ID_LENGTH &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
               strlen(text);
}

char *
stripe_describe(const char *type, const char *id)
{
    const char *kind = is_word(type) ? type : "object";

    return is_word(id) ? psprintf("%s \"%s\"", kind, id) : psprintf("%s with an odd id", kind);
}

/* What is at a path of keys and places ("items.data[0].price"); NULL when nothing is. */
static JsonbValue *
find_value(JsonbContainer *container, const char *path)
{
    for (;;) {
        int length = strcspn(path, ".[");
        JsonbValue *value;

        if (*path == '[' && JsonContainerIsArray(container)) {
            value = getIthJsonbValueFromContainer(container, strtoul(path + 1, NULL, 10));
            length = strcspn(path, "]") + 1;
        } else if (length > 0 && JsonContainerIsObject(container)) {
            value = getKeyJsonValueFromContainer(container, path, length, NULL);
        } else {
            return NULL;
        }
        path += length;
        path += *path == '.';
        if (value == NULL || *path == '\0')
            return value;
        if (value->type != jbvBinary)
            return NULL;
        container = value->val.binary.data;
    }
}

/* Whether json/clean.c has replaced the value that is there. */
static bool
is_unreadable(const StripeObject *object, const char *path)
{
    JsonbValue *value = object->content == NULL ? NULL : find_value(object->content, path);

    if (value == NULL || value->type != jbvBinary ||
        !JsonContainerIsArray(value->val.binary.data) ||
        JsonContainerSize(value->val.binary.data) != 1)
        return false;
    value = getIthJsonbValueFromContainer(value->val.binary.data, 0);
    return value->type == jbvString && value->val.string.len == (int)strlen(JSON_UNREADABLE) &&
           memcmp(value->val.string.val, JSON_UNREADABLE, value->val.string.len) == 0;
}

/* Notes what is wrong with a key; "prefix" leads to the object that has it. */
bool
stripe_refuse(StripeReader *reader, const char *prefix, const char *path, const char *what)
{
    StripeObject *object = reader->object;

    if (is_unreadable(object, psprintf("%s%s", prefix, path)))
        what = "has a text or number that cannot be stored";
    object->problem = stripe_problem(ERRCODE_CTMS_STRIPE_CONTENT, "Stripe %s: key \"%s%s\" %s",
                                     stripe_describe(object->type, object->id), prefix, path, what);
    return false;
}

JsonbValue *
stripe_get_key(JsonbContainer *container, const char *key, int length)
{
    JsonbValue *value = getKeyJsonValueFromContainer(container, key, length, NULL);

    return value == NULL || value->type == jbvNull ? NULL : value;
}

char *
stripe_get_string(JsonbContainer *container, const char *key)
{
    JsonbValue *value = stripe_get_key(container, key, strlen(key));

    if (value == NULL || value->type != jbvString || value->val.string.len == 0)
        return NULL;
    return pnstrdup(value->val.string.val, value->val.string.len);
}

JsonbContainer *
stripe_object_of(JsonbValue *value)
{
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        return NULL;
    return value->val.binary.data;
}

/*
 * The value at a path of keys. *value is NULL when it, or an object on the way to it, is absent
 * or null.
 */
bool
stripe_get_path(StripeReader *reader, JsonbContainer *container, const char *prefix,
                const char *path, JsonbValue **value)
{
    const char *key = path;

    for (;;) {
        int length = strcspn(key, ".");

        *value = stripe_get_key(container, key, length);
        if (*value == NULL || key[length] == '\0')
            return true;
        container = stripe_object_of(*value);
        if (container == NULL)
            return stripe_refuse(reader, prefix, pnstrdup(path, key + length - path),
                                 "must be an object");
        key += length + 1;
    }
}

bool
stripe_find_value(StripeReader *reader, JsonbContainer *container, const char *prefix,
                  const StripeField *field, const char **path, JsonbValue **value)
{
    int i;

    for (i = 0; i < STRIPE_MAX_PATHS && field->paths[i] != NULL; i++) {
        *path = field->paths[i];
        if (!stripe_get_path(reader, container, prefix, *path, value))
            return false;
        if (*value != NULL)
            return true;
    }
    *path = field->paths[0];
    *value = NULL;
    return true;
}

/* Copies a string of 1 to max_length characters. */
bool
stripe_get_text(StripeReader *reader, const char *prefix, const char *path, JsonbValue *value,
                int max_length, char **result)
{
    const char *string = value->val.string.val;
    int length = value->val.string.len;

    if (length == 0)
        return stripe_refuse(reader, prefix, path, "must not be empty");
    if (length > max_length && pg_mbstrlen_with_len(string, length) > max_length)
        return stripe_refuse(reader, prefix, path,
                             psprintf("is longer than %d characters", max_length));
    *result = pnstrdup(string, length);
    return true;
}

/* Reads an id, or the id of an object in its place. */
bool
stripe_get_reference(StripeReader *reader, const char *prefix, const char *path, JsonbValue *value,
                     char **result)
{
    JsonbContainer *expanded = stripe_object_of(value);

    if (expanded != NULL) {
        path = psprintf("%s.id", path);
        value = stripe_get_key(expanded, "id", 2);
        if (value == NULL)
            return stripe_refuse(reader, prefix, path, "is missing");
        if (value->type != jbvString)
            return stripe_refuse(reader, prefix, path, "must be a string");
    }
    if (value->type != jbvString)
        return stripe_refuse(reader, prefix, path, "must be an id or an object");
    return stripe_get_text(reader, prefix, path, value, STRIPE_MAX_ID_LENGTH, result);
}

static Datum
as_numeric(int64 value)
{
    return DirectFunctionCall1(int8_numeric, Int64GetDatum(value));
}

static bool
get_integer(JsonbValue *value, int64 min, int64 max, int64 *result)
{
    Datum number;

    if (value->type != jbvNumeric)
        return false;
    number = NumericGetDatum(value->val.numeric);
    if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, as_numeric(min))) < 0 ||
        DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, as_numeric(max))) > 0)
        return false;
    *result = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
    return DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, as_numeric(*result))) == 0;
}

bool
stripe_get_time(JsonbValue *value, TimestampTz *result)
{
    int64 seconds;

    if (!get_integer(value, 0, MAX_UNIX_TIME, &seconds))
        return false;
    *result = (seconds - UNIX_TO_POSTGRES_SECONDS) * USECS_PER_SEC;
    return true;
}

static const char *
stored_word(const char *text)
{
    const StripeWord *word;

    for (word = stripe_words; word->word != NULL; word++) {
        if (strcmp(word->word, text) == 0)
            return word->stored;
    }
    return text;
}

bool
stripe_get_datum(StripeReader *reader, const char *prefix, const char *path,
                 const StripeField *field, JsonbValue *value, Datum *result)
{
    char *text = NULL;
    int64 number;

    switch (field->type) {
    case STRIPE_TEXT:
    case STRIPE_WORD:
        if (value->type != jbvString)
            return stripe_refuse(reader, prefix, path, "must be a string");
        if (!stripe_get_text(reader, prefix, path, value, field->max_length, &text))
            return false;
        *result = CStringGetTextDatum(field->type == STRIPE_WORD ? stored_word(text) : text);
        return true;
    case STRIPE_REFERENCE:
        if (!stripe_get_reference(reader, prefix, path, value, &text))
            return false;
        *result = CStringGetTextDatum(text);
        return true;
    case STRIPE_TIME:
        if (!stripe_get_time(value, &number))
            return stripe_refuse(reader, prefix, path, "must be a time in Unix seconds");
        *result = TimestampTzGetDatum(number);
        return true;
    case STRIPE_BOOLEAN:
        if (value->type != jbvBool)
            return stripe_refuse(reader, prefix, path, "must be true or false");
        *result = BoolGetDatum(value->val.boolean);
        return true;
    case STRIPE_INTEGER:
        if (!get_integer(value, PG_INT32_MIN, PG_INT32_MAX, &number))
            return stripe_refuse(reader, prefix, path, "must be an integer of 32 bits");
        *result = Int32GetDatum((int32)number);
        return true;
    case STRIPE_BIGINT:
        if (!get_integer(value, PG_INT64_MIN, PG_INT64_MAX, &number))
            return stripe_refuse(reader, prefix, path, "must be an integer of 64 bits");
        *result = Int64GetDatum(number);
        return true;
    }
    return false;
}
