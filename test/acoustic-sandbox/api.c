/*
 * api.c: the operations of the XML API; see api.h.
 */
#include "test/acoustic-sandbox/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "test/acoustic-sandbox/check.h"
#include "test/acoustic-sandbox/import.h"

enum { MAX_ROWS = 100 };

static const char html_page[] =
    "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\"><html><head><title>503</title></head>"
    "<body>Service Unavailable</body></html>";

/* ---- tokens ----------------------------------------------------------------------- */

static void
token_error(struct api *api, struct answer *answer, const char *error)
{
    api->store.counts.token_refused++;
    answer->status = 400;
    refusal_add(&api->refusals, "token", NULL, NULL, NULL, error);
    evbuffer_add_printf(answer->body, "{\"error\":\"%s\"}", error);
}

static bool
field_is(struct evkeyvalq *fields, const char *name, const char *expected)
{
    const char *value = evhttp_find_header(fields, name);

    return value != NULL && strcmp(value, expected) == 0;
}

void
api_revoke_token(struct api *api)
{
    api->token[0] = '\0';
}

static void
grant_token(struct api *api, struct answer *answer)
{
    time_t now = time(NULL);

    /* A token that is still valid is issued again, with the rest of its lifetime. */
    if (api->token[0] == '\0' || api->token_ends <= now) {
        snprintf(api->token, sizeof(api->token), "a0r%ld-%08lx%08lx", ++api->token_count, lrand48(),
                 lrand48());
        api->token_ends = now + api->settings->token_ttl_s;
    }
    evbuffer_add_printf(answer->body,
                        "{\"access_token\":\"%s\",\"token_type\":\"bearer\","
                        "\"refresh_token\":\"%s\",\"expires_in\":%ld}",
                        api->token, api->settings->refresh_token, (long)(api->token_ends - now));
}

/* True when a rule has made the answer. */
static bool
answer_by_rule(struct api *api, struct answer *answer, const struct fault *fault)
{
    api->store.counts.faults++;
    answer->kind = fault->answer;
    answer->delay_ms += fault->delay_ms;
    answer->work_ms = fault->work_ms;
    answer->bytes = fault->bytes;
    answer->byte_ms = fault->byte_ms;
    answer->status = fault->status;
    switch (fault->answer) {
    case ANSWER_NORMAL: return false;
    case ANSWER_SLOW: return false;
    case ANSWER_FAULT: answer_fault(answer, fault->errorid, fault->class, fault->text); break;
    case ANSWER_HTML:
        answer->content_type = "text/html";
        evbuffer_add(answer->body, html_page, sizeof(html_page) - 1);
        break;
    case ANSWER_BODY:
        answer->content_type = fault->content_type;
        evbuffer_add(answer->body, fault->body, strlen(fault->body));
        break;
    case ANSWER_FAILURE: /* is for rows, not for whole requests */
    case ANSWER_JOB:     /* is for imports at work */
    case ANSWER_EMPTY:
    case ANSWER_CUT:
    case ANSWER_HUGE: break; /* have no body of their own */
    }
    return true;
}

void
api_token(struct api *api, const char *form, struct answer *answer)
{
    const struct settings *settings = api->settings;
    struct evkeyvalq fields;
    struct fault *fault =
        fault_find_for_request(&api->settings->faults, &api->store, "token", TABLE_COUNT, NULL);

    api->store.counts.requests[COUNT_TOKEN]++;
    answer->content_type = "application/json";
    if (fault != NULL && answer_by_rule(api, answer, fault)) {
        refusal_add(&api->refusals, "token", NULL, NULL, NULL, "answer by a rule");
        return;
    }
    if (evhttp_parse_query_str(form, &fields) != 0) {
        token_error(api, answer, "invalid_request");
        return;
    }
    if (!field_is(&fields, "grant_type", "refresh_token"))
        token_error(api, answer, "unsupported_grant_type");
    else if (!field_is(&fields, "client_id", settings->client_id) ||
             !field_is(&fields, "client_secret", settings->client_secret))
        token_error(api, answer, "invalid_client");
    else if (!field_is(&fields, "refresh_token", settings->refresh_token))
        token_error(api, answer, "invalid_grant");
    else
        grant_token(api, answer);
    evhttp_clear_headers(&fields);
}

static bool
is_authorized(struct api *api, const char *authorization)
{
    return authorization != NULL && strncasecmp(authorization, "Bearer ", 7) == 0 &&
           api->token[0] != '\0' && strcmp(authorization + 7, api->token) == 0 &&
           time(NULL) < api->token_ends;
}

/* ---- operations ------------------------------------------------------------------- */

