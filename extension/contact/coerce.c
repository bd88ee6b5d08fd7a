/*
 * contact/coerce.c: numbers where text belongs, and spaces around URLs.
 *
 * Comes before everything that judges a body, so that limits on lengths mean the text that
 * would be stored. Words for booleans and the forms of UUIDs are the schema's business:
 * they need no other form to be judged.
 */
#include "extension/base/compat.h"

#include "extension/contact/coerce.h"
#include "extension/json/value.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"

static inline bool
is_ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool
has_outer_space(JsonValue string)
{
    return string.length > 0 &&
           (is_ascii_space(string.data[0]) || is_ascii_space(string.data[string.length - 1]));
}

/* The group that a member of the body is about; NULL for other members. */
static const ContactGroupSpec *
find_group(JsonValue name)
{
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++)
        if (json_string_equals(name, contact_groups[group].name))
            return &contact_groups[group];
    return NULL;
}

static const ContactField *
find_field(const ContactGroupSpec *spec, JsonValue name)
{
    for (int i = 0; i < spec->field_count; i++)
        if (json_string_equals(name, spec->fields[i].name))
            return &spec->fields[i];
    return NULL;
}

static bool
takes_numbers(ContactFieldKind kind)
{
    return kind == FIELD_TEXT || kind == FIELD_CHOICE || kind == FIELD_URL || kind == FIELD_BOOLEAN;
}

static bool
value_differs(const ContactGroupSpec *spec, JsonValue name, JsonValue value)
{
    const ContactField *field;

    if (value.kind != JSON_NUMBER && (value.kind != JSON_STRING || !has_outer_space(value)))
        return false;
    field = find_field(spec, name);
    if (field == NULL)
        return false;
    return value.kind == JSON_NUMBER ? takes_numbers(field->kind) : field->kind == FIELD_URL;
}

static bool
object_differs(const ContactGroupSpec *spec, JsonValue object)
{
    JsonWalk names;
    JsonWalk values;

    json_walk_object(object, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);

        if (value_differs(spec, name, json_walk_next(&values)))
            return true;
    }
    return false;
}

/* A group's object, or a list of such. */
static bool
member_differs(const ContactGroupSpec *spec, JsonValue member)
{
    JsonWalk items;

    if (member.kind == JSON_OBJECT)
        return object_differs(spec, member);
    if (member.kind != JSON_ARRAY)
        return false;
    items = json_walk_array(member);
    while (!json_walk_ended(&items)) {
        JsonValue item = json_walk_next(&items);

        if (item.kind == JSON_OBJECT && object_differs(spec, item))
            return true;
    }
    return false;
}

static bool
body_differs(JsonValue body)
{
    JsonWalk names;
    JsonWalk values;

    json_walk_object(body, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        if (value.kind == JSON_OBJECT || value.kind == JSON_ARRAY) {
            const ContactGroupSpec *spec = find_group(name);

            if (spec != NULL && member_differs(spec, value))
                return true;
        }
    }
    return false;
}

/* ---- the other form ------------------------------------------------------------------ */

static void
push(JsonbParseState **state, JsonbIteratorToken token, JsonValue value)
{
    JsonbValue part = json_value_part(value);

    pushJsonbValue(state, token, &part);
}

static JsonValue
coerced(JsonValue value)
{
    if (value.kind == JSON_NUMBER) {
        value.data = DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(value.data)));
        value.length = strlen(value.data);
        value.kind = JSON_STRING;
        return value;
    }
    for (; value.length > 0 && is_ascii_space(value.data[value.length - 1]); value.length--)
        ;
    for (; value.length > 0 && is_ascii_space(value.data[0]); value.length--)
        value.data++;
    return value;
}

static JsonbValue *
push_object(JsonbParseState **state, const ContactGroupSpec *spec, JsonValue object)
{
    JsonWalk names;
    JsonWalk values;

    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    json_walk_object(object, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        push(state, WJB_KEY, name);
        push(state, WJB_VALUE, value_differs(spec, name, value) ? coerced(value) : value);
    }
    return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_list(JsonbParseState **state, const ContactGroupSpec *spec, JsonValue list)
{
    JsonWalk items = json_walk_array(list);

    pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
    while (!json_walk_ended(&items)) {
        JsonValue item = json_walk_next(&items);

        CHECK_FOR_INTERRUPTS();
        if (item.kind == JSON_OBJECT)
            push_object(state, spec, item);
        else
            push(state, WJB_ELEM, item);
    }
    pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

const Jsonb *
contact_coerce(const Jsonb *jsonb)
{
    JsonValue body = json_value_of_jsonb(jsonb);
    JsonbParseState *state = NULL;
    JsonWalk names;
    JsonWalk values;

    if (body.kind != JSON_OBJECT || !body_differs(body))
        return jsonb;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    json_walk_object(body, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);
        const ContactGroupSpec *spec = find_group(name);

        push(&state, WJB_KEY, name);
        if (spec != NULL && value.kind == JSON_OBJECT)
            push_object(&state, spec, value);
        else if (spec != NULL && value.kind == JSON_ARRAY)
            push_list(&state, spec, value);
        else
            push(&state, WJB_VALUE, value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
