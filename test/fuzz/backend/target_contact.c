/*
 * target_contact.c: bodies of contacts.
 *
 * The input is {"method": "POST" or "PATCH", "body"}. The JSON Schema that is published for the
 * method asks for one type where the reader of bodies also takes numbers for texts, and words and
 * numbers for booleans. A body in which these are replaced by what is asked for must be read like
 * the body itself, and the two must give the same verdict on it. Names that are given twice are an
 * exception, because a schema cannot detect them; so are formats, which are not asserted here.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/contact/body.h"
#include "extension/contact/body_form.h"
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

static int
count_errors(const BodyErrors *errors, const char *text)
{
    int count = 0;

    for (const char *at = errors->json.data; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static bool
has_no_errors(const BodyErrors *errors, bool with_formats)
{
    int ignored = count_errors(errors, "\"type\": \"value_error.duplicate\"");

    if (!with_formats)
        ignored += count_errors(errors, "\"type\": \"value_error.url.") +
                   count_errors(errors, "\"type\": \"value_error.date\"") +
                   count_errors(errors, "\"type\": \"type_error.uuid\"") +
                   count_errors(errors, "\"source\"], \"msg\": \"ensure this value has at least");
    return errors->count == ignored;
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

/* ---- what is asked for ---------------------------------------------------------------- */

static const ContactField *
find_field(ContactGroup group, JsonValue name)
{
    for (int i = 0; i < contact_groups[group].field_count; i++)
        if (json_string_equals(name, contact_groups[group].fields[i].name))
            return &contact_groups[group].fields[i];
    return NULL;
}

static void
push(JsonbParseState **state, JsonbIteratorToken token, JsonValue value)
{
    JsonbValue part = json_value_part(value);

    pushJsonbValue(state, token, &part);
}

static void
push_value(JsonbParseState **state, const ContactField *field, JsonValue value)
{
    JsonbValue flag = {.type = jbvBool};

    if (value.kind == JSON_NUMBER && field != NULL && body_value_takes_numbers(field)) {
        value.data = DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(value.data)));
        value.length = strlen(value.data);
        value.kind = JSON_STRING;
    }
    if (value.kind == JSON_STRING && field != NULL && field->kind == FIELD_BOOLEAN &&
        body_form_read_flag(value.data, value.length, &flag.val.boolean))
        pushJsonbValue(state, WJB_VALUE, &flag);
    else
        push(state, WJB_VALUE, value);
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
        const ContactField *field = find_field(group, name);

        push(state, WJB_KEY, name);
        push_value(state, field, value);
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

static const Jsonb *
as_asked_for(const Jsonb *json)
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
    BodyErrors errors, errors_as_asked;
    JsonValue input;
    JsonValue value;
    const Jsonb *json;
    const Jsonb *asked;
    bool is_asked_for;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    input = json_value_of_jsonb(fuzz_jsonb(pnstrdup(data, size)));
    if (input.kind != JSON_OBJECT || !json_object_get(input, "body", 4, &value))
        return;
    json = json_value_to_jsonb(value);
    if (json_object_get(input, "method", 6, &value) && value.kind == JSON_STRING &&
        json_string_equals(value, "PATCH"))
        method = METHOD_PATCH;
    asked = as_asked_for(json);
    errors = read_body(method, json);
    errors_as_asked = read_body(method, asked);
    FUZZ_CHECK(strcmp(errors.json.data, errors_as_asked.json.data) == 0);
    if (errors.count > 1000) /* errors above this number are only counted */
        return;
    is_asked_for = is_valid(method, asked);
    FUZZ_CHECK(is_asked_for || !has_no_errors(&errors, true));
    FUZZ_CHECK(!is_asked_for || has_no_errors(&errors, false));
    FUZZ_CHECK(!is_valid(method, json) || has_no_errors(&errors, false));
}
