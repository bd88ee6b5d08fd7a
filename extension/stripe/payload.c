/*
 * stripe/payload.c: the Stripe objects in bytes that somebody sent, as jsonb; each is read by
 * itself. What jsonb cannot hold is replaced by a mark (json/clean.h), which stripe/value.c knows.
 *
 * Nothing here raises an error because of what the bytes are.
 */
#include "extension/stripe/stripe.h"

#include "extension/base/result_row.h"
#include "extension/json/clean.h"
#include "extension/json/from_text.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* A member of the payload. All pointers are into its bytes. */
typedef struct Member {
    const char *key; /* its opening quote */
    const char *key_end;
    const char *value;
    const char *value_end;
} Member;

/* The value that the bytes are; NULL if they are not JSON. */
static Jsonb *
read_json(const char *at, const char *end)
{
    StringInfoData text;
    Jsonb *json = NULL;

    initStringInfo(&text);
    if (json_clean(at, (uint32)(end - at), &text))
        json = json_from_text(text.data, (uint32)text.len);
    pfree(text.data);
    return json;
}

/* ---- payload ------------------------------------------------------------------------------ */

/* Moves behind a member; false if there is none, or if it does not end. */
static bool
read_member(const char **at, const char *end, Member *member)
{
    const char *behind;

    member->key = json_skip_space(*at, end);
    if (member->key == end || *member->key != '"')
        return false;
    member->key_end = json_skip_string(member->key, end);
    if (member->key_end == NULL)
        return false;
    behind = json_skip_space(member->key_end, end);
    if (behind == end || *behind != ':')
        return false;
    member->value = json_skip_space(behind + 1, end);
    member->value_end = json_skip_value(member->value, end);
    *at = member->value_end;
    return *at != NULL;
}

/*
 * The members of an object. *rest is what of the text does not belong to it: from the first member
 * that cannot be read, or behind the object. NIL when the text is no object.
 */
static List *
read_members(const char *at, const char *end, const char **rest)
{
    List *members = NIL;
    bool is_open;

    at = json_skip_space(at, end);
    *rest = at;
    is_open = at < end && *at == '{';
    while (is_open) {
        Member *member = palloc(sizeof(Member));

        CHECK_FOR_INTERRUPTS();
        at++; /* behind the bracket or comma */
        if (!read_member(&at, end, member))
            return members;
        members = lappend(members, member);
        at = json_skip_space(at, end);
        *rest = at;
        is_open = at < end && *at == ',';
    }
    if (members != NIL && at < end && *at == '}')
        *rest = json_skip_space(at + 1, end);
    return members;
}

/* The key of a member as text, or NULL if it cannot be text. */
static char *
key_of(const Member *member)
{
    JsonbValue value;

    if (!json_is_clean_text(member->key + 1, member->key_end - 1))
        return NULL;
    if (!JsonbExtractScalar(&read_json(member->key, member->key_end)->root, &value))
        return NULL;
    return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Whether a key is a kind and an id, with a colon between them. */
static bool
is_name(const Member *member, const char *key)
{
    int colons = 0;

    if (key != NULL) {
        for (; *key != '\0'; key++)
            colons += *key == ':';
        return colons == 1;
    }
    for (const char *at = member->key; at < member->key_end; at++)
        colons += *at == ':';
    return colons == 1;
}

static void
put_part(ReturnSetInfo *result, const char *name, const char *at, const char *end)
{
    Jsonb *object = read_json(at, end);
    bytea *content = palloc(VARHDRSZ + (end - at));
    Datum values[3];
    bool are_null[3] = {name == NULL, object == NULL, false};

    SET_VARSIZE(content, VARHDRSZ + (end - at));
    memcpy(VARDATA(content), at, end - at);
    values[0] = name == NULL ? (Datum)0 : CStringGetTextDatum(name);
    values[1] = object == NULL ? (Datum)0 : JsonbPGetDatum(object);
    values[2] = PointerGetDatum(content);
    result_row_put(result, values, are_null, lengthof(values));
    if (object != NULL)
        pfree(object);
    pfree(content);
}

PG_FUNCTION_INFO_V1(ctms_stripe_parts);
/* ctms._stripe_parts(payload bytea) → SETOF (name text, object jsonb, content bytea) */
PGDLLEXPORT Datum
ctms_stripe_parts(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    bytea *payload = PG_GETARG_BYTEA_PP(0);
    const char *start = VARDATA_ANY(payload);
    const char *end = start + VARSIZE_ANY_EXHDR(payload);
    const char *rest;
    List *members = read_members(start, end, &rest);
    List *names = NIL;
    bool are_names = true;
    ListCell *cell;

    InitMaterializedSRF(fcinfo, 0);
    foreach (cell, members) {
        char *key = key_of(lfirst(cell));

        CHECK_FOR_INTERRUPTS();
        if (key != NULL && strcmp(key, "object") == 0) {
            put_part(result, NULL, start, end);
            return (Datum)0;
        }
        are_names = are_names && is_name(lfirst(cell), key);
        names = lappend(names, key);
    }
    if (members == NIL || !are_names)
        return (Datum)0;
    foreach (cell, members) {
        const Member *member = lfirst(cell);

        CHECK_FOR_INTERRUPTS();
        put_part(result, list_nth(names, foreach_current_index(cell)), member->value,
                 member->value_end);
    }
    if (rest < end)
        put_part(result, NULL, rest, end);
    return (Datum)0;
}

/* ---- single texts -------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(ctms_clean_json);
/* ctms._clean_json(bytes bytea) and ctms.parse_stripe(body text) → jsonb */
PGDLLEXPORT Datum
ctms_clean_json(PG_FUNCTION_ARGS)
{
    struct varlena *bytes = PG_GETARG_VARLENA_PP(0);
    const char *start = VARDATA_ANY(bytes);
    Jsonb *json = read_json(start, start + VARSIZE_ANY_EXHDR(bytes));

    if (json == NULL)
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(json);
}
