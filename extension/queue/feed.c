/*
 * queue/feed.c: remembers what a transaction has changed, until it commits.
 *
 * Triggers add keys row by row. When the transaction is about to commit, queue/flush.c takes them
 * and writes the queue once, in order of email_id. If the queue were written at the end of each
 * statement, its rows would be locked in the order of the statements, and two transactions that
 * change the same contacts through different tables (or through prices that they share) would
 * deadlock on the queue alone.
 *
 * Keys are only appended, and those at the beginning of a list are taken. So a subtransaction is
 * undone by setting both lengths of each list to what they were when the subtransaction first
 * added or took a key. A full list first drops its repetitions and
 * only then grows, so memory is limited by the number of different keys (16 bytes for each
 * contact).
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "extension/queue/feed.h"

#define FIRST_CAPACITY 64

typedef struct FeedList {
    char *keys; /* pg_uuid_t, or text * */
    int64 count;
    int64 taken; /* how many of them were taken */
    int64 capacity;
} FeedList;

/* Lengths of the lists when a subtransaction of that nesting level first changed one. */
typedef struct FeedMark {
    int level;
    int64 counts[FEED_KINDS];
    int64 taken[FEED_KINDS];
    int64 changed_contacts;
} FeedMark;

/* All of this lives in the memory context of the transaction and ends with it. */
static FeedList lists[FEED_KINDS];
static FeedMark *marks = NULL;
static int mark_count = 0;
static int mark_capacity = 0;
static int64 changed_contacts = 0; /* how many were taken in this transaction */

const char *
feed_kind_name(FeedKind kind)
{
    switch (kind) {
    case FEED_CONTACT: return "contact";
    case FEED_FXA: return "fxa";
    case FEED_CUSTOMER: return "customer";
    case FEED_SUBSCRIPTION: return "subscription";
    case FEED_PRICE: return "price";
    case FEED_INVOICE: return "invoice";
    case FEED_KINDS: break;
    }
    elog(ERROR, "no such kind of key: %d", (int)kind);
}

static inline bool
is_uuid(FeedKind kind)
{
    return kind == FEED_CONTACT;
}

static inline size_t
key_width(FeedKind kind)
{
    return is_uuid(kind) ? sizeof(pg_uuid_t) : sizeof(text *);
}

static int
compare_uuid(const void *a, const void *b)
{
    return memcmp(a, b, UUID_LEN);
}

static int
compare_text(const void *a, const void *b)
{
    const text *x = *(const text *const *)a;
    const text *y = *(const text *const *)b;
    int x_length = VARSIZE_ANY_EXHDR(x);
    int y_length = VARSIZE_ANY_EXHDR(y);
    int order = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(x_length, y_length));

    return order ? order : x_length - y_length;
}

static inline int
compare_keys(FeedKind kind, const void *a, const void *b)
{
    return is_uuid(kind) ? compare_uuid(a, b) : compare_text(a, b);
}

/* Sorts keys and drops repetitions; returns how many are left. */
static int64
sort_unique(FeedKind kind, char *keys, int64 count)
{
    size_t width = key_width(kind);
    int64 kept = 1;

    if (count < 2)
        return count;
    qsort(keys, count, width, is_uuid(kind) ? compare_uuid : compare_text);
    for (int64 i = 1; i < count; i++) {
        if (compare_keys(kind, keys + (kept - 1) * width, keys + i * width) == 0)
            continue;
        if (kept != i)
            memcpy(keys + kept * width, keys + i * width, width);
        kept++;
    }
    return kept;
}

/* The keys from here on may be moved: they were not taken, and no rollback keeps them. */
static int64
first_loose(FeedKind kind)
{
    int64 marked = mark_count > 0 ? marks[mark_count - 1].counts[kind] : 0;

    return Max(marked, lists[kind].taken);
}

static void
make_room(FeedKind kind)
{
    FeedList *list = &lists[kind];
    size_t width = key_width(kind);
    int64 from = first_loose(kind);

    if (!list->keys) {
        list->keys = MemoryContextAlloc(TopTransactionContext, FIRST_CAPACITY * width);
        list->capacity = FIRST_CAPACITY;
        return;
    }
    list->count = from + sort_unique(kind, list->keys + from * width, list->count - from);
    if (list->count <= list->capacity / 2)
        return;
    list->keys = repalloc_huge(list->keys, 2 * list->capacity * width);
    list->capacity *= 2;
}

/*
 * Called before a key is added or taken. The first time in a subtransaction it records the
 * lengths that a rollback restores.
 */
static void
mark_subtransaction(void)
{
    int level = GetCurrentTransactionNestLevel();
    FeedMark *mark;

    if (level <= 1 || (mark_count > 0 && marks[mark_count - 1].level >= level))
        return;
    if (mark_count == mark_capacity) {
        int capacity = mark_capacity > 0 ? 2 * mark_capacity : 8;

        marks = marks ? repalloc(marks, capacity * sizeof(FeedMark))
                      : MemoryContextAlloc(TopTransactionContext, capacity * sizeof(FeedMark));
        mark_capacity = capacity;
    }
    mark = &marks[mark_count++];
    mark->level = level;
    for (int kind = 0; kind < FEED_KINDS; kind++) {
        mark->counts[kind] = lists[kind].count;
        mark->taken[kind] = lists[kind].taken;
    }
    mark->changed_contacts = changed_contacts;
}

