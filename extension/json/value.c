/*
 * json/value.c: look-up, equality and copying of values inside a jsonb.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "extension/json/number.h"
#include "extension/json/value.h"

/* How many bytes are processed between two checks for interrupts. */
#define BLOCK (1024 * 1024)

static JsonValue
value_at(const JsonbContainer *container, uint32 count, uint32 index)
{
    JsonWalk walk;

    walk.entry = container->children + index;
    walk.end = container->children + count;
    walk.base = (const char *)walk.end;
    walk.offset = getJsonbOffset(container, index);
    return json_walk_next(&walk);
}

bool
json_object_get(JsonValue object, const char *key, uint32 key_length, JsonValue *value)
{
    const JsonbContainer *container = json_container(object);
    uint32 count = container->header & JB_CMASK;
    uint32 low = 0;
    uint32 high = count;

    while (low < high) {
        uint32 middle = low + (high - low) / 2;
        JsonValue name = value_at(container, 2 * count, middle);
        int order = json_compare_keys(name.data, name.length, key, key_length);

        if (order == 0) {
            *value = value_at(container, 2 * count, middle + count);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

JsonValue
json_array_item(JsonValue array, uint32 index)
{
    return value_at(json_container(array), json_count(array), index);
}

bool
json_object_has_names(JsonValue object, JsonValue names)
{
    JsonWalk walk = json_walk_array(names);
    JsonValue value;

    while (!json_walk_ended(&walk)) {
        JsonValue name = json_walk_next(&walk);

        if (!json_object_get(object, name.data, name.length, &value))
            return false;
    }
    return true;
}

static bool
arrays_equal(JsonValue a, JsonValue b)
{
    JsonWalk in_a;
    JsonWalk in_b;

    if (json_count(a) != json_count(b))
        return false;
    in_a = json_walk_array(a);
    in_b = json_walk_array(b);
    while (!json_walk_ended(&in_a))
        if (!json_values_equal(json_walk_next(&in_a), json_walk_next(&in_b)))
            return false;
    return true;
}

static bool
objects_equal(JsonValue a, JsonValue b)
{
    JsonWalk a_keys;
    JsonWalk a_values;
    JsonWalk b_keys;
    JsonWalk b_values;

    if (json_count(a) != json_count(b))
        return false;
    json_walk_object(a, &a_keys, &a_values);
    json_walk_object(b, &b_keys, &b_values);
    while (!json_walk_ended(&a_keys)) {
        if (!json_values_equal(json_walk_next(&a_keys), json_walk_next(&b_keys)) ||
            !json_values_equal(json_walk_next(&a_values), json_walk_next(&b_values)))
            return false;
    }
    return true;
}

bool
json_values_equal(JsonValue a, JsonValue b)
{
    if (a.kind != b.kind)
        return false;
    switch ((JsonKind)a.kind) {
    case JSON_STRING: return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
    case JSON_NUMBER: return json_number_compare(a, b) == 0;
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NULL: return true;
    case JSON_ARRAY: check_stack_depth(); return arrays_equal(a, b);
    case JSON_OBJECT: check_stack_depth(); return objects_equal(a, b);
    }
    return false;
}

uint32
json_string_characters(const char *data, uint32 length)
{
    uint32 characters = 0;

    if (GetDatabaseEncoding() != PG_UTF8)
        return pg_mbstrlen_with_len(data, length);
    for (uint32 i = 0; i < length;) {
        uint32 end = i + Min(length - i, BLOCK);

        for (; i < end; i++)
            characters += ((unsigned char)data[i] & 0xC0) != 0x80;
        if (i < length)
            CHECK_FOR_INTERRUPTS();
    }
    return characters;
}

/*
 * Size of a container in bytes. It is computed from the last child: the entry of a container also
 * counts padding, and a root has no entry.
 */
static uint32
container_size(JsonValue value)
{
    const JsonbContainer *container = json_container(value);
    uint32 n = json_count(value) * (value.kind == JSON_OBJECT ? 2 : 1);
    uint32 size = offsetof(JsonbContainer, children) + n * sizeof(JEntry);

    if (n > 0)
        size += getJsonbOffset(container, n - 1) + getJsonbLength(container, n - 1);
    return size;
}

JsonbValue
json_value_part(JsonValue value)
{
    JsonbValue part = {.type = jbvNull};

    switch ((JsonKind)value.kind) {
    case JSON_ARRAY:
    case JSON_OBJECT:
        part.type = jbvBinary;
        part.val.binary.data = (JsonbContainer *)value.data;
        part.val.binary.len = container_size(value);
        break;
    case JSON_STRING:
        part.type = jbvString;
        part.val.string.val = (char *)value.data;
        part.val.string.len = value.length;
        break;
    case JSON_NUMBER:
        part.type = jbvNumeric;
        part.val.numeric = (Numeric)value.data;
        break;
    case JSON_NULL: break;
    case JSON_FALSE:
    case JSON_TRUE:
        part.type = jbvBool;
        part.val.boolean = value.kind == JSON_TRUE;
        break;
    }
    return part;
}

Jsonb *
json_value_to_jsonb(JsonValue value)
{
    JsonbValue part = json_value_part(value);

    return JsonbValueToJsonb(&part);
}

char *
json_string_copy(JsonValue string)
{
    return pnstrdup(string.data, string.length);
}
