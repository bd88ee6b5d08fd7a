/*
 * json/hash.c: hashes of JSON values, and sets of them.
 *
 * The hash is SipHash-1-3 over the part of a value that all equal values share. The key is random
 * in each backend, so that nobody can send values that all collide.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "extension/base/memory_limit.h"
#include "extension/json/hash.h"
#include "extension/json/number.h"

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

/* The length goes into a separate word, so that two different strings never add the same words. */
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

uint64
json_value_hash(JsonValue value)
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

/* ---- sets ------------------------------------------------------------------------------ */

JsonSet
json_set_new(JsonValue array, const JsonValue *items)
{
    uint32 n = Max(json_count(array), 1);
    uint32 n_slots = pg_nextpower2_32(n + n / 2 + 1);
    Size size = (Size)n_slots * sizeof(JsonSetSlot);
    JsonSet set = {array, items, NULL, n_slots - 1};

    make_key();
    memory_limit_check(size);
    set.slots =
        MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    return set;
}

void
json_set_free(JsonSet *set)
{
    pfree(set->slots);
}

static inline JsonValue
item_at(const JsonSet *set, uint32 index)
{
    return set->items ? set->items[index] : json_array_item(set->array, index);
}

/*
 * The slot of an equal value, or the free one where it belongs. An item is only looked up when its
 * tag is equal, so the set needs no list of items.
 */
static inline JsonSetSlot *
find_slot(const JsonSet *set, JsonValue value, uint64 hash)
{
    uint32 tag = (uint32)(hash >> 32);
    uint32 at = (uint32)hash & set->mask;

    for (; set->slots[at].index != 0; at = (at + 1) & set->mask)
        if (set->slots[at].tag == tag &&
            json_values_equal(item_at(set, set->slots[at].index - 1), value))
            break;
    return &set->slots[at];
}

bool
json_set_enter(JsonSet *set, uint32 index, JsonValue item, uint64 hash)
{
    JsonSetSlot *slot = find_slot(set, item, hash);

    if (slot->index != 0)
        return false;
    slot->index = index + 1;
    slot->tag = (uint32)(hash >> 32);
    return true;
}

bool
json_set_has(const JsonSet *set, JsonValue value)
{
    return find_slot(set, value, json_value_hash(value))->index != 0;
}