static void
add_recipient(struct api *api, const struct envelope *envelope, struct answer *answer)
{
    const struct row *columns = &envelope->rows[0];
    const char *email_id = row_get(&envelope->sync_fields, "email_id");
    struct problem problem;
    struct contact *contact;

    if (!envelope->has_created_from) {
        answer_fault(answer, "116", "SP.Recipients", "CREATED_FROM is missing");
    } else if (!check_recipient(email_id, columns, &problem)) {
        answer_fault(answer, problem.errorid, "SP.Recipients", problem.text);
    } else {
        contact = store_contact(&api->store, email_id, true);
        if (contact->is_recipient && !envelope->update_if_found) {
            answer_fault(answer, "122", "SP.Recipients", "Recipient already exists.");
            return;
        }
        contact->accepted++;
        store_set_recipient(&api->store, contact, columns, api->settings->empty_is_kept);
        answer_success(answer, "<RecipientId>33535067</RecipientId>"
                               "<ORGANIZATION_ID>322af</ORGANIZATION_ID>");
    }
}

static void
add_failure(struct api *api, const struct envelope *envelope, struct evbuffer *failures,
            const char *type, const char *description, enum table table, const struct row *row)
{
    bool is_delete = strcmp(envelope->operation, "DeleteRelationalTableData") == 0;
    const char *element = is_delete ? "KEY_COLUMN" : "COLUMN";
    const char *names[] = {"email_id", store_table_keys[table]};

    refusal_add(&api->refusals, envelope->operation, store_table_names[table], row,
                store_table_keys[table], description);
    evbuffer_add_printf(failures, "<FAILURE failure_type=\"%s\" description=\"", type);
    answer_add_escaped(failures, description);
    evbuffer_add_printf(failures, "\">");
    for (int i = 0; i < 2; i++) {
        const char *value = row_get(row, names[i]);

        evbuffer_add_printf(failures, "<%s name=\"%s\">", element, names[i]);
        answer_add_escaped(failures, value ? value : "");
        evbuffer_add_printf(failures, "</%s>", element);
    }
    evbuffer_add_printf(failures, "</FAILURE>\n");
}

/* Stores or removes one row; appends a FAILURE when it cannot. */
static void
relational_row(struct api *api, const struct envelope *envelope, enum table table,
               const struct row *row, struct evbuffer *failures)
{
    bool is_delete = strcmp(envelope->operation, "DeleteRelationalTableData") == 0;
    const char *email_id = row_get(row, "email_id");
    const char *key = row_get(row, store_table_keys[table]);
    struct problem problem;
    struct contact *contact;
    struct fault *fault =
        fault_find_for_row(&api->settings->faults, &api->store, envelope->operation, table, row);

    if (fault != NULL) {
        api->store.counts.faults++;
        add_failure(api, envelope, failures, fault->failure_type, fault->text, table, row);
    } else if (!check_keys(table, row, &problem) ||
               (!is_delete && !check_timestamps(row, &problem))) {
        add_failure(api, envelope, failures, "permanent", problem.text, table, row);
    } else if (is_delete) {
        contact = store_contact(&api->store, email_id, false);
        if (contact == NULL || !store_remove_row(&api->store, contact, table, key))
            add_failure(api, envelope, failures, "permanent", "Row Not Found", table, row);
    } else {
        contact = store_contact(&api->store, email_id, true);
        api->store.counts.rows_before_recipient += !contact->is_recipient;
        store_set_row(&api->store, contact, table, key, row);
    }
}

static void
relational_rows(struct api *api, const struct envelope *envelope, enum table table,
                struct answer *answer)
{
    struct evbuffer *failures = evbuffer_new();

    api->store.counts.rows_received[table] += (long)envelope->row_count;
    for (size_t i = 0; i < envelope->row_count; i++)
        relational_row(api, envelope, table, &envelope->rows[i], failures);
    if (evbuffer_get_length(failures) == 0) {
        answer_success(answer, "");
    } else {
        evbuffer_add_printf(answer->body, "<Envelope><Body><RESULT><SUCCESS>true</SUCCESS>"
                                          "<FAILURES>\n");
        evbuffer_add_buffer(answer->body, failures);
        evbuffer_add_printf(answer->body, "</FAILURES></RESULT></Body></Envelope>\n");
    }
    evbuffer_free(failures);
}

static void
remove_recipient(struct api *api, const struct envelope *envelope, struct answer *answer)
{
    const char *email_id = row_get(&envelope->rows[0], "email_id");

    if (email_id != NULL && store_remove_recipient(&api->store, email_id))
        answer_success(answer, "");
    else
        answer_fault(answer, "128", "SP.API",
                     "Recipient not found or is not a member of the list.");
}

static void
run_operation(struct api *api, const struct envelope *envelope, enum table table,
              struct answer *answer)
{
    const char *operation = envelope->operation;
    bool is_list = !strcmp(operation, "AddRecipient") || !strcmp(operation, "RemoveRecipient");
    bool is_relational = !strcmp(operation, "InsertUpdateRelationalTable") ||
                         !strcmp(operation, "DeleteRelationalTableData");
    char text[80];

