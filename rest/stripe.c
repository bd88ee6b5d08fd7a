/* stripe.c: answers about Stripe objects; see stripe.h. */
#include "rest/stripe.h"

#include <jansson.h>
#include <string.h>

/* Notes the report of ctms.upsert_stripe() for the log: what was done, and a conflict. */
static void
note_report(exchange *ex, const char *text)
{
    static const char *const actions[] = {"created", "updated", "no_change", "deleted", "skipped"};
    json_t *report = json_loads(text, 0, NULL);
    json_t *done = json_object();

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        json_t *list = json_object_get(report, actions[i]);

        if (json_array_size(list) > 0)
            json_object_set(done, actions[i], list);
    }
    exchange_note_report(ex, FIELD_INGEST_ACTIONS, done);
    exchange_note_list(ex, FIELD_FXA_ID_CONFLICT, json_object_get(report, "fxa_id_conflict"));
    json_decref(done);
    json_decref(report);
}

void
stripe_answer_stored(exchange *ex, const PGresult *result)
{
    if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
        note_report(ex, PQgetvalue(result, 0, 0));
    exchange_answer_json(ex, 200, "{\"status\":\"OK\"}");
}
