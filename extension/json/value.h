/*
 * json/value.h: reads jsonb in place.
 *
 * A JsonValue is a view of one value inside a jsonb: two machine words, passed by value, valid
 * for as long as the jsonb is. A walk visits the entries of a container in order, so that each
 * offset costs only one addition. Nothing here allocates unless its comment says so.
 */
#ifndef CTMS_JSON_VALUE_H
#define CTMS_JSON_VALUE_H

#include "extension/base/compat.h"

#include "port/pg_bswap.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* The first five equal the type bits of a JEntry. */
typedef enum JsonKind {
    JSON_STRING = 0,
    JSON_NUMBER = 1,
    JSON_FALSE = 2,
    JSON_TRUE = 3,
    JSON_NULL = 4,
    JSON_ARRAY = 5,
    JSON_OBJECT = 6
} JsonKind;

#define N_JSON_KINDS (JSON_OBJECT + 1)
#define JSON_KIND_BIT(kind) (1U << (kind))
#define JSON_KINDS_ALL (JSON_KIND_BIT(N_JSON_KINDS) - 1)

/*
 * A mask of what the type bits of an entry tell: the bits of the scalar kinds, and one for both
 * kinds of container.
 */
#define JSON_ENTRY_BIT(entry) (1U << (((entry)&JENTRY_TYPEMASK) >> 28))
#define JSON_ENTRY_CONTAINER JSON_ENTRY_BIT(JENTRY_ISCONTAINER)
#define JSON_ENTRIES_ALL (2 * JSON_ENTRY_CONTAINER - 1)

typedef struct JsonValue {
    const char *data; /* bytes of a string, a Numeric, or a JsonbContainer */
    uint32 length;    /* of a string, in bytes */
    uint32 kind;      /* JsonKind */
} JsonValue;

/* Entries of an array, or the keys or the values of an object, in their stored order. */
typedef struct JsonWalk {
    const JEntry *entry;
    const JEntry *end;
    const char *base;
    uint32 offset;
} JsonWalk;

static inline const JsonbContainer *
json_container(JsonValue value)
{
    return (const JsonbContainer *)value.data;
}

static inline uint32
json_count(JsonValue value)
{
    return json_container(value)->header & JB_CMASK;
}

static inline JsonValue
json_value_of_container(const JsonbContainer *container)
{
    JsonValue value;

    value.data = (const char *)container;
    value.length = 0;
    value.kind = (container->header & JB_FOBJECT) ? JSON_OBJECT : JSON_ARRAY;
    return value;
}

static inline uint32
json_entry_end(JEntry entry, uint32 offset)
{
    return (entry & JENTRY_HAS_OFF) ? (entry & JENTRY_OFFLENMASK)
                                    : offset + (entry & JENTRY_OFFLENMASK);
}

/* The value of an entry that starts at *offset. Moves *offset to the start of the next entry. */
static inline JsonValue
json_entry_value(JEntry entry, const char *base, uint32 *offset)
{
    uint32 end = json_entry_end(entry, *offset);
    JsonValue value;

    value.kind = (entry & JENTRY_TYPEMASK) >> 28;
    value.length = end - *offset;
    if (value.kind == JSON_STRING) {
        value.data = base + *offset;
    } else {
        value.data = base + INTALIGN(*offset);
        if (value.kind == JSON_ARRAY)
            value.kind = (((const JsonbContainer *)value.data)->header & JB_FOBJECT) ? JSON_OBJECT
                                                                                     : JSON_ARRAY;
    }
    *offset = end;
    return value;
}

/* The next value of a walk; the walk must not have ended. */
static inline JsonValue
json_walk_next(JsonWalk *walk)
{
    return json_entry_value(*walk->entry++, walk->base, &walk->offset);
}

/* Offset at which the first entries end: the last stored offset plus the lengths after it. */
static inline uint32
json_entries_end(const JsonbContainer *container, uint32 count)
{
    uint32 end = 0;

    while (count-- > 0) {
        end += container->children[count] & JENTRY_OFFLENMASK;
        if (container->children[count] & JENTRY_HAS_OFF)
            break;
    }
    return end;
}

static inline bool
json_walk_ended(const JsonWalk *walk)
{
    return walk->entry == walk->end;
}

static inline JsonWalk
json_walk_array(JsonValue array)
{
    const JsonbContainer *container = json_container(array);
    uint32 count = container->header & JB_CMASK;
    JsonWalk walk;

    walk.entry = container->children;
    walk.end = container->children + count;
    walk.base = (const char *)walk.end;
    walk.offset = 0;
    return walk;
}

