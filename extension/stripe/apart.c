/*
 * stripe/apart.c: how many objects of a list may be stored together. No two of them may store the
 * same row, or one store what another needs; but a price may come again with the same content, or
 * before what needs it. So the order in which the rows are written does not matter.
 *
 * It reads no table; stripe/store.c finds what only the stored rows can tell.
 */
#include "extension/stripe/stripe.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datum.h"

/* Next to the kinds: the FxA ID that a customer claims. */
#define CLAIM STRIPE_KINDS

/* What earlier objects have to do with a row. */
typedef struct Mention {
    StripeRowKey key;
    const StripeRecord *record; /* the content that they store; NULL: they only need it */
} Mention;

static uint32
hash_row_key(const void *key, Size size)
{
    const StripeRowKey *row = key;
    uint32 hash = hash_bytes((const unsigned char *)row->id, (int)strlen(row->id));

    return hash_combine(hash, (uint32)row->kind);
}

static int
compare_row_keys(const void *left, const void *right, Size size)
{
    const StripeRowKey *a = left;
    const StripeRowKey *b = right;

    return a->kind == b->kind ? strcmp(a->id, b->id) : 1;
}

HTAB *
stripe_create_row_table(Size entry_size)
{
    HASHCTL control = {.keysize = sizeof(StripeRowKey),
                       .entrysize = entry_size,
                       .hash = hash_row_key,
                       .match = compare_row_keys,
                       .hcxt = CurrentMemoryContext};

    return hash_create("Stripe rows of a message", 256, &control,
                       HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static bool
is_same_content(const StripeRecord *a, const StripeRecord *b)
{
    const StripeMap *map = &stripe_maps[a->kind];
    int i;

    for (i = 0; i < map->field_count; i++) {
        StripeFieldType type = map->fields[i].type;
        bool is_text = type == STRIPE_TEXT || type == STRIPE_WORD || type == STRIPE_REFERENCE;

        if (a->nulls[i] != b->nulls[i])
            return false;
        if (a->nulls[i] != 'n' &&
            !datumIsEqual(a->values[i], b->values[i], !is_text, is_text ? -1 : (int)sizeof(Datum)))
            return false;
    }
    return true;
}

/* Whether an object may be stored together with the earlier ones. "record" is NULL for a need. */
static bool
fits(HTAB *mentions, int kind, const char *id, const StripeRecord *record)
{
    StripeRowKey key = {kind, id};
    const Mention *mention = hash_search(mentions, &key, HASH_FIND, NULL);

    if (mention == NULL)
        return true;
    if (record == NULL)
        return mention->record == NULL || kind == STRIPE_PRICE;
    return kind == STRIPE_PRICE && mention->record != NULL &&
           is_same_content(mention->record, record);
}

static void
mention_row(HTAB *mentions, int kind, const char *id, const StripeRecord *record)
{
    StripeRowKey key = {kind, id};
    bool is_found;
    Mention *mention = hash_search(mentions, &key, HASH_ENTER, &is_found);

    if (record != NULL || !is_found)
        mention->record = record;
}

/* The FxA ID that a record claims, or NULL. */
static const char *
claim_of(const StripeRecord *record)
{
    return record->kind == STRIPE_CUSTOMER ? stripe_owner_of(record) : NULL;
}

static bool
fits_all(HTAB *mentions, const StripeObject *object)
{
    ListCell *cell;

    foreach (cell, object->records) {
        const StripeRecord *record = lfirst(cell);
        const char *claim = claim_of(record);

        if (!fits(mentions, record->kind, record->id, record) ||
            (claim != NULL && !fits(mentions, CLAIM, claim, record)))
            return false;
    }
    foreach (cell, object->needs) {
        const StripeNeed *need = lfirst(cell);

        if (!fits(mentions, need->kind, need->id, NULL))
            return false;
    }
    return true;
}

static void
mention_all(HTAB *mentions, const StripeObject *object)
{
    ListCell *cell;

    foreach (cell, object->records) {
        const StripeRecord *record = lfirst(cell);
        const char *claim = claim_of(record);

        mention_row(mentions, record->kind, record->id, record);
        if (claim != NULL)
            mention_row(mentions, CLAIM, claim, record);
    }
    foreach (cell, object->needs) {
        const StripeNeed *need = lfirst(cell);

        mention_row(mentions, need->kind, need->id, NULL);
    }
}

int
stripe_count_apart(const List *objects)
{
    HTAB *mentions = stripe_create_row_table(sizeof(Mention));
    int count = 0;
    ListCell *cell;

    foreach (cell, objects) {
        const StripeObject *object = lfirst(cell);

        if (object->problem == NULL) {
            if (!fits_all(mentions, object))
                break;
            mention_all(mentions, object);
        }
        count++;
    }
    hash_destroy(mentions);
    return count;
}
