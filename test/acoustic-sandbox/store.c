/*
 * store.c: a hash table of contacts and their rows; see store.h.
 */
#include "test/acoustic-sandbox/store.h"

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
    *store = (struct store){.bucket_count = FIRST_BUCKETS};
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

static void
grow(struct store *store)
{
    size_t count = store->bucket_count * 2;
    struct contact **buckets = xcalloc(count, sizeof(*buckets));

    for (size_t i = 0; i < store->bucket_count; i++) {
        struct contact *next;

        for (struct contact *contact = store->buckets[i]; contact != NULL; contact = next) {
            size_t at = hash_string(0, contact->email_id) & (count - 1);

            next = contact->next;
            contact->next = buckets[at];
            buckets[at] = contact;
        }
    }
    free(store->buckets);
    store->buckets = buckets;
    store->bucket_count = count;
}

struct contact *
store_contact(struct store *store, const char *email_id, bool create)
{
    size_t at = hash_string(0, email_id) & (store->bucket_count - 1);
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
        grow(store);
    return contact;
}

void
store_set_recipient(struct store *store, struct contact *contact, const struct row *columns,
                    bool keep_on_empty)
{
    if (!contact->is_recipient)
        store->recipient_count++;
    contact->is_recipient = true;
    contact->accepted++;
    row_merge(&contact->main, columns, keep_on_empty);
    store->is_dirty = true;
}

static struct relational_row **
find_row(struct contact *contact, enum table table, const char *key)
{
    struct relational_row **at = &contact->rows;

    while (*at != NULL && ((*at)->table != table || strcmp((*at)->key, key) != 0))
        at = &(*at)->next;
    return at;
}

void
store_set_row(struct store *store, struct contact *contact, enum table table, const char *key,
              const struct row *columns)
{
    struct relational_row **at = find_row(contact, table, key);

    if (*at == NULL) {
        size_t size = strlen(key) + 1;

        *at = xmalloc(sizeof(**at) + size);
        **at = (struct relational_row){.table = table};
        memcpy((*at)->key, key, size);
        store->row_counts[table]++;
    }
    row_merge(&(*at)->row, columns, false);
    store->is_dirty = true;
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
    row_free(&contact->main);
    store->recipient_count--;
    store->counts.removed++;
    store->is_dirty = true;
    return true;
}