    if (import_is_operation(operation)) {
        import_run(&api->jobs, envelope, table, answer);
    } else if (!is_list && !is_relational) {
        answer_fault(answer, "51", "SP.API", "Invalid XML Request");
    } else if (is_list ? table != TABLE_MAIN : table == TABLE_MAIN || table == TABLE_COUNT) {
        snprintf(text, sizeof(text), "List with id %s Does Not Exist.", envelope->table_id);
        answer_fault(answer, "108", "SP.ListManager", text);
    } else if (is_relational && envelope->row_count > MAX_ROWS) {
        answer_fault(answer, "51", "SP.API", "Invalid XML Request: more than 100 rows");
    } else if (is_relational) {
        relational_rows(api, envelope, table, answer);
    } else if (!strcmp(operation, "AddRecipient")) {
        add_recipient(api, envelope, answer);
    } else {
        remove_recipient(api, envelope, answer);
    }
}

/* Counted by the operation that was requested, whatever its result. */
static void
count_request(struct api *api, const struct envelope *envelope, enum table table)
{
    struct counts *counts = &api->store.counts;
    const char *email_id = row_get(&envelope->sync_fields, "email_id");

    if (strcmp(envelope->operation, "AddRecipient") == 0) {
        counts->requests[COUNT_TABLES + TABLE_MAIN]++;
        if (email_id != NULL)
            store_contact(&api->store, email_id, true)->sent++;
    } else if (strcmp(envelope->operation, "InsertUpdateRelationalTable") == 0 &&
               table > TABLE_MAIN && table < TABLE_COUNT) {
        counts->requests[COUNT_TABLES + table]++;
    } else if (import_is_operation(envelope->operation)) {
        counts->status_calls += !strcmp(envelope->operation, "GetJobStatus");
        counts->import_calls += strcmp(envelope->operation, "GetJobStatus") != 0;
    } else {
        counts->requests[COUNT_OTHER]++;
    }
}

static void
note_envelope(struct ledger_entry *entry, const struct envelope *envelope, enum table table)
{
    const char *email_id = envelope->row_count > 0 ? row_get(&envelope->rows[0], "email_id") : NULL;

    snprintf(entry->operation, sizeof(entry->operation), "%s", envelope->operation);
    snprintf(entry->table, sizeof(entry->table), "%s",
             table < TABLE_COUNT ? store_table_names[table] : "");
    snprintf(entry->email_id, sizeof(entry->email_id), "%s", email_id ? email_id : "");
    entry->rows = (int)envelope->row_count;
}

static void
answer_envelope(struct api *api, const struct envelope *envelope, enum table table,
                struct ledger_entry *entry, struct answer *answer)
{
    struct fault *fault;

    if (!envelope->is_valid) {
        api->store.counts.requests[COUNT_OTHER]++;
        answer_fault(answer, "51", "SP.API", "Invalid XML Request");
        return;
    }
    count_request(api, envelope, table);
    fault = fault_find_for_request(&api->settings->faults, &api->store, envelope->operation, table,
                                   envelope);
    if (fault != NULL)
        snprintf(entry->answer, sizeof(entry->answer), "%s", fault_answer_name(fault->answer));
    if (fault != NULL && answer_by_rule(api, answer, fault)) {
        struct answer unseen = {.body = evbuffer_new()};

        if (!*answer->refusal)
            snprintf(answer->refusal, sizeof(answer->refusal), "answer by a rule: %s",
                     fault_answer_name(fault->answer));
        if (fault->apply)
            run_operation(api, envelope, table, &unseen);
        evbuffer_free(unseen.body);
        return;
    }
    run_operation(api, envelope, table, answer);
}

void
api_xml(struct api *api, const char *authorization, const char *xml, size_t len,
        struct answer *answer)
{
    struct counts *counts = &api->store.counts;
    struct ledger_entry *entry = ledger_add(&api->ledger);
    enum table table = TABLE_COUNT;
    struct envelope envelope = {0};

    answer->content_type = "text/xml;charset=UTF-8";
    if (++api->in_flight > counts->max_in_flight_seen)
        counts->max_in_flight_seen = api->in_flight;
    entry->in_flight = (int)api->in_flight;
    if (!is_authorized(api, authorization)) {
        snprintf(entry->answer, sizeof(entry->answer), "token");
        answer->status = (int)api->settings->auth_status;
        answer_fault(answer, "145", "SP.Admin", "Session has expired or is invalid");
    } else if (api->in_flight > api->settings->max_in_flight) {
        counts->refused_concurrent++;
        snprintf(entry->answer, sizeof(entry->answer), "refused");
        answer_fault(answer, "", "SP.API",
                     "You have exceeded the max number of concurrent authenticated requests.");
    } else {
        envelope_read(&envelope, xml, len);
        table = import_is_operation(envelope.operation)
                    ? import_find_table(&api->jobs, &envelope)
                    : settings_find_table(api->settings, envelope.table_id);
        note_envelope(entry, &envelope, table);
        answer_envelope(api, &envelope, table, entry, answer);
    }
    if (*answer->refusal)
        refusal_add(&api->refusals, entry->operation, entry->table,
                    envelope.row_count > 0 ? envelope.rows : NULL,
                    table < TABLE_COUNT ? store_table_keys[table] : NULL, answer->refusal);
    envelope_free(&envelope);
}

void
api_done(struct api *api)
{
    api->in_flight--;
}
