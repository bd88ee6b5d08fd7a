/*
 * stripe/report.c: reports what a call has done, as jsonb.
 *
 * {"created": ["customer:cus_1"], "updated": [], ...}: each list is sorted and has no
 * repetitions. A key whose list is empty is left out. skip_reasons has the names of "skipped"
 * again, by reason.
 */
#include "extension/stripe/stripe.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

static const char *const ACTION_NAMES[] = {
    [STRIPE_CREATED] = "created", [STRIPE_UPDATED] = "updated", [STRIPE_NO_CHANGE] = "no_change",
    [STRIPE_DELETED] = "deleted", [STRIPE_SKIPPED] = "skipped",
};

StaticAssertDecl(lengthof(ACTION_NAMES) == STRIPE_ACTIONS, "an action has no name");

static const char *const SKIP_NAMES[] = {
    [STRIPE_SKIP_UNUSED_TYPE] = "unused_type", [STRIPE_SKIP_PREVIEW] = "preview",
    [STRIPE_SKIP_DELETION] = "deletion",       [STRIPE_SKIP_OUTDATED] = "outdated",
    [STRIPE_SKIP_NOT_STORED] = "not_stored",
};

StaticAssertDecl(lengthof(SKIP_NAMES) == STRIPE_SKIPS, "a reason has no name");

void
stripe_report_action(StripeReport *report, StripeKind kind, const char *id, StripeAction action)
{
    report->names[action] =
        lappend(report->names[action], psprintf("%s:%s", stripe_maps[kind].object, id));
}

void
stripe_report_skip(StripeReport *report, StripeSkip skip, const char *type, const char *id)
{
    char *name = psprintf("%s:%s", type, id);

    report->names[STRIPE_SKIPPED] = lappend(report->names[STRIPE_SKIPPED], name);
    report->skipped[skip] = lappend(report->skipped[skip], name);
}

char *
stripe_problem_message(const StripeObject *object)
{
    const char *message = object->problem->message;

    return object->path[0] == '\0' ? pstrdup(message) : psprintf("%s: %s", object->path, message);
}

/* The string must stay valid until the report is made. */
static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
    JsonbValue value = {.type = jbvString};

    value.val.string.val = (char *)string;
    value.val.string.len = strlen(string);
    pushJsonbValue(state, token, &value);
}

static int
compare_strings(const ListCell *left, const ListCell *right)
{
    return strcmp(lfirst(left), lfirst(right));
}

static void
push_list(JsonbParseState **state, const char *key, List *strings)
{
    const char *previous = NULL;
    List *sorted;
    ListCell *cell;

    if (strings == NIL)
        return;
    sorted = list_copy(strings);
    list_sort(sorted, compare_strings);
    push_string(state, WJB_KEY, key);
    pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
    foreach (cell, sorted) {
        const char *string = lfirst(cell);

        if (previous == NULL || strcmp(previous, string) != 0)
            push_string(state, WJB_ELEM, string);
        previous = string;
    }
    pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static List *
uuid_strings(ArrayType *uuids)
{
    List *strings = NIL;
    Datum *elements;
    int count;
    int i;

    if (uuids == NULL)
        return NIL;
    deconstruct_array(uuids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, NULL, &count);
    for (i = 0; i < count; i++)
        strings = lappend(strings, DatumGetCString(DirectFunctionCall1(uuid_out, elements[i])));
    return strings;
}

static void
push_error(JsonbParseState **state, const StripeObject *object)
{
    JsonbValue element = {.type = jbvNumeric};

    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    push_string(state, WJB_KEY, "code");
    push_string(state, WJB_VALUE, pstrdup(unpack_sql_state(object->problem->sqlstate)));
    push_string(state, WJB_KEY, "message");
    push_string(state, WJB_VALUE, stripe_problem_message(object));
    if (object->type != NULL && object->id != NULL) {
        push_string(state, WJB_KEY, "object");
        push_string(state, WJB_VALUE, psprintf("%s:%s", object->type, object->id));
    }
    element.val.numeric = int64_to_numeric(object->element);
    push_string(state, WJB_KEY, "element");
    pushJsonbValue(state, WJB_VALUE, &element);
    pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_errors(JsonbParseState **state, const List *objects)
{
    ListCell *cell;
    bool is_any = false;

    foreach (cell, objects) {
        StripeObject *object = lfirst(cell);

        if (object->problem == NULL || object->is_superseded)
            continue;
        if (!is_any) {
            push_string(state, WJB_KEY, "errors");
            pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
            is_any = true;
        }
        push_error(state, object);
    }
    if (is_any)
        pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_skip_reasons(JsonbParseState **state, const StripeReport *report)
{
    int skip;

    if (report->names[STRIPE_SKIPPED] == NIL)
        return;
    push_string(state, WJB_KEY, "skip_reasons");
    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    for (skip = 0; skip < STRIPE_SKIPS; skip++)
        push_list(state, SKIP_NAMES[skip], report->skipped[skip]);
    pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_count(JsonbParseState **state, const StripeReport *report)
{
    JsonbValue count = {.type = jbvNumeric};

    if (!report->is_counted)
        return;
    push_string(state, WJB_KEY, "count");
    count.val.numeric = int64_to_numeric(report->count);
    pushJsonbValue(state, WJB_VALUE, &count);
}

static void
push_report(JsonbParseState **state, const StripeReport *report)
{
    int action;

    for (action = 0; action < STRIPE_ACTIONS; action++)
        push_list(state, ACTION_NAMES[action], report->names[action]);
    push_skip_reasons(state, report);
    push_list(state, "warnings", report->warnings);
    push_count(state, report);
    push_list(state, "email_ids", uuid_strings(report->email_ids));
    push_list(state, "fxa_id_conflict", report->conflicts);
}

Jsonb *
stripe_report(const StripeReport *report, const List *objects)
{
    JsonbParseState *state = NULL;

    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    push_report(&state, report);
    push_errors(&state, objects);
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
stripe_report_list(const List *objects)
{
    JsonbParseState *state = NULL;
    JsonbValue nothing = {.type = jbvNull};
    ListCell *cell;

    pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
    foreach (cell, objects) {
        StripeObject *object = lfirst(cell);

        if (!object->is_stored) {
            pushJsonbValue(&state, WJB_ELEM, &nothing);
            continue;
        }
        pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
        push_report(&state, object->report);
        pushJsonbValue(&state, WJB_END_OBJECT, NULL);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}
