/*
 * contact_find.c: ctms.get_contact(), ctms.find_contacts() and the same for identities.
 *
 * The one unit that knows by which ids a contact can be found.
 */
#include "compat.h"

#include "body_value.h"
#include "contact_json.h"
#include "contact_load.h"
#include "contact_sql.h"
#include "errors.h"
#include "kept_plan.h"
#include "json_text.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

/* Contacts that are loaded at a time. */
#define BATCH 1000

typedef struct IdSpec {
    const char *name;
    const char *condition; /* with %d for the parameter */
    char table;            /* e: emails, m: mofo, a: amo, f: fxa */
} IdSpec;

static const IdSpec ids[] = {
    {"email_id", "e.email_id = $%d", 'e'},
    {"primary_email", "lower(e.primary_email) = lower($%d)", 'e'},
    {"basket_token", "e.basket_token = $%d", 'e'},
    {"sfdc_id", "e.sfdc_id = $%d", 'e'},
    {"mofo_contact_id", "m.mofo_contact_id = $%d", 'm'},
    {"mofo_email_id", "m.mofo_email_id = $%d", 'm'},
    {"amo_user_id", "a.user_id = $%d", 'a'},
    {"fxa_id", "f.fxa_id = $%d", 'f'},
    {"fxa_primary_email", "lower(f.primary_email) = lower($%d)", 'f'},
};
#define ID_COUNT ((int)lengthof(ids))
#define ID_EMAIL_ID 0
#define ID_BASKET_TOKEN 2

typedef void (*ContactWriter)(StringInfo out, const Contact *contact);

static void
write_contact(StringInfo out, const Contact *contact)
{
    contact_json_write(out, contact, false);
}

/* ---- looking for ids -------------------------------------------------------------- */

/* One plan for each combination of ids, made when it is first asked for. */
static SPIPlanPtr
find_plan(int mask)
{
    static SPIPlanPtr plans[1 << ID_COUNT];
    StringInfoData sql;
    StringInfoData conditions;
    Oid types[ID_COUNT];
    char joined[8] = "e";

    if (plans[mask] != NULL)
        return plans[mask];
    initStringInfo(&sql);
    initStringInfo(&conditions);
    appendStringInfoString(&sql, "SELECT e.email_id FROM ctms.emails AS e");
    for (int i = 0; i < ID_COUNT; i++) {
        types[i] = i == ID_EMAIL_ID ? UUIDOID : TEXTOID;
        if ((mask & 1 << i) == 0)
            continue;
        if (strchr(joined, ids[i].table) == NULL) {
            const char *table = ids[i].table == 'm' ? "mofo" : ids[i].table == 'a' ? "amo" : "fxa";

            appendStringInfo(&sql, " JOIN ctms.%s AS %c ON %c.email_id = e.email_id", table,
                             ids[i].table, ids[i].table);
            joined[strlen(joined)] = ids[i].table;
        }
        appendStringInfoString(&conditions, conditions.len == 0 ? " WHERE " : " AND ");
        appendStringInfo(&conditions, ids[i].condition, i + 1);
    }
    appendStringInfoString(&sql, conditions.data);
    appendStringInfoString(&sql, " ORDER BY e.email_id");
    return kept_plan_prepare(&plans[mask], sql.data, ID_COUNT, types);
}

static void
raise_no_id(void)
{
    StringInfoData names;

    initStringInfo(&names);
    for (int i = 0; i < ID_COUNT; i++)
        appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ", ids[i].name);
    ereport(ERROR, errcode(ERRCODE_CTMS_BAD_REQUEST),
            errmsg("No identifiers provided, at least one is needed: %s", names.data));
}

/* Tokens are stored in the canonical form of UUIDs. */
static Datum
canonical_token(Datum token)
{
    text *given = DatumGetTextPP(token);
    pg_uuid_t uuid;
    StringInfoData canonical;

    if (!uuid_read(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), &uuid))
        return token;
    initStringInfo(&canonical);
    json_text_write_uuid(&canonical, &uuid);
    return PointerGetDatum(cstring_to_text_with_len(canonical.data + 1, canonical.len - 2));
}

/* The contacts that match all ids that are given, only their email_id filled in. */
static Contact *
find(FunctionCallInfo fcinfo, uint64 *count)
{
    Datum values[ID_COUNT];
    char nulls[ID_COUNT];
    Contact *contacts;
    int mask = 0;
    bool has_value = false;
    bool is_null;

    for (int i = 0; i < ID_COUNT; i++) {
        nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
        if (PG_ARGISNULL(i))
            continue;
        mask |= 1 << i;
        values[i] = i == ID_BASKET_TOKEN ? canonical_token(PG_GETARG_DATUM(i)) : PG_GETARG_DATUM(i);
        has_value |= i == ID_EMAIL_ID || VARSIZE_ANY_EXHDR(DatumGetTextPP(PG_GETARG_DATUM(i))) > 0;
    }
    if (!has_value)
        raise_no_id();
    *count = kept_plan_execute(find_plan(mask), values, nulls, true, SPI_OK_SELECT);
    contacts = MemoryContextAllocHuge(CurrentMemoryContext, (*count + 1) * sizeof(Contact));
    for (uint64 i = 0; i < *count; i++)
        contacts[i].email_id = *DatumGetUUIDP(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    return contacts;
}

static Datum
find_and_write(FunctionCallInfo fcinfo, ContactParts parts, ContactWriter write)
{
    StringInfoData json;
    Contact *contacts;
    uint64 count;

    json_answer_begin(&json);
    appendStringInfoChar(&json, '[');
    SPI_connect();
    contacts = find(fcinfo, &count);
    for (uint64 start = 0; start < count; start += BATCH) {
        int batch = (int)Min(BATCH, count - start);

        SPI_connect(); /* what a batch allocates goes with it */
        contact_load(contacts + start, batch, parts, true);
        for (int i = 0; i < batch; i++) {
            CHECK_FOR_INTERRUPTS();
            if (start + i > 0)
                appendStringInfoChar(&json, ',');
            write(&json, &contacts[start + i]);
        }
        SPI_finish();
    }
    SPI_finish();
    appendStringInfoChar(&json, ']');
    return json_answer_end(&json);
}

/* ---- entry ------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(ctms_get_contact);
PG_FUNCTION_INFO_V1(ctms_get_identity);
PG_FUNCTION_INFO_V1(ctms_find_contacts);
PG_FUNCTION_INFO_V1(ctms_find_identities);

static Datum
get(FunctionCallInfo fcinfo, bool is_identity)
{
    Contact contact = {.email_id = *PG_GETARG_UUID_P(0)};
    StringInfoData json;

    contact_load(&contact, 1, is_identity ? CONTACT_ROWS : CONTACT_ALL, true);
    if (!contact.rows[GROUP_EMAIL].exists)
        PG_RETURN_NULL();
    json_answer_begin(&json);
    if (is_identity)
        contact_json_write_identity(&json, &contact);
    else
        contact_json_write(&json, &contact, true);
    return json_answer_end(&json);
}

Datum
ctms_get_contact(PG_FUNCTION_ARGS)
{
    return get(fcinfo, false);
}

Datum
ctms_get_identity(PG_FUNCTION_ARGS)
{
    return get(fcinfo, true);
}

Datum
ctms_find_contacts(PG_FUNCTION_ARGS)
{
    return find_and_write(fcinfo, CONTACT_ALL, write_contact);
}

Datum
ctms_find_identities(PG_FUNCTION_ARGS)
{
    return find_and_write(fcinfo, CONTACT_ROWS, contact_json_write_identity);
}
