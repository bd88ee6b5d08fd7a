/*
 * json_unique.c: whether no two items of an array are equal.
 *
 * Large arrays go through a table of hashes. The hash is SipHash-1-3 over what equal values
 * have in common, with a key of this backend's own, so that nobody can send items that all
 * collide.
 */
#include "compat.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "json_number.h"
#include "json_value.h"

/* Arrays up to this size are compared pair by pair, without a table. */
#define SMALL_ARRAY 16
#define BATCH 32

/* ---- hashing ------------------------------------------------------------------------ */

typedef struct SipState {
    uint64 a, b, c, d;
} SipState;

static uint64 key[2];

static void
make_key(void)
{
    if (key[0] == 0 && !pg_strong_random(key, sizeof(key)))
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a hash key"));
}

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

static inline void
mix(SipState *hash)
{
    hash->a += hash->b;
    hash->b = ROTATE(hash->b, 13) ^ hash->a;
    hash->a = ROTATE(hash->a, 32);
    hash->c += hash->d;
    hash->d = ROTATE(hash->d, 16) ^ hash->c;
    hash->a += hash->d;
    hash->d = ROTATE(hash->d, 21) ^ hash->a;
    hash->c += hash->b;
    hash->b = ROTATE(hash->b, 17) ^ hash->c;
    hash->c = ROTATE(hash->c, 32);
}

static inline void
add_word(SipState *hash, uint64 word)
{
    hash->d ^= word;
    mix(hash);
    hash->a ^= word;
}

/* The length is in a word of its own, so a string cannot pass for another. */
static inline void
add_bytes(SipState *hash, const char *bytes, uint32 length)
{
    uint64 word;

    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        add_word(hash, word);
    }
    word = 0;
    for (uint32 i = 0; i < length; i++)
        word |= (uint64)(unsigned char)bytes[i] << (8 * i);
    add_word(hash, word);
}

static void
add_number(SipState *hash, JsonValue number)
{
    JsonDecimal decimal;

    if (json_number_to_decimal(number, &decimal)) {
        add_word(hash, (uint64)decimal.mantissa);
        add_word(hash, (uint64)decimal.scale);
    } else {
        add_word(hash, json_number_hash(number));
    }
}

static void
add_value(SipState *hash, JsonValue value)
{
    JsonWalk keys;
    JsonWalk values;

    switch ((JsonKind)value.kind) {
    case JSON_STRING:
        add_word(hash, ((uint64)value.length << 8) | JSON_STRING);
        add_bytes(hash, value.data, value.length);
        return;
    case JSON_NUMBER:
        add_word(hash, JSON_NUMBER);
        add_number(hash, value);
        return;
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NULL: add_word(hash, value.kind); return;
    case JSON_ARRAY:
        check_stack_depth();
        CHECK_FOR_INTERRUPTS();
        add_word(hash, ((uint64)json_count(value) << 8) | JSON_ARRAY);
        values = json_walk_array(value);
        while (!json_walk_ended(&values))
            add_value(hash, json_walk_next(&values));
        return;
    case JSON_OBJECT:
        check_stack_depth();
        CHECK_FOR_INTERRUPTS();
        add_word(hash, ((uint64)json_count(value) << 8) | JSON_OBJECT);
        json_walk_object(value, &keys, &values);
        while (!json_walk_ended(&keys)) {
            add_value(hash, json_walk_next(&keys));
            add_value(hash, json_walk_next(&values));
        }
        return;
    }
}

static uint64
hash_value(JsonValue value)
{
    SipState hash = {
        key[0] ^ UINT64CONST(0x736f6d6570736575), key[1] ^ UINT64CONST(0x646f72616e646f6d),
        key[0] ^ UINT64CONST(0x6c7967656e657261), key[1] ^ UINT64CONST(0x7465646279746573)};

    add_value(&hash, value);
    hash.c ^= 0xff;
    mix(&hash);
    mix(&hash);
    mix(&hash);
    return hash.a ^ hash.b ^ hash.c ^ hash.d;
}

/* ---- arrays ----------------------------------------------------------------------------- */

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

/* A place in the table: free when the index is 0. */
typedef struct Slot {
    uint32 index; /* of an item, plus one */
    uint32 tag;   /* the half of its hash that does not choose the slot */
} Slot;

typedef struct Table {
    Slot *slots;
    uint32 mask;
    JsonValue *items;
} Table;

/* Enters an item; false when an equal one is there. */
static bool
enter(const Table *table, uint32 index, uint64 hash)
{
    Slot *slots = table->slots;
    uint32 tag = (uint32)(hash >> 32);
    uint32 at = (uint32)hash & table->mask;

    for (; slots[at].index != 0; at = (at + 1) & table->mask)
        if (slots[at].tag == tag &&
            json_values_equal(table->items[slots[at].index - 1], table->items[index]))
            return false;
    slots[at].index = index + 1;
    slots[at].tag = tag;
    return true;
}

/* The table is larger than caches are: slots of a whole batch are asked for before use. */
static bool
enter_batch(const Table *table, JsonWalk *walk, uint32 first)
{
    uint64 hashes[BATCH];
    uint32 n = 0;

    CHECK_FOR_INTERRUPTS();
    for (; n < BATCH && !json_walk_ended(walk); n++) {
        table->items[first + n] = json_walk_next(walk);
        hashes[n] = hash_value(table->items[first + n]);
        __builtin_prefetch(&table->slots[(uint32)hashes[n] & table->mask], 1);
    }
    for (uint32 i = 0; i < n; i++)
        if (!enter(table, first + i, hashes[i]))
            return false;
    return true;
}

static bool
many_items_are_unique(JsonValue array, uint32 count)
{
    uint32 n_slots = pg_nextpower2_32(count * 2);
    JsonWalk walk = json_walk_array(array);
    bool is_unique = true;
    Table table;

    make_key();
    table.mask = n_slots - 1;
    table.items = MemoryContextAllocHuge(CurrentMemoryContext, (Size)count * sizeof(JsonValue));
    table.slots = MemoryContextAllocHuge(CurrentMemoryContext, (Size)n_slots * sizeof(Slot));
    memset(table.slots, 0, (Size)n_slots * sizeof(Slot));
    for (uint32 i = 0; i < count && is_unique; i += BATCH)
        is_unique = enter_batch(&table, &walk, i);
    pfree(table.items);
    pfree(table.slots);
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
