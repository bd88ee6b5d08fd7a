/*
 * target_contact.c: bodies of contacts.
 *
 * The input is {"method": "POST" or "PATCH", "body"}. If the reader of bodies accepts a body, the
 * JSON Schema that is published for the method must accept it too. If the numbers of the body are
 * replaced by texts, which the reader accepts as well, the two must give the same verdict. Names
 * that are given twice are an exception, because a schema cannot detect them.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/contact/body.h"
#include "extension/contact/body_value.h"
#include "extension/contact/schema.h"
#include "extension/json/value.h"
#include "extension/json_schema/json_schema.h"

#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* ---- what the schemas say ------------------------------------------------------- */

static JsonSchemaProgram *
compile(const char *name)
{
    JsonSchemaOptions options = {.loader = NULL};
    StringInfoData text;
    Datum schema;

    initStringInfo(&text);
    appendStringInfo(&text,
                     "{\"$ref\":\"#/components/schemas/%s\",\"components\":{\"schemas\":", name);
    contact_schema_write(&text);
    appendStringInfoString(&text, "}}");
    schema = DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
    return json_schema_compile(DatumGetJsonbP(schema), &options, TopMemoryContext, NULL);
}

static bool
is_valid(ContactMethod method, const Jsonb *body)
{
    static JsonSchemaProgram *whole;
    static JsonSchemaProgram *change;

    if (whole == NULL) {
        whole = compile("new_contact");
        change = compile("changed_contact");
    }
    return json_schema_run(method == METHOD_PATCH ? change : whole, json_value_of_jsonb(body));
}

/* ---- what the reader says --------------------------------------------------------- */

/* Counts the errors of the list, except those of names that are given twice. */
static int
count_schema_errors(const BodyErrors *errors)
{
    int n_duplicates = 0;
    const char *at = errors->json.data;

    while ((at = strstr(at, "\"type\": \"value_error.duplicate\"")) != NULL) {
        at++;
        n_duplicates++;
    }
    return errors->count - n_duplicates;
}

static BodyErrors
read_body(ContactMethod method, const Jsonb *json)
{
    BodyErrors errors;
    ContactBody body;

    body_errors_init(&errors);
    contact_body_read(&body, method, json, &errors);
    return errors;
}

/* ---- numbers as texts --------------------------------------------------------------- */

static bool
takes_numbers(ContactGroup group, JsonValue name)
{
    for (int i = 0; i < contact_groups[group].field_count; i++)
        if (json_string_equals(name, contact_groups[group].fields[i].name))
            return body_value_takes_numbers(&contact_groups[group].fields[i]);
    return false;
}

static void
push(JsonbParseState **state, JsonbIteratorToken token, JsonValue value)
{
    JsonbValue part = json_value_part(value);

    pushJsonbValue(state, token, &part);
}

static JsonbValue *
push_object(JsonbParseState **state, ContactGroup group, JsonValue object)
{
    JsonWalk names;
    JsonWalk values;

    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    json_walk_object(object, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        push(state, WJB_KEY, name);
        if (value.kind == JSON_NUMBER && takes_numbers(group, name)) {
            value.data =
                DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(value.data)));
            value.length = strlen(value.data);
            value.kind = JSON_STRING;
        }
        push(state, WJB_VALUE, value);
    }
    return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_list(JsonbParseState **state, ContactGroup group, JsonValue list)
{
    JsonWalk items = json_walk_array(list);

    pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
    while (!json_walk_ended(&items)) {
        JsonValue item = json_walk_next(&items);

        if (item.kind == JSON_OBJECT)
            push_object(state, group, item);
        else
            push(state, WJB_ELEM, item);
    }
    pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The body in which the numbers of its groups are replaced by texts. */
static const Jsonb *
without_numbers(const Jsonb *json)
{
    JsonValue body = json_value_of_jsonb(json);
    JsonbParseState *state = NULL;

    if (body.kind != JSON_OBJECT)
        return json;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        const char *name = contact_groups[group].name;
        JsonbValue key = {.type = jbvString};
        JsonValue value;

        if (!json_object_get(body, name, strlen(name), &value))
            continue;
        key.val.string.val = (char *)name;
        key.val.string.len = strlen(name);
        pushJsonbValue(&state, WJB_KEY, &key);
        if (value.kind == JSON_OBJECT)
            push_object(&state, group, value);
        else if (value.kind == JSON_ARRAY)
            push_list(&state, group, value);
        else
            push(&state, WJB_VALUE, value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* ---- the target ---------------------------------------------------------------------- */

void
fuzz_contact(const char *data, size_t size)
{
    ContactMethod method = METHOD_POST;
    BodyErrors errors, errors_of_texts;
    JsonValue input;
    JsonValue value;
    const Jsonb *json;
    const Jsonb *texts;
    bool is_accepted;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    input = json_value_of_jsonb(fuzz_jsonb(pnstrdup(data, size)));
    if (input.kind != JSON_OBJECT || !json_object_get(input, "body", 4, &value))
        return;
    json = json_value_to_jsonb(value);
    if (json_object_get(input, "method", 6, &value) && value.kind == JSON_STRING &&
        json_string_equals(value, "PATCH"))
        method = METHOD_PATCH;
    texts = without_numbers(json);
    errors = read_body(method, json);
    errors_of_texts = read_body(method, texts);
    FUZZ_CHECK(strcmp(errors.json.data, errors_of_texts.json.data) == 0);
    if (errors.count > 1000) /* errors above this number are only counted */
        return;
    is_accepted = count_schema_errors(&errors) == 0;
    FUZZ_CHECK(!is_accepted || is_valid(method, json));
    FUZZ_CHECK(is_accepted == is_valid(method, texts));
}
