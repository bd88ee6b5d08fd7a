/*
 * json/unique.c: checks whether no two items of an array are equal. Large arrays use a set.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json/hash.h"

/* Arrays up to this size are compared pair by pair, without a set. */
#define SMALL_ARRAY 16
#define BATCH 32

static bool
few_items_are_unique(JsonValue array, uint32 count)
{
    JsonValue items[SMALL_ARRAY];
    JsonWalk walk = json_walk_array(array);

    for (uint32 i = 0; i < count; i++) {
        items[i] = json_walk_next(&walk);
        for (uint32 j = 0; j < i; j++)
            if (json_values_equal(items[i], items[j]))
                return false;
    }
    return true;
}

/*
 * The set is larger than the CPU caches, so the slots of a whole batch are prefetched before use.
 */
static bool
enter_batch(JsonSet *set, JsonWalk *walk, uint32 first)
{
    JsonValue items[BATCH];
    uint64 hashes[BATCH];
    uint32 n = 0;

    CHECK_FOR_INTERRUPTS();
    for (; n < BATCH && !json_walk_ended(walk); n++) {
        items[n] = json_walk_next(walk);
        hashes[n] = json_value_hash(items[n]);
        json_set_prefetch(set, hashes[n]);
    }
    for (uint32 i = 0; i < n; i++)
        if (!json_set_enter(set, first + i, items[i], hashes[i]))
            return false;
    return true;
}

static bool
many_items_are_unique(JsonValue array, uint32 count)
{
    JsonWalk walk = json_walk_array(array);
    JsonSet set = json_set_new(array, NULL);
    bool is_unique = true;

    for (uint32 i = 0; i < count && is_unique; i += BATCH)
        is_unique = enter_batch(&set, &walk, i);
    json_set_free(&set);
    return is_unique;
}

bool
json_items_are_unique(JsonValue array)
{
    uint32 count = json_count(array);

    if (count <= SMALL_ARRAY)
        return few_items_are_unique(array, count);
    return many_items_are_unique(array, count);
}
