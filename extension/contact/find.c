/*
 * contact/find.c: ctms.get_contact(), ctms.find_contacts() and the same functions for identities.
 *
 * Only this file looks up contacts by their ids.
 */
#include "extension/base/compat.h"

#include "extension/base/errors.h"
#include "extension/base/kept_plan.h"
#include "extension/contact/body_form.h"
#include "extension/contact/json.h"
#include "extension/contact/load.h"
#include "extension/json/text.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* How many contacts are loaded at a time. */
#define BATCH 1000

typedef void (*ContactWriter)(StringInfo out, const Contact *contact);

static void
write_contact(StringInfo out, const Contact *contact)
{
    contact_json_write(out, contact, false);
}

/* ---- looking for ids -------------------------------------------------------------- */

static void
append_condition(StringInfo sql, ContactId id)
{
    const ContactIdSpec *spec = &contact_ids[id];

    appendStringInfo(sql,
                     id == ID_EMAIL_ID  ? "g%d.%s = $%d"
                     : spec->is_address ? "lower(g%d.%s::text) = lower($%d)"
                                        : "g%d.%s::text = $%d",
                     spec->group, contact_id_column(id), id + 1);
}

/*
 * The casts, like those of contact/sql.c, hold for every type that an administrator gives a
 * column. There is one plan for each combination of ids, made when it is first asked for.
 */
static SPIPlanPtr
find_plan(int mask)
{
    static SPIPlanPtr plans[1 << CONTACT_ID_COUNT];
    StringInfoData sql, conditions;
    Oid types[CONTACT_ID_COUNT];
    bool is_joined[CONTACT_ROW_GROUPS] = {[GROUP_EMAIL] = true};

    if (plans[mask] != NULL)
        return plans[mask];
    initStringInfo(&sql);
    initStringInfo(&conditions);
    appendStringInfoString(&sql, "SELECT g0.email_id::uuid FROM ctms.emails AS g0");
    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        ContactGroup group = contact_ids[id].group;

        types[id] = id == ID_EMAIL_ID ? UUIDOID : TEXTOID;
        if ((mask & 1 << id) == 0)
            continue;
        if (!is_joined[group])
            appendStringInfo(&sql, " JOIN ctms.%s AS g%d ON g%d.email_id = g0.email_id",
                             contact_groups[group].table, group, group);
        is_joined[group] = true;
        appendStringInfoString(&conditions, conditions.len == 0 ? " WHERE " : " AND ");
        append_condition(&conditions, id);
    }
    appendStringInfoString(&sql, conditions.data);
    return kept_plan_prepare(&plans[mask], sql.data, CONTACT_ID_COUNT, types);
}

static void
raise_no_id(void)
{
    StringInfoData names;

    initStringInfo(&names);
    for (int id = 0; id < CONTACT_ID_COUNT; id++)
        appendStringInfo(&names, "%s%s", id == 0 ? "" : ", ", contact_ids[id].name);
    ereport(ERROR, errcode(ERRCODE_CTMS_BAD_REQUEST),
            errmsg("No identifiers provided, at least one is needed: %s", names.data));
}

/* Tokens are stored in the canonical form of UUIDs. */
static Datum
canonical_token(Datum token)
{
    text *given = DatumGetTextPP(token);
    pg_uuid_t uuid;

    if (!body_form_read_uuid(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), &uuid))
        return token;
    return PointerGetDatum(body_form_uuid_text(&uuid));
}

typedef struct GivenIds {
    Datum values[CONTACT_ID_COUNT];
    char nulls[CONTACT_ID_COUNT];
    int mask;
    bool match_nothing; /* one of them is empty, which matches nothing, whatever is stored */
} GivenIds;

static GivenIds
read_ids(FunctionCallInfo fcinfo)
{
    GivenIds ids = {.mask = 0};

    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        ids.nulls[id] = PG_ARGISNULL(id) ? 'n' : ' ';
        if (PG_ARGISNULL(id))
            continue;
        ids.values[id] = PG_GETARG_DATUM(id);
        if (id != ID_EMAIL_ID && VARSIZE_ANY_EXHDR(DatumGetTextPP(PG_GETARG_DATUM(id))) == 0)
            ids.match_nothing = true;
        if (id == ID_BASKET_TOKEN)
            ids.values[id] = canonical_token(ids.values[id]);
        ids.mask |= 1 << id;
    }
    if (ids.mask == 0)
        raise_no_id();
    return ids;
}

typedef struct ContactsFound {
    Contact *contacts; /* only email_id is set; in the order of it */
    uint64 count;
} ContactsFound;

static int
compare_email_ids(const void *a, const void *b)
{
    return memcmp(&((const Contact *)a)->email_id, &((const Contact *)b)->email_id, UUID_LEN);
}

/* The contacts that match all given ids. */
static ContactsFound
find(FunctionCallInfo fcinfo)
{
    GivenIds ids = read_ids(fcinfo);
    MemoryContext caller = CurrentMemoryContext;
    ContactsFound found = {.count = 0};
    uint64 count;
    bool is_null;

    if (ids.match_nothing)
        return found;
    SPI_connect();
    count = kept_plan_execute(find_plan(ids.mask), ids.values, ids.nulls, true, SPI_OK_SELECT);
    found.contacts = MemoryContextAllocHuge(caller, Max(count, 1) * sizeof(Contact));
    for (uint64 i = 0; i < count; i++) {
        Datum id = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);

        if (!is_null)
            found.contacts[found.count++].email_id = *DatumGetUUIDP(id);
    }
    SPI_finish();
    if (found.count > 1)
        qsort(found.contacts, found.count, sizeof(Contact), compare_email_ids);
    return found;
}

static void
write_batch(StringInfo json, Contact *contacts, int count, ContactParts parts, ContactWriter write)
{
    contact_load(contacts, count, parts, true);
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        if (!contacts[i].rows[GROUP_EMAIL].exists)
            continue;
        if (json->data[json->len - 1] != '[')
            appendStringInfoChar(json, ',');
        write(json, &contacts[i]);
    }
}

static Datum
find_and_write(FunctionCallInfo fcinfo, ContactParts parts, ContactWriter write)
{
    ContactsFound found = find(fcinfo);
    StringInfoData json;

    json_answer_begin(&json);
    appendStringInfoChar(&json, '[');
    for (uint64 start = 0; start < found.count; start += BATCH) {
        MemoryContext caller = CurrentMemoryContext;
        MemoryContext batch = NULL;

        /* With many batches, the memory of each is freed after it. */
        if (found.count > BATCH) {
            batch = AllocSetContextCreate(caller, "ctms contacts found", ALLOCSET_DEFAULT_SIZES);
            MemoryContextSwitchTo(batch);
        }
        write_batch(&json, found.contacts + start, (int)Min(BATCH, found.count - start), parts,
                    write);
        MemoryContextSwitchTo(caller);
        if (batch != NULL)
            MemoryContextDelete(batch);
    }
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
