/* contact.c: makes contacts from rows of the database, and notes how they failed; see contact.h. */
#include "agent/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acoustic/redact.h"
#include "acoustic/xml.h"
#include "agent/fields.h"
#include "common/utf8.h"

contact *
contact_new(const char *email_id, const char *generation, int retry, const char *state,
            queue_lane lane, double lease_ends_s)
{
    contact *c = xcalloc(1, sizeof(*c));

    snprintf(c->email_id, sizeof(c->email_id), "%s", email_id);
    snprintf(c->generation, sizeof(c->generation), "%s", generation);
    snprintf(c->state, sizeof(c->state), "%s", state);
    c->is_deletion = strcmp(state, "deleted") == 0;
    c->lane = lane;
    c->retry = retry;
    c->lease_ends_s = lease_ends_s;
    return c;
}

void
contact_free(contact *c)
{
    for (int i = 0; i < c->row_count; i++) {
        buf_free(&c->rows[i]->columns);
        free(c->rows[i]);
    }
    free(c->rows);
    buf_free(&c->columns);
    buf_free(&c->newsletters);
    buf_free(&c->hashes);
    buf_free(&c->personal);
    free(c->domain);
    free(c->trace);
    free(c);
}

void
contact_free_list(struct contact_list *list)
{
    contact *c;

    while ((c = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, c, link);
        contact_free(c);
    }
}

/* ---- rows ------------------------------------------------------------------------- */

static bool
is_personal(const char *name)
{
    static const char *const names[] = {
        "email",           "first_name",         "last_name",   "basket_token",
        "sfdc_id",         "unsubscribe_reason", "fxa_id",      "fxa_primary_email",
        "amo_add_on_ids",  "amo_display_name",   "amo_user_id", "amo_username",
        "amo_profile_url", "amo_location",       "sumo_user",   "sumo_username"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return strstr(name, "unsub_reason") != NULL;
}

static void
note_address(contact *c, const char *address)
{
    const char *at = strrchr(address, '@');

    if (c->domain != NULL || c->trace != NULL)
        return;
    if (at != NULL)
        c->domain = xstrdup(at + 1);
    if (strstr(address, "+trace_me_mozilla_") || strstr(address, "+trace-me-mozilla-"))
        c->trace = xstrdup(address);
}

/* Notes what the log needs from a column, and which values must be removed from errors. */
static void
note_column(contact *c, acoustic_table table, const char *name, const char *value)
{
    if (*value == '\0')
        return;
    if (is_personal(name))
        buf_append(&c->personal, value, strlen(value) + 1);
    if (table != ACOUSTIC_MAIN)
        return;
    if (strcmp(name, "email") == 0)
        note_address(c, value);
    else if (strcmp(name, "fxa_created_date") == 0) /* a timestamp is MM/DD/YYYY ... */
        c->fxa_created = value[0] && value[1] && value[2] == '/' ? "success" : "skipped";
}

static buf *
add_row(contact *c, acoustic_table table, bool is_deletion)
{
    contact_row *row = xcalloc(1, sizeof(*row));

    /* The capacity grows in powers of two. */
    if ((c->row_count & (c->row_count - 1)) == 0)
        c->rows =
            xrealloc(c->rows, sizeof(*c->rows) * (size_t)(c->row_count ? c->row_count * 2 : 1));
    c->rows[c->row_count++] = row;
    c->rows_left++;
    c->row_counts[table] += !is_deletion;
    row->contact = c;
    row->table = table;
    row->is_deletion = is_deletion;
    return &row->columns;
}

static void
take_hashes(contact *c, const char *json, size_t length, bool is_unchanged)
{
    buf_reset(&c->hashes);
    buf_append(&c->hashes, json, length);
    c->is_unchanged = is_unchanged;
}

bool
contact_take_row(contact *c, const char *kind, const char *json, size_t length)
{
    static const char deletion[] = "delete_";
    bool is_deletion = strncmp(kind, deletion, sizeof(deletion) - 1) == 0;
    bool is_unchanged = strcmp(kind, "unchanged") == 0;
    acoustic_table table;
    buf *columns;
    fields f;

    if (is_unchanged || strcmp(kind, "hashes") == 0) {
        take_hashes(c, json, length, is_unchanged);
        return true;
    }
    if (!acoustic_table_find(is_deletion ? kind + sizeof(deletion) - 1 : kind, &table) ||
        (is_deletion && table == ACOUSTIC_MAIN))
        return false;
    columns = table == ACOUSTIC_MAIN ? &c->columns : add_row(c, table, is_deletion);
    buf_reset(columns);
    buf_reserve(columns, 2 * length);
    fields_begin(&f, json, length);
    while (fields_next(&f)) {
        const char *name = buf_text(&f.name), *value = buf_text(&f.value);

        if (table == ACOUSTIC_MAIN)
            acoustic_xml_append_main_column(columns, name, value);
        else if (is_deletion)
            acoustic_xml_append_key_column(columns, name, value);
        else
            acoustic_xml_append_row_column(columns, name, value);
        note_column(c, table, name, value);
        if (table == ACOUSTIC_NEWSLETTER && !is_deletion && strcmp(name, "newsletter_name") == 0)
            buf_append(&c->newsletters, value, strlen(value) + 1);
    }
    return fields_end(&f);
}

/* ---- failures --------------------------------------------------------------------- */

void
contact_redact(const contact *c, char *text)
{
    const char *personal = c->personal.data;
    size_t at = 0;

    acoustic_redact_addresses(text);
    while (at < c->personal.length) {
        acoustic_redact_value(text, personal + at);
        at += strlen(personal + at) + 1;
    }
}

void
contact_fail(contact *c, failure_class class, const char *what, const char *text)
{
    char said[ERROR_SIZE / 2] = "";

    if (c->has_failed)
        return;
    c->has_failed = true;
    c->class = class;
    if (text != NULL) {
        snprintf(said, sizeof(said), "%s", text);
        said[utf8_valid_prefix(said, strlen(said))] = '\0';
        contact_redact(c, said);
    }
    snprintf(c->error, sizeof(c->error), "%s%s%s", what, *said ? ": " : "", said);
}
