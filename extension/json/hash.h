/*
 * json/hash.h: hashes of JSON values, and sets of them.
 */
#ifndef CTMS_JSON_HASH_H
#define CTMS_JSON_HASH_H

#include "extension/json/value.h"

/* A place in a set: free when the index is 0. */
typedef struct JsonSetSlot {
    uint32 index; /* of an item, plus one */
    uint32 tag;   /* the half of its hash that does not choose the slot */
} JsonSetSlot;

/* Some of the items of an array that the caller owns. */
typedef struct JsonSet {
    JsonValue array;
    const JsonValue *items; /* of the array, to find them faster; may be NULL */
    JsonSetSlot *slots;
    uint32 mask;
} JsonSet;

/*
 * An empty set for the items of the array, in the current memory context: 12 to 24 bytes an item.
 * An error (54000) if that is more than is allowed.
 */
extern JsonSet json_set_new(JsonValue array, const JsonValue *items);
extern void json_set_free(JsonSet *set);

/*
 * Equal values have equal hashes, whatever their notation. May only be called while a set exists.
 */
extern uint64 json_value_hash(JsonValue value);

/* Adds the item with its index and hash; false when an equal item is already in the set. */
extern bool json_set_enter(JsonSet *set, uint32 index, JsonValue item, uint64 hash);

extern bool json_set_has(const JsonSet *set, JsonValue value);

/*
 * Large sets do not fit into the CPU caches: prefetches the memory of a hash that is needed soon.
 */
static inline void
json_set_prefetch(const JsonSet *set, uint64 hash)
{
    __builtin_prefetch(&set->slots[(uint32)hash & set->mask], 1);
}

#endif
