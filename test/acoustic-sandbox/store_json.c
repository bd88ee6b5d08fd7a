/*
 * store_json.c: the sandbox's content as JSON, for its pages and for its state file; see store.h.
 */
#include "test/acoustic-sandbox/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_t *
row_json(const struct row *row)
{
    json_t *object = json_object();
    struct row_cursor cursor = {0};

    while (row_next(row, &cursor))
        json_object_set_new(object, cursor.name, json_string(cursor.value));
    return object;
}

json_t *
store_contact_json(const struct contact *contact)
{
    json_t *result =
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:o}", "email_id", contact->email_id, "is_recipient",
                  (int)contact->is_recipient, "sent", (json_int_t)contact->sent, "accepted",
                  (json_int_t)contact->accepted, "imported", (json_int_t)contact->imported, "main",
                  row_json(&contact->main));

    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++)
        json_object_set_new(result, store_table_names[table], json_array());
    for (const struct relational_row *row = contact->rows; row != NULL; row = row->next)
        json_array_append_new(json_object_get(result, store_table_names[row->table]),
                              row_json(&row->row));
    return result;
}

json_t *
store_recipients_json(const struct store *store, size_t offset, size_t limit)
{
    json_t *list = json_array();
    size_t at = 0;

    for (size_t i = 0; i < store->bucket_count && at < offset + limit; i++) {
        for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next) {
            if (c->is_recipient && at++ >= offset && at <= offset + limit)
                json_array_append_new(list, store_contact_json(c));
        }
    }
    return json_pack("{s:I, s:o}", "count", (json_int_t)store->recipient_count, "recipients", list);
}

static json_t *
requests_json(const struct counts *counts)
{
    const long *requests = counts->requests;
    long relational = 0;

    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++)
        relational += requests[COUNT_TABLES + table];
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "token",
                     (json_int_t)requests[COUNT_TOKEN], "AddRecipient",
                     (json_int_t)requests[COUNT_TABLES + TABLE_MAIN], "InsertUpdateRelationalTable",
                     (json_int_t)relational, "newsletter",
                     (json_int_t)requests[COUNT_TABLES + TABLE_NEWSLETTER], "waitlist",
                     (json_int_t)requests[COUNT_TABLES + TABLE_WAITLIST], "product",
                     (json_int_t)requests[COUNT_TABLES + TABLE_PRODUCT], "import",
                     (json_int_t)counts->import_calls, "GetJobStatus",
                     (json_int_t)counts->status_calls, "other", (json_int_t)requests[COUNT_OTHER]);
}

json_t *
store_stats_json(const struct store *store, bool with_sent)
{
    const struct counts *counts = &store->counts;
    json_t *rows = json_object(), *received = json_object(), *imported = json_object();
    json_t *result;

    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++) {
        json_object_set_new(rows, store_table_names[table],
                            json_integer((json_int_t)store->row_counts[table]));
        json_object_set_new(received, store_table_names[table],
                            json_integer(counts->rows_received[table]));
    }
    for (int table = 0; table < TABLE_COUNT; table++)
        json_object_set_new(imported, store_table_names[table],
                            json_integer(counts->rows_imported[table]));
    result = json_pack("{s:o, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "requests",
                       requests_json(counts), "recipients", (json_int_t)store->recipient_count,
                       "rows", rows, "rows_received", received, "rows_imported", imported,
                       "rows_before_recipient", (json_int_t)counts->rows_before_recipient,
                       "token_refused", (json_int_t)counts->token_refused, "refused_concurrent",
                       (json_int_t)counts->refused_concurrent, "faults", (json_int_t)counts->faults,
                       "max_in_flight_seen", (json_int_t)counts->max_in_flight_seen, "removed",
                       (json_int_t)counts->removed);
    json_object_set_new(result, "went_back", json_integer(counts->went_back));
    json_object_set_new(result, "went_back_last", json_string(store->went_back));
    if (with_sent) {
        json_t *sent = json_object();

        for (size_t i = 0; i < store->bucket_count; i++) {
            for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next) {
                if (c->sent > 0)
                    json_object_set_new(sent, c->email_id, json_integer(c->sent));
            }
        }
        json_object_set_new(result, "sent", sent);
    }
    return result;
}

