/* stripe.c: answers about Stripe objects; see stripe.h. */
#include "rest/stripe.h"

#include <jansson.h>
#include <stdlib.h>

/* Notes what was done for the log, and a conflict. */
static void
note_report(exchange *ex, const json_t *report)
{
    static const char *const shown[] = {"created", "updated", "no_change",
                                        "deleted", "skipped", "skip_reasons"};
    json_t *done = json_object();

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        json_t *value = json_object_get(report, shown[i]);

        if (value != NULL)
            json_object_set(done, shown[i], value);
    }
    exchange_note_report(ex, FIELD_INGEST_ACTIONS, done);
    exchange_note_report(ex, FIELD_INGEST_WARNINGS, json_object_get(report, "warnings"));
    exchange_note_list(ex, FIELD_FXA_ID_CONFLICT, json_object_get(report, "fxa_id_conflict"));
    json_decref(done);
}

void
stripe_answer_stored(exchange *ex, const PGresult *result)
{
    static const char *const told[] = {"count", "skipped", "skip_reasons", "warnings"};
    json_t *report = PQntuples(result) == 1 ? json_loads(PQgetvalue(result, 0, 0), 0, NULL) : NULL;
    json_t *answer = json_pack("{s:s}", "status", "OK");
    char *text;

    note_report(ex, report);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        json_t *value = json_object_get(report, told[i]);

        if (value != NULL)
            json_object_set(answer, told[i], value);
    }
    text = json_dumps(answer, JSON_COMPACT);
    exchange_answer_json(ex, 200, text);
    free(text);
    json_decref(answer);
    json_decref(report);
}