#define ENTRY_BLOCK 16

/*
 * The first entry that is not of these JSON_ENTRY_BITs, or the end. Blocks of one type, which are
 * the usual case, are compared as a whole: the compiler makes vector instructions of that.
 */
static inline const JEntry *
json_entries_skip(const JEntry *entry, const JEntry *end, uint32 bits)
{
    while (end - entry >= ENTRY_BLOCK) {
        uint32 all = entry[0];
        uint32 any = entry[0];

        for (int i = 0; i < ENTRY_BLOCK; i++) {
            all &= entry[i];
            any |= entry[i];
        }
        if (((all ^ any) & JENTRY_TYPEMASK) || !(JSON_ENTRY_BIT(all) & bits))
            break;
        entry += ENTRY_BLOCK;
    }
    while (entry < end && (JSON_ENTRY_BIT(*entry) & bits))
        entry++;
    return entry;
}

/* Moves a walk over the container past the entries of these JSON_ENTRY_BITs. */
static inline void
json_walk_skip(JsonWalk *walk, const JsonbContainer *container, uint32 bits)
{
    const JEntry *entry = json_entries_skip(walk->entry, walk->end, bits);

    if (entry > walk->entry && entry < walk->end)
        walk->offset = json_entries_end(container, entry - container->children);
    walk->entry = entry;
}

/* Starts a walk over the keys and a parallel one over the values. */
static inline void
json_walk_object(JsonValue object, JsonWalk *keys, JsonWalk *values)
{
    const JsonbContainer *container = json_container(object);
    uint32 count = container->header & JB_CMASK;

    keys->entry = container->children;
    keys->end = container->children + count;
    keys->base = (const char *)(container->children + 2 * count);
    keys->offset = 0;
    values->entry = keys->end;
    values->end = container->children + 2 * count;
    values->base = keys->base;
    values->offset = json_entries_end(container, count);
}

/* Order of object keys in jsonb: by length, then by bytes. */
static inline int
json_compare_keys(const char *a, uint32 a_length, const char *b, uint32 b_length)
{
    if (a_length != b_length)
        return a_length < b_length ? -1 : 1;
    return memcmp(a, b, a_length);
}

/* The value of a whole jsonb; scalars are unwrapped. */
static inline JsonValue
json_value_of_jsonb(const Jsonb *jsonb)
{
    JsonValue value = json_value_of_container(&jsonb->root);
    JsonWalk walk;

    if (likely(!(jsonb->root.header & JB_FSCALAR)))
        return value;
    walk = json_walk_array(value);
    return json_walk_next(&walk);
}

/* The member of that name, found by binary search; false when there is none. */
extern bool json_object_get(JsonValue object, const char *key, uint32 key_length, JsonValue *value);

/* The item at that index. The array must have more items than that. */
extern JsonValue json_array_item(JsonValue array, uint32 index);

/* Whether the object has a member of each name in the array of strings. */
extern bool json_object_has_names(JsonValue object, JsonValue names);

/* JSON equality: numbers compare by value, and the order of members does not matter. */
extern bool json_values_equal(JsonValue a, JsonValue b);

/*
 * Whether no two items are equal (json/unique.c). Allocates only for large arrays, 12 to 24 bytes
 * an item, and frees that memory itself. An error (54000) if that is more than is allowed.
 */
extern bool json_items_are_unique(JsonValue array);

/*
 * The last eight bytes of a string as a number; those that a shorter string lacks are zeros. Reads
 * up to eight bytes before the string: in a jsonb, there is at least a container's header and an
 * entry.
 */
static inline uint64
json_string_tail(const char *data, uint32 length)
{
    uint64 tail;

    memcpy(&tail, data + length - sizeof(tail), sizeof(tail));
    tail = pg_ntoh64(tail);
    return length < sizeof(tail) ? tail & ((UINT64CONST(1) << (8 * length)) - 1) : tail;
}

/* The number of Unicode code points in a string. */
extern uint32 json_string_characters(const char *data, uint32 length);

/* The value in the form that can be pushed into another jsonb; shares its bytes. */
extern JsonbValue json_value_part(JsonValue value);

/* A copy of the value as a jsonb in the current context. */
extern Jsonb *json_value_to_jsonb(JsonValue value);

/* A string's bytes with a terminating zero, in the current context. */
extern char *json_string_copy(JsonValue string);

static inline bool
json_string_equals(JsonValue string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.data, text, string.length) == 0;
}

#endif