void
feed_add(FeedKind kind, Datum key)
{
    FeedList *list = &lists[kind];
    size_t width = key_width(kind);
    const void *added;
    text *varlena = NULL;

    mark_subtransaction();

    if (is_uuid(kind)) {
        added = DatumGetUUIDP(key);
    } else {
        varlena = PG_DETOAST_DATUM_PACKED(key);
        added = &varlena;
    }
    /* Often several rows of the same contact come one after the other. */
    if (list->count > first_loose(kind) &&
        compare_keys(kind, list->keys + (list->count - 1) * width, added) == 0)
        return;

    if (list->count == list->capacity)
        make_room(kind);
    if (!is_uuid(kind)) {
        text *copy = MemoryContextAlloc(TopTransactionContext, VARSIZE_ANY(varlena));

        memcpy(copy, varlena, VARSIZE_ANY(varlena));
        varlena = copy;
    }
    memcpy(list->keys + list->count * width, added, width);
    list->count++;
}

bool
feed_is_owed(void)
{
    for (int kind = 0; kind < FEED_KINDS; kind++)
        if (lists[kind].count > lists[kind].taken)
            return true;
    return false;
}

void
feed_keys_add(FeedKeys *keys, const pg_uuid_t *email_id)
{
    Size width = sizeof(pg_uuid_t);

    if (keys->count == keys->capacity) {
        keys->capacity = Max(FIRST_CAPACITY, 2 * keys->capacity);
        keys->keys = keys->keys
                         ? repalloc_huge(keys->keys, keys->capacity * width)
                         : MemoryContextAllocHuge(CurrentMemoryContext, keys->capacity * width);
    }
    memcpy(keys->keys + keys->count++ * width, email_id, width);
}

void
feed_keys_from_array(ArrayType *email_ids, FeedKeys *keys)
{
    Datum *elements;
    int count;
    pg_uuid_t *ids;

    if (array_contains_nulls(email_ids))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("an array of contacts must not contain nulls"));
    deconstruct_array(email_ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, NULL, &count);
    ids = palloc(Max(count, 1) * sizeof(pg_uuid_t));
    for (int i = 0; i < count; i++)
        ids[i] = *DatumGetUUIDP(elements[i]);
    pfree(elements);
    *keys = (FeedKeys){.kind = FEED_CONTACT, .keys = (char *)ids, .capacity = count};
    keys->count = sort_unique(FEED_CONTACT, keys->keys, count);
}

void
feed_take_all(FeedKind kind, FeedKeys *keys)
{
    FeedList *list = &lists[kind];
    size_t width = key_width(kind);

    mark_subtransaction();
    *keys = (FeedKeys){.kind = kind, .count = list->count - list->taken};
    keys->keys =
        keys->count == 0 ? NULL : MemoryContextAllocHuge(CurrentMemoryContext, keys->count * width);
    if (keys->count > 0)
        memcpy(keys->keys, list->keys + list->taken * width, keys->count * width);
    keys->capacity = keys->count;
    keys->count = sort_unique(kind, keys->keys, keys->count);
    if (kind == FEED_CONTACT)
        changed_contacts += keys->count;
    list->taken = list->count;
    if (mark_count == 0) /* nothing can bring them back */
        list->count = list->taken = 0;
}

int64
feed_changed_contacts(void)
{
    return changed_contacts;
}

void
feed_keys_sort(FeedKeys *keys)
{
    keys->count = sort_unique(keys->kind, keys->keys, keys->count);
}

bool
feed_keys_contain(const FeedKeys *contacts, const pg_uuid_t *email_id)
{
    return contacts->count > 0 && bsearch(email_id, contacts->keys, contacts->count,
                                          sizeof(pg_uuid_t), compare_uuid) != NULL;
}

void
feed_keys_unite(FeedKeys *all, const FeedKeys *a, const FeedKeys *b)
{
    *all = (FeedKeys){.kind = FEED_CONTACT};
    for (int64 i = 0; i < a->count; i++)
        feed_keys_add(all, (pg_uuid_t *)a->keys + i);
    for (int64 i = 0; i < b->count; i++)
        feed_keys_add(all, (pg_uuid_t *)b->keys + i);
    feed_keys_sort(all);
}

ArrayType *
feed_take(FeedKeys *keys, int limit)
{
    int count = Min(keys->count - keys->taken, limit);
    Datum *elements = palloc(Max(count, 1) * sizeof(Datum));
    ArrayType *array;

    for (int i = 0; i < count; i++) {
        char *key = keys->keys + (keys->taken + i) * key_width(keys->kind);

        elements[i] =
            is_uuid(keys->kind) ? UUIDPGetDatum((pg_uuid_t *)key) : PointerGetDatum(*(text **)key);
    }
    if (is_uuid(keys->kind))
        array = construct_array(elements, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
    else
        array = construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
    pfree(elements);
    keys->taken += count;
    return array;
}

/* ---- ends of transactions -------------------------------------------------- */

void
feed_forget(void)
{
    marks = NULL;
    mark_count = mark_capacity = 0;
    changed_contacts = 0;
    memset(lists, 0, sizeof(lists));
}

void
feed_end_subtransaction(bool is_commit)
{
    int level = GetCurrentTransactionNestLevel();

    while (mark_count > 0 && marks[mark_count - 1].level >= level) {
        FeedMark *mark = &marks[mark_count - 1];

        if (is_commit) {
            /* The keys now belong to the parent. If the parent has a mark of its own, that one is
             * kept, because it is further back. */
            mark->level = level - 1;
            if (mark->level > 1 && (mark_count < 2 || marks[mark_count - 2].level < mark->level))
                return;
        } else {
            for (int kind = 0; kind < FEED_KINDS; kind++) {
                lists[kind].count = mark->counts[kind];
                lists[kind].taken = mark->taken[kind];
            }
            changed_contacts = mark->changed_contacts;
        }
        mark_count--;
    }
}
