/*
 * store.c: a hash table of contacts and their rows; see store.h.
 */
#include "test/acoustic-sandbox/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"

enum { FIRST_BUCKETS = 1024 };

const char *const store_table_names[] = {"main", "newsletter", "waitlist", "product"};
const char *const store_table_keys[] = {NULL, "newsletter_name", "waitlist_name", "product_id"};
_Static_assert(sizeof(store_table_names) / sizeof(*store_table_names) == TABLE_COUNT &&
                   sizeof(store_table_keys) / sizeof(*store_table_keys) == TABLE_COUNT,
               "a table has no name or no key");

void
store_init(struct store *store)
{
    *store = (struct store){
        .bucket_count = FIRST_BUCKETS, .bucket_size = FIRST_BUCKETS, .level = FIRST_BUCKETS};
    store->buckets = xcalloc(FIRST_BUCKETS, sizeof(*store->buckets));
}

static void
contact_free(struct contact *contact)
{
    while (contact->rows != NULL) {
        struct relational_row *row = contact->rows;

        contact->rows = row->next;
        row_free(&row->row);
        free(row);
    }
    row_free(&contact->main);
    free(contact);
}

void
store_clear(struct store *store)
{
    for (size_t i = 0; i < store->bucket_count; i++) {
        while (store->buckets[i] != NULL) {
            struct contact *contact = store->buckets[i];

            store->buckets[i] = contact->next;
            contact_free(contact);
        }
    }
    free(store->buckets);
    store_init(store);
    store->is_dirty = true;
}

/* Buckets that have been split already are told apart by one more bit. */
static size_t
bucket_of(const struct store *store, const char *email_id)
{
    uint64_t hash = hash_string(0, email_id);
    size_t bucket = hash & (store->level * 2 - 1);

    return bucket < store->bucket_count ? bucket : hash & (store->level - 1);
}

/* Linear hashing: one more bucket, which takes its contacts from one other. */
static void
split_bucket(struct store *store)
{
    size_t from = store->bucket_count - store->level;
    struct contact *contact = store->buckets[from], *next;

    if (store->bucket_count == store->bucket_size) {
        store->bucket_size *= 2;
        store->buckets = xrealloc(store->buckets, store->bucket_size * sizeof(*store->buckets));
    }
    store->buckets[from] = NULL;
    store->buckets[store->bucket_count++] = NULL;
    for (; contact != NULL; contact = next) {
        size_t bucket = bucket_of(store, contact->email_id);

        next = contact->next;
        contact->next = store->buckets[bucket];
        store->buckets[bucket] = contact;
    }
    if (store->bucket_count == store->level * 2)
        store->level *= 2;
}

struct contact *
store_contact(struct store *store, const char *email_id, bool create)
{
    size_t at = bucket_of(store, email_id);
    struct contact *contact = store->buckets[at];
    size_t size = strlen(email_id) + 1;

    while (contact != NULL && strcmp(contact->email_id, email_id) != 0)
        contact = contact->next;
    if (contact != NULL || !create)
        return contact;

    contact = xmalloc(sizeof(*contact) + size);
    *contact = (struct contact){.next = store->buckets[at]};
    memcpy(contact->email_id, email_id, size);
    store->buckets[at] = contact;
    if (++store->contact_count > store->bucket_count)
        split_bucket(store);
    return contact;
}

/* Notes the version of a row that came. */
static void
note_version(struct store *store, const struct contact *contact, enum table table, long *version,
             const struct row *columns)
{
    long came = row_version(columns);

    if (came < 0)
        return;
    if (came < *version) {
        store->counts.went_back++;
        snprintf(store->went_back, sizeof(store->went_back), "%ld after %ld: %s of %s", came,
                 *version, store_table_names[table], contact->email_id);
        return;
    }
    *version = came;
}

bool
store_set_recipient(struct store *store, struct contact *contact, const struct row *columns,
                    bool keep_on_empty)
{
    bool is_new = !contact->is_recipient;

    store->recipient_count += is_new;
    contact->is_recipient = true;
    note_version(store, contact, TABLE_MAIN, &contact->version, columns);
    row_merge(&contact->main, columns, keep_on_empty);
    store->is_dirty = true;
    return is_new;
}

static struct relational_row **
find_row(struct contact *contact, enum table table, const char *key)
{
    struct relational_row **at = &contact->rows;

    while (*at != NULL && ((*at)->table != table || strcmp((*at)->key, key) != 0))
        at = &(*at)->next;
    return at;
}

bool
store_set_row(struct store *store, struct contact *contact, enum table table, const char *key,
              const struct row *columns)
{
    struct relational_row **at = find_row(contact, table, key);
    bool is_new = *at == NULL;

    if (is_new) {
        size_t size = strlen(key) + 1;

        *at = xmalloc(sizeof(**at) + size);
        **at = (struct relational_row){.table = table};
        memcpy((*at)->key, key, size);
        store->row_counts[table]++;
    }
    note_version(store, contact, table, &(*at)->version, columns);
    row_merge(&(*at)->row, columns, false);
    store->is_dirty = true;
    return is_new;
}

bool
store_remove_row(struct store *store, struct contact *contact, enum table table, const char *key)
{
    struct relational_row **at = find_row(contact, table, key);
    struct relational_row *row = *at;

    if (row == NULL)
        return false;
    *at = row->next;
    row_free(&row->row);
    free(row);
    store->row_counts[table]--;
    store->is_dirty = true;
    return true;
}

bool
store_remove_recipient(struct store *store, const char *email_id)
{
    struct contact *contact = store_contact(store, email_id, false);

    if (contact == NULL || !contact->is_recipient)
        return false;
    contact->is_recipient = false;
    contact->version++; /* what was removed must not come back */
    row_free(&contact->main);
    store->recipient_count--;
    store->counts.removed++;
    store->is_dirty = true;
    return true;
}
