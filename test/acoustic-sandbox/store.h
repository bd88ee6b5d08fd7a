/*
 * store.h: what the sandbox holds: recipients, relational rows, and counts of requests. api.c fills
 * it; server.c and page.c show it.
 *
 * Everything is found by email_id. A contact exists from the first request that names it. It is a
 * recipient when an AddRecipient for it was accepted.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_STORE_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_STORE_H

#include <jansson.h>

#include "common/buf.h"
#include "test/acoustic-sandbox/row.h"

enum table { TABLE_MAIN, TABLE_NEWSLETTER, TABLE_WAITLIST, TABLE_PRODUCT, TABLE_COUNT };

extern const char *const store_table_names[];
/* The column that, with email_id, identifies a row; null for the main table. */
extern const char *const store_table_keys[];

struct relational_row {
    struct relational_row *next;
    struct row row;
    enum table table;
    long version; /* the highest that came; see row_version() */
    char key[];
};

struct contact {
    struct contact *next;
    struct row main;
    struct relational_row *rows; /* in the order in which they first came */
    unsigned sent;               /* AddRecipient requests that named it, whatever was answered */
    unsigned accepted;           /* those that were accepted */
    unsigned imported;           /* main rows of files that were accepted */
    long version; /* the highest that came; one more when the recipient was removed */
    bool is_recipient;
    char email_id[];
};

struct counts {
    long requests[2 + TABLE_COUNT];  /* token, other, then AddRecipient and relational by table */
    long import_calls, status_calls; /* ImportList and ImportTable; GetJobStatus */
    long token_refused;
    long rows_received[TABLE_COUNT];
    long rows_imported[TABLE_COUNT]; /* rows of files that were accepted */
    long rows_before_recipient; /* relational rows of contacts that were not recipients (yet) */
    long went_back;             /* rows with an older version than one that came before */
    long refused_concurrent;
    long faults; /* answers that a rule made */
    long max_in_flight_seen;
    long removed;
};
enum { COUNT_TOKEN, COUNT_OTHER, COUNT_TABLES };

/* The table of contacts grows by one bucket at a time, so that no request waits for it. */
struct store {
    struct contact **buckets;
    size_t bucket_count;
    size_t bucket_size; /* of the array */
    size_t level;       /* a power of two: the buckets from here on came by splitting */
    size_t contact_count;
    size_t recipient_count;
    size_t row_counts[TABLE_COUNT];
    struct counts counts;
    char went_back[160]; /* the last such row: versions, table and email_id */
    bool is_dirty;       /* changed since it was last written to a file */
};

void store_init(struct store *store);
void store_clear(struct store *store);
/* The contact, or null. With "create", never null. */
struct contact *store_contact(struct store *store, const char *email_id, bool create);
/* Both return true when there was no such row before. */
bool store_set_recipient(struct store *store, struct contact *contact, const struct row *columns,
                         bool keep_on_empty);
bool store_set_row(struct store *store, struct contact *contact, enum table table, const char *key,
                   const struct row *columns);
/* False when the contact was not a recipient. */
bool
store_remove_row(struct store *store, struct contact *contact, enum table table, const char *key);
/* Removes the recipient's main row; its relational rows stay, as they do at Acoustic. */
bool store_remove_recipient(struct store *store, const char *email_id);

/* ---- store_json.c: as JSON, and in a file; json_t results belong to the caller ---- */

json_t *store_recipients_json(const struct store *store, size_t offset, size_t limit);
json_t *store_contact_json(const struct contact *contact);
json_t *store_stats_json(const struct store *store, bool with_sent);
/* The rows of a contact in the text form of PostgreSQL's COPY: email_id, kind, and an object. */
void store_contact_copy(const struct contact *contact, buf *text);
/* Both print what went wrong to stderr. A missing file loads as empty. */
bool store_save(struct store *store, const char *path);
bool store_load(struct store *store, const char *path);

#endif
