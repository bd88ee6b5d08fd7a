/*
 * target_contact.c: bodies of contacts.
 *
 * The input is {"method": "POST" or "PATCH", "body"}. What the JSON Schema of the method
 * says of the coerced body, the reader of bodies must say too, but for names that are given
 * twice, which no schema can tell. Before coercion the published schema says the same, but
 * for numbers whose text is too long.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/contact/body.h"
#include "extension/contact/coerce.h"
#include "extension/contact/schema.h"
#include "extension/json/value.h"

/* Errors of the list that are no names given twice. */
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

void
fuzz_contact(const char *data, size_t size)
{
    ContactMethod method = METHOD_POST;
    BodyErrors errors;
    ContactBody body;
    JsonValue input;
    JsonValue value;
    Jsonb *json;
    const Jsonb *coerced;
    bool is_valid;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    input = json_value_of_jsonb(fuzz_jsonb(pnstrdup(data, size)));
    if (input.kind != JSON_OBJECT || !json_object_get(input, "body", 4, &value))
        return;
    json = json_value_to_jsonb(value);
    if (json_object_get(input, "method", 6, &value) && value.kind == JSON_STRING &&
        json_string_equals(value, "PATCH"))
        method = METHOD_PATCH;
    coerced = contact_coerce(json);
    FUZZ_CHECK(contact_coerce(coerced) == coerced);
    is_valid = contact_schema_accepts(method, coerced);
    if (coerced == json || is_valid)
        FUZZ_CHECK(!is_valid || contact_schema_accepts(method, json));
    body_errors_init(&errors);
    contact_body_read(&body, method, json, &errors);
    FUZZ_CHECK(strstr(errors.json.data, "value_error.schema") == NULL);
    if (errors.count <= 1000)
        FUZZ_CHECK(is_valid == (count_schema_errors(&errors) == 0));
}
