/*
 * page.c: shows the content of the sandbox, imports, and what it refused, as a page for people.
 * Every value is escaped.
 */
#include "test/acoustic-sandbox/server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/http.h>

enum { PAGE_CONTACTS = 50, PAGE_REFUSALS = 100, PAGE_JOBS = 20 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<title>Acoustic sandbox</title>\n<style>\n"
    "body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 75em }\n"
    "table { border-collapse: collapse; margin: .5em 0 1em }\n"
    "th, td { border: 1px solid #ccc; padding: .2em .6em; text-align: left; vertical-align: top }\n"
    "th { background: #f2f2f2; font-weight: 600 }\n"
    "section { border-top: 2px solid #444; margin-top: 1.5em }\n"
    "h2 { font-size: 1.1em } .empty { color: #767676 }\n"
    "input, button { font: inherit } input { width: 28em }\n"
    "@media (max-width: 40em) {\n"
    "body { margin: 1em } input { width: 100%; box-sizing: border-box }\n"
    "table { display: block; overflow-x: auto }\n"
    "}\n"
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
    evbuffer_add_printf(body, "</h2>\n<p>sent %u time%s", contact->sent,
                        contact->sent == 1 ? "" : "s");
    if (contact->imported > 0)
        evbuffer_add_printf(body, ", imported %u time%s", contact->imported,
                            contact->imported == 1 ? "" : "s");
    evbuffer_add_printf(body, "</p>\n");
    add_main(body, &contact->main);
    for (int table = TABLE_NEWSLETTER; table < TABLE_COUNT; table++)
        add_relational(body, contact, (enum table)table);
    evbuffer_add_printf(body, "</section>\n");
}

/* ---- what is wanted --------------------------------------------------------------- */

static bool
has(const char *text, const char *wanted)
{
    return text != NULL && strcasestr(text, wanted) != NULL;
}

static bool
is_wanted(const struct contact *contact, const char *wanted)
{
    if (*wanted == '\0' || has(contact->email_id, wanted) ||
        has(row_get(&contact->main, "email"), wanted))
        return true;
    for (const struct relational_row *row = contact->rows; row != NULL; row = row->next) {
        if (has(row->key, wanted))
            return true;
    }
    return false;
}

static void
add_search(struct evbuffer *body, const char *wanted)
{
    evbuffer_add_printf(body, "<form action=\"/\"><input name=\"q\" type=\"search\" "
                              "placeholder=\"address, email_id, newsletter, waitlist or product\" "
                              "value=\"");
    add_text(body, wanted);
    evbuffer_add_printf(body, "\"> <button>Search</button></form>\n");
}

static void
add_link(struct evbuffer *body, const char *wanted, size_t page, const char *name)
{
    char *encoded = evhttp_uriencode(wanted, -1, 1);

    evbuffer_add_printf(body, " <a href=\"/?q=");
    add_text(body, encoded ? encoded : "");
    evbuffer_add_printf(body, "&amp;page=%zu\">%s</a>", page, name);
    free(encoded);
}

/* ---- the parts -------------------------------------------------------------------- */

static void
add_counts(struct evbuffer *body, const struct api *api)
{
    const struct store *store = &api->store;

    evbuffer_add_printf(body,
                        "<table id=\"counts\"><tr><th>recipients<th>newsletter rows"
                        "<th>waitlist rows<th>product rows<th>AddRecipient calls<th>token calls"
                        "<th>in flight<th>refused</tr>\n"
                        "<tr><td>%zu<td>%zu<td>%zu<td>%zu<td>%ld<td>%ld<td>%ld<td>%ld</tr>"
                        "</table>\n",
                        store->recipient_count, store->row_counts[TABLE_NEWSLETTER],
                        store->row_counts[TABLE_WAITLIST], store->row_counts[TABLE_PRODUCT],
                        store->counts.requests[COUNT_TABLES + TABLE_MAIN],
                        store->counts.requests[COUNT_TOKEN], api->in_flight, api->refusals.count);
}

static void
add_time(struct evbuffer *body, double time_s)
{
    time_t time = (time_t)time_s;
    struct tm parts;
    char text[32];

    gmtime_r(&time, &parts);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
    evbuffer_add_printf(body, "<td>%s", text);
}

static void
add_job(struct evbuffer *body, const struct job *job)
{
    const struct job_counts *counts = &job->counts;

    evbuffer_add_printf(body, "<tr>");
    add_time(body, job->created_s);
    evbuffer_add_printf(body, "<td>%ld<td>%s<td>%s<td>", job->id, job->operation,
                        job->table < TABLE_COUNT ? store_table_names[job->table] : "");
    add_text(body, job->source_file);
    evbuffer_add_printf(body, "<td>%s<td>%ld<td>%ld<td>%ld<td>%ld<td>",
                        job_status_names[job->status], counts->total, counts->added,
                        counts->updated,
                        counts->bad_addresses + counts->bad_records + counts->not_allowed);
    add_text(body, job->description);
    evbuffer_add_printf(body, "</tr>\n");
}