/* Adds a field, or a part of one. */
static void
copy_text(buf *text, const char *value)
{
    for (;;) {
        size_t plain = strcspn(value, "\\\t\n\r");

        buf_append(text, value, plain);
        value += plain;
        switch (*value++) {
        case '\0': return;
        case '\t': buf_append_string(text, "\\t"); break;
        case '\n': buf_append_string(text, "\\n"); break;
        case '\r': buf_append_string(text, "\\r"); break;
        default: buf_append_string(text, "\\\\"); break;
        }
    }
}

static void
copy_row(buf *text, const char *email_id, enum table table, const struct row *row, buf *json)
{
    struct row_cursor cursor = {0};

    copy_text(text, email_id);
    buf_printf(text, "\t%s\t{", store_table_names[table]);
    buf_reset(json);
    while (row_next(row, &cursor)) {
        if (cursor.index > 1)
            buf_append_char(json, ',');
        buf_append_json_string(json, cursor.name);
        buf_append_char(json, ':');
        buf_append_json_string(json, cursor.value);
    }
    copy_text(text, buf_text(json));
    buf_append_string(text, "}\n");
}

void
store_contact_copy(const struct contact *contact, buf *text)
{
    buf json = BUF_INIT;

    if (contact->is_recipient)
        copy_row(text, contact->email_id, TABLE_MAIN, &contact->main, &json);
    for (const struct relational_row *row = contact->rows; row != NULL; row = row->next)
        copy_row(text, contact->email_id, row->table, &row->row, &json);
    buf_free(&json);
}

bool
store_save(struct store *store, const char *path)
{
    char part[4096];
    FILE *file;
    bool is_written = true;

    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
        return false;
    file = fopen(part, "w");
    if (file == NULL) {
        fprintf(stderr, "acoustic-sandbox: could not write \"%s\": %s\n", part, strerror(errno));
        return false;
    }
    /* Each contact is one line, so a state of any size is written and read with little memory. */
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next) {
            json_t *line = store_contact_json(c);

            is_written &= json_dumpf(line, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF;
            json_decref(line);
        }
    }
    is_written &= fclose(file) == 0;
    if (!is_written || rename(part, path) != 0) {
        fprintf(stderr, "acoustic-sandbox: could not write \"%s\": %s\n", path, strerror(errno));
        unlink(part);
        return false;
    }
    store->is_dirty = false;
    return true;
}

static void
row_load(struct row *row, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (json_is_string(value))
            row_append(row, name, json_string_value(value));
    }
}

static bool
contact_load(struct store *store, json_t *line)
{
    const char *email_id = json_string_value(json_object_get(line, "email_id"));
    struct contact *contact;

    if (email_id == NULL)
        return false;
    contact = store_contact(store, email_id, true);
    if (json_is_true(json_object_get(line, "is_recipient"))) {
        struct row main = {0};

        row_load(&main, json_object_get(line, "main"));
        store_set_recipient(store, contact, &main, false);
        row_free(&main);
    }
    contact->sent = (unsigned)json_integer_value(json_object_get(line, "sent"));
    contact->accepted = (unsigned)json_integer_value(json_object_get(line, "accepted"));
    contact->imported = (unsigned)json_integer_value(json_object_get(line, "imported"));
    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++) {
        json_t *object;
        size_t i;

        json_array_foreach(json_object_get(line, store_table_names[table]), i, object)
        {
            struct row row = {0};
            const char *key;

            row_load(&row, object);
            key = row_get(&row, store_table_keys[table]);
            if (key != NULL)
                store_set_row(store, contact, (enum table)table, key, &row);
            row_free(&row);
        }
    }
    return true;
}

bool
store_load(struct store *store, const char *path)
{
    FILE *file = fopen(path, "r");
    json_error_t error = {.text = "not a state file"};
    json_t *line;
    bool is_read = true;
    int byte;

    if (file == NULL) {
        if (errno != ENOENT)
            fprintf(stderr, "acoustic-sandbox: could not read \"%s\": %s\n", path, strerror(errno));
        return errno == ENOENT;
    }
    while (is_read && (byte = fgetc(file)) != EOF) {
        if (byte == '\n')
            continue;
        ungetc(byte, file);
        line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
        is_read = line != NULL && contact_load(store, line);
        json_decref(line);
    }
    fclose(file);
    if (!is_read)
        fprintf(stderr, "acoustic-sandbox: could not read \"%s\": %s\n", path, error.text);
    store->is_dirty = false;
    return is_read;
}
