/* page.c: shows the content of the sandbox as a page for people. Every value is escaped. */
#include "test/acoustic-sandbox/server.h"

#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

enum { PAGE_CONTACTS = 200 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<title>Acoustic sandbox</title>\n<style>\n"
    "body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 75em }\n"
    "table { border-collapse: collapse; margin: .5em 0 1em }\n"
    "th, td { border: 1px solid #ccc; padding: .2em .6em; text-align: left; vertical-align: top }\n"
    "th { background: #f2f2f2; font-weight: 600 }\n"
    "section { border-top: 2px solid #444; margin-top: 1.5em }\n"
    "h2 { font-size: 1.1em } .empty { color: #767676 }\n"
    "</style></head><body>\n<h1>Acoustic sandbox</h1>\n";

static void
add_text(struct evbuffer *body, const char *text)
{
    char *escaped = evhttp_htmlescape(text);

    if (escaped != NULL)
        evbuffer_add(body, escaped, strlen(escaped));
    free(escaped);
}

/* Writes the columns that have a value, each as name and value. */
static void
add_main(struct evbuffer *body, const struct row *row)
{
    struct row_cursor cursor = {0};

    evbuffer_add_printf(body, "<table><tr><th>column<th>value</tr>\n");
    while (row_next(row, &cursor)) {
        if (*cursor.value == '\0')
            continue;
        evbuffer_add_printf(body, "<tr><td>");
        add_text(body, cursor.name);
        evbuffer_add_printf(body, "<td>");
        add_text(body, cursor.value);
        evbuffer_add_printf(body, "</tr>\n");
    }
    evbuffer_add_printf(body, "</table>\n");
}

static void
add_cells(struct evbuffer *body, const struct row *row, bool names)
{
    struct row_cursor cursor = {0};

    evbuffer_add_printf(body, "<tr>");
    while (row_next(row, &cursor)) {
        if (strcmp(cursor.name, "email_id") == 0)
            continue;
        evbuffer_add_printf(body, names ? "<th>" : "<td>");
        add_text(body, names ? cursor.name : cursor.value);
    }
    evbuffer_add_printf(body, "</tr>\n");
}

static void
add_relational(struct evbuffer *body, const struct contact *contact, enum table table)
{
    bool is_first = true;

    for (const struct relational_row *row = contact->rows; row != NULL; row = row->next) {
        if (row->table != table)
            continue;
        if (is_first) {
            evbuffer_add_printf(body, "<h3>%s</h3><table>\n", store_table_names[table]);
            add_cells(body, &row->row, true);
        }
        is_first = false;
        add_cells(body, &row->row, false);
    }
    if (!is_first)
        evbuffer_add_printf(body, "</table>\n");
}

static void
add_contact(struct evbuffer *body, const struct contact *contact)
{
    const char *address = row_get(&contact->main, "email");

    evbuffer_add_printf(body, "<section><h2>");
    add_text(body, address ? address : contact->email_id);
    evbuffer_add_printf(body, "</h2>\n<p>sent %ld time%s</p>\n", contact->sent,
                        contact->sent == 1 ? "" : "s");
    add_main(body, &contact->main);
    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++)
        add_relational(body, contact, (enum table)table);
    evbuffer_add_printf(body, "</section>\n");
}

void
page_write(struct evbuffer *body, const struct api *api)
{
    const struct store *store = &api->store;
    int shown = 0;

    evbuffer_add(body, head, sizeof(head) - 1);
    evbuffer_add_printf(body,
                        "<table><tr><th>recipients<th>newsletter rows<th>waitlist rows"
                        "<th>product rows<th>AddRecipient calls<th>token calls</tr>\n"
                        "<tr><td>%zu<td>%zu<td>%zu<td>%zu<td>%ld<td>%ld</tr></table>\n",
                        store->recipient_count, store->row_counts[TABLE_NEWSLETTER],
                        store->row_counts[TABLE_WAITLIST], store->row_counts[TABLE_PRODUCT],
                        store->counts.requests[COUNT_TABLES + TABLE_MAIN],
                        store->counts.requests[COUNT_TOKEN]);
    for (size_t i = 0; i < store->bucket_count && shown < PAGE_CONTACTS; i++) {
        for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next) {
            if (c->is_recipient && shown++ < PAGE_CONTACTS)
                add_contact(body, c);
        }
    }
    if (shown == 0)
        evbuffer_add_printf(body, "<p class=\"empty\">Nothing has arrived yet.</p>\n");
    if (store->recipient_count > PAGE_CONTACTS)
        evbuffer_add_printf(body,
                            "<p>The first %d recipients; the rest is at "
                            "/_sandbox/recipients.</p>\n",
                            PAGE_CONTACTS);
    evbuffer_add_printf(body, "</body></html>\n");
}
