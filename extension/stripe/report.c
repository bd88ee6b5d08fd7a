/*
 * stripe/report.c: reports what a call has done, as jsonb.
 *
 * {"created": ["customer:cus_1"], "updated": [], ...}: each list is sorted and has no
 * repetitions. A key whose list is empty is left out.
 */
#include "extension/stripe/stripe.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

static const char *const ACTION_NAMES[] = {
    [STRIPE_CREATED] = "created", [STRIPE_UPDATED] = "updated", [STRIPE_NO_CHANGE] = "no_change",
    [STRIPE_DELETED] = "deleted", [STRIPE_SKIPPED] = "skipped",
};

StaticAssertDecl(lengthof(ACTION_NAMES) == STRIPE_ACTIONS, "an action has no name");

void
stripe_report_action(StripeBatch *batch, StripeKind kind, const char *id, StripeAction action)
{
    batch->names[action] =
        lappend(batch->names[action], psprintf("%s:%s", stripe_maps[kind].object, id));
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
    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    push_string(state, WJB_KEY, "code");
    push_string(state, WJB_VALUE, pstrdup(unpack_sql_state(object->problem->sqlstate)));
    push_string(state, WJB_KEY, "message");
    push_string(state, WJB_VALUE, object->problem->message);
    if (object->type != NULL && object->id != NULL) {
        push_string(state, WJB_KEY, "object");
        push_string(state, WJB_VALUE, psprintf("%s:%s", object->type, object->id));
    }
    pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_errors(JsonbParseState **state, const StripeBatch *batch)
{
    ListCell *cell;
    bool is_any = false;

    foreach (cell, batch->objects) {
        StripeObject *object = lfirst(cell);

        if (object->problem == NULL)
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

Jsonb *
stripe_report(const StripeBatch *batch, ArrayType *email_ids, bool with_errors)
{
    JsonbParseState *state = NULL;
    int action;

    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    for (action = 0; action < STRIPE_ACTIONS; action++)
        push_list(&state, ACTION_NAMES[action], batch->names[action]);
    push_list(&state, "email_ids", uuid_strings(email_ids));
    push_list(&state, "fxa_id_conflict", batch->conflicts);
    if (with_errors)
        push_errors(&state, batch);
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