static void
add_jobs(struct evbuffer *body, const struct jobs *jobs)
{
    const struct job *newest[PAGE_JOBS];
    long count = 0;

    if (jobs->count == 0)
        return;
    for (const struct job *job = jobs->first; job != NULL; job = job->next)
        newest[count++ % PAGE_JOBS] = job;
    evbuffer_add_printf(body, "<h2>Imports</h2>\n<table id=\"jobs\"><tr><th>time (UTC)<th>job"
                              "<th>operation<th>table<th>file<th>status<th>rows<th>added"
                              "<th>updated<th>refused<th>description</tr>\n");
    for (long i = count - 1; i >= 0 && i >= count - PAGE_JOBS; i--)
        add_job(body, newest[i % PAGE_JOBS]);
    evbuffer_add_printf(body, "</table>\n");
}

static void
add_refusal(struct evbuffer *body, const struct refusal *refusal)
{
    const char *const cells[] = {refusal->operation, refusal->table, refusal->email_id,
                                 refusal->row, refusal->reason};

    evbuffer_add_printf(body, "<tr>");
    add_time(body, refusal->time_s);
    for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++) {
        evbuffer_add_printf(body, "<td>");
        add_text(body, cells[i]);
    }
    evbuffer_add_printf(body, "</tr>\n");
}

static void
add_refusals(struct evbuffer *body, const struct refusal_log *log, const char *wanted)
{
    const struct refusal *refusal;
    int shown = 0;

    evbuffer_add_printf(body, "<h2>Refused</h2>\n");
    for (long back = 0; shown < PAGE_REFUSALS && (refusal = refusal_get(log, back)); back++) {
        if (!has(refusal->email_id, wanted) && !has(refusal->row, wanted))
            continue;
        if (shown++ == 0)
            evbuffer_add_printf(body, "<table id=\"refused\"><tr><th>time (UTC)<th>operation"
                                      "<th>table<th>email_id<th>row<th>reason</tr>\n");
        add_refusal(body, refusal);
    }
    if (shown > 0)
        evbuffer_add_printf(body,
                            "</table>\n<p class=\"empty\">At most %d of the last %d, the newest "
                            "first.</p>\n",
                            PAGE_REFUSALS, REFUSAL_RING);
    else
        evbuffer_add_printf(body, "<p class=\"empty\">%s</p>\n",
                            log->count > 0 ? "None has this text." : "Nothing.");
}

/* Shows the page's part of the recipients; returns how many are wanted. */
static size_t
add_contacts(struct evbuffer *body, const struct store *store, const char *wanted, size_t page)
{
    size_t found = 0;

    for (size_t i = 0; i < store->bucket_count; i++) {
        for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next) {
            if (c->is_recipient && is_wanted(c, wanted) && found++ / PAGE_CONTACTS == page - 1)
                add_contact(body, c);
        }
    }
    return found;
}

void
page_write(struct evbuffer *body, const struct api *api, const char *wanted, size_t page)
{
    struct evbuffer *contacts = evbuffer_new();
    size_t found;
    size_t pages;

    page = page == 0 ? 1 : page;
    found = add_contacts(contacts, &api->store, wanted, page);
    pages = (found + PAGE_CONTACTS - 1) / PAGE_CONTACTS;
    evbuffer_add(body, head, sizeof(head) - 1);
    add_counts(body, api);
    add_search(body, wanted);
    add_jobs(body, &api->jobs);
    add_refusals(body, &api->refusals, wanted);
    evbuffer_add_printf(body, "<h2>Recipients</h2>\n<p id=\"found\">%zu found", found);
    if (pages > 1)
        evbuffer_add_printf(body, ", page %zu of %zu", page, pages);
    if (page > 1)
        add_link(body, wanted, page <= pages ? page - 1 : 1, "previous");
    if (page < pages)
        add_link(body, wanted, page + 1, "next");
    evbuffer_add_printf(body, "</p>\n");
    if (found == 0)
        evbuffer_add_printf(body, "<p class=\"empty\">%s</p>\n",
                            api->store.recipient_count == 0 ? "Nothing has arrived yet."
                                                            : "None has this text.");
    evbuffer_add_buffer(body, contacts);
    evbuffer_free(contacts);
    evbuffer_add_printf(body, "</body></html>\n");
}
