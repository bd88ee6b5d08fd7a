/*
 * contact/sql.c: makes SQL text from the table of fields. Only names from that table are put into
 * the text; values are always parameters.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"
#include "extension/contact/sql.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#define MAX_PARAMETERS (CONTACT_MAX_FIELDS + 2)

Oid
contact_sql_type(const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: return BOOLOID;
    case FIELD_DATE: return DATEOID;
    case FIELD_OBJECT: return JSONBOID;
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL: return TEXTOID;
    }
    pg_unreachable();
}

Oid
contact_sql_array_type(const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: return BOOLARRAYOID;
    case FIELD_DATE: return DATEARRAYOID;
    case FIELD_OBJECT: return JSONBARRAYOID;
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL: return TEXTARRAYOID;
    }
    pg_unreachable();
}

/* ---- reading ----------------------------------------------------------------- */

/*
 * Each column is cast to the type that our C takes it for, whatever an administrator has made of
 * it. This costs nothing where the type is as it was.
 */
static void
append_columns(StringInfo sql, const char *alias, const ContactGroupSpec *spec)
{
    for (int i = 0; i < spec->field_count; i++)
        appendStringInfo(sql, ", %s.%s::%s", alias, quote_identifier(spec->fields[i].name),
                         format_type_be(contact_sql_type(&spec->fields[i])));
    appendStringInfo(sql, ", %s.create_timestamp::timestamptz, %s.update_timestamp::timestamptz",
                     alias, alias);
}

SPIPlanPtr
contact_sql_load_rows(bool many)
{
    static SPIPlanPtr plans[2];
    Oid type = many ? UUIDARRAYOID : UUIDOID;
    StringInfoData sql;

    if (plans[many] != NULL)
        return plans[many];
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT g0.email_id::uuid");
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++) {
        char alias[8];

        snprintf(alias, sizeof(alias), "g%d", group);
        appendStringInfo(&sql, ", %s.email_id IS NOT NULL", alias);
        append_columns(&sql, alias, &contact_groups[group]);
    }
    appendStringInfo(&sql, " FROM ctms.%s AS g0", contact_groups[0].table);
    for (int group = 1; group < CONTACT_ROW_GROUPS; group++)
        appendStringInfo(&sql, " LEFT JOIN ctms.%s AS g%d ON g%d.email_id = g0.email_id",
                         contact_groups[group].table, group, group);
    appendStringInfoString(&sql,
                           many ? " WHERE g0.email_id = ANY ($1)" : " WHERE g0.email_id = $1");
    return kept_plan_prepare(&plans[many], sql.data, 1, &type);
}

SPIPlanPtr
contact_sql_load_list(ContactGroup group, bool many)
{
    static SPIPlanPtr plans[CONTACT_STORED_GROUPS][2];
    Oid type = many ? UUIDARRAYOID : UUIDOID;
    StringInfoData sql;

    if (plans[group][many] != NULL)
        return plans[group][many];
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT g.email_id::uuid");
    append_columns(&sql, "g", &contact_groups[group]);
    appendStringInfo(&sql, " FROM ctms.%s AS g WHERE g.email_id = %s", contact_groups[group].table,
                     many ? "ANY ($1)" : "$1");
    return kept_plan_prepare(&plans[group][many], sql.data, 1, &type);
}

/* ---- one row ------------------------------------------------------------------- */

/*
 * The types of $1 (email_id), of $2 if there is a mask, and of the fields. Returns how many there
 * are.
 */
static int
parameter_types(const ContactGroupSpec *spec, bool has_mask, bool is_array, Oid *types)
{
    int count = 0;

    types[count++] = UUIDOID;
    if (has_mask)
        types[count++] = is_array ? INT4ARRAYOID : INT4OID;
    for (int i = 0; i < spec->field_count; i++)
        types[count++] = is_array ? contact_sql_array_type(&spec->fields[i])
                                  : contact_sql_type(&spec->fields[i]);
    return count;
}

SPIPlanPtr
contact_sql_insert_row(ContactGroup group)
{
    static SPIPlanPtr plans[CONTACT_ROW_GROUPS];
    const ContactGroupSpec *spec = &contact_groups[group];
    Oid types[MAX_PARAMETERS];
    int count = parameter_types(spec, false, false, types);
    StringInfoData sql;

    if (plans[group] != NULL)
        return plans[group];
    initStringInfo(&sql);
    appendStringInfo(&sql, "INSERT INTO ctms.%s (email_id", spec->table);
    for (int i = 0; i < spec->field_count; i++)
        appendStringInfo(&sql, ", %s", quote_identifier(spec->fields[i].name));
    appendStringInfoString(&sql, ") VALUES ($1");
    for (int i = 2; i <= count; i++)
        appendStringInfo(&sql, ", $%d", i);
    appendStringInfoString(&sql, ") ON CONFLICT DO NOTHING");
    return kept_plan_prepare(&plans[group], sql.data, count, types);
}

/* Sets only the fields whose bit is set, so that changes by others in the meantime are kept. */
SPIPlanPtr
contact_sql_update_row(ContactGroup group)
{
    static SPIPlanPtr plans[CONTACT_ROW_GROUPS];
    const ContactGroupSpec *spec = &contact_groups[group];
    Oid types[MAX_PARAMETERS];
    int count = parameter_types(spec, true, false, types);
    const char *separator = " SET ";
    StringInfoData sql;

    if (plans[group] != NULL)
        return plans[group];
    initStringInfo(&sql);
    appendStringInfo(&sql, "UPDATE ctms.%s", spec->table);
    for (int i = 0; i < spec->field_count; i++) {
        const char *column = quote_identifier(spec->fields[i].name);

        appendStringInfo(&sql, "%s%s = CASE WHEN $2 & %d <> 0 THEN $%d ELSE %s END", separator,
                         column, 1 << i, i + 3, column);
        separator = ", ";
    }
    if (group == GROUP_EMAIL)
        appendStringInfoString(&sql, ", update_timestamp = pg_catalog.clock_timestamp()");
    appendStringInfoString(&sql, " WHERE email_id = $1");
    return kept_plan_prepare(&plans[group], sql.data, count, types);
}

SPIPlanPtr
contact_sql_delete_row(ContactGroup group)
{
    static SPIPlanPtr plans[CONTACT_STORED_GROUPS];
    Oid type = UUIDOID;

    if (plans[group] != NULL)
        return plans[group];
    return kept_plan_prepare(
        &plans[group],
        psprintf("DELETE FROM ctms.%s WHERE email_id = $1", contact_groups[group].table), 1, &type);
}

/* ---- items of lists -------------------------------------------------------------- */

static void
append_unnest(StringInfo sql, int first, int last)
{
    appendStringInfoString(sql, "unnest(");
    for (int i = first; i <= last; i++)
        appendStringInfo(sql, "%s$%d", i == first ? "" : ", ", i);
    appendStringInfoChar(sql, ')');
}

static void
append_field_names(StringInfo sql, const ContactGroupSpec *spec)
{
    for (int i = 0; i < spec->field_count; i++)
        appendStringInfo(sql, ", %s", quote_identifier(spec->fields[i].name));
}

SPIPlanPtr
contact_sql_insert_items(ContactGroup group, bool is_new)
{
    static SPIPlanPtr plans[CONTACT_STORED_GROUPS][2];
    const ContactGroupSpec *spec = &contact_groups[group];
    Oid types[MAX_PARAMETERS];
    int count = parameter_types(spec, false, true, types);
    StringInfoData sql;

    if (plans[group][is_new] != NULL)
        return plans[group][is_new];
    initStringInfo(&sql);
    appendStringInfo(&sql, "INSERT INTO ctms.%s (email_id", spec->table);
    append_field_names(&sql, spec);
    appendStringInfoString(&sql, ") SELECT $1, item.* FROM ");
    append_unnest(&sql, 2, count);
    appendStringInfoString(&sql, is_new ? " AS item" : " AS item ON CONFLICT DO NOTHING");
    return kept_plan_prepare(&plans[group][is_new], sql.data, count, types);
}

SPIPlanPtr
contact_sql_update_items(ContactGroup group)
{
    static SPIPlanPtr plans[CONTACT_STORED_GROUPS];
    const ContactGroupSpec *spec = &contact_groups[group];
    Oid types[MAX_PARAMETERS];
    int count = parameter_types(spec, true, true, types);
    StringInfoData sql;

    if (plans[group] != NULL)
        return plans[group];
    initStringInfo(&sql);
    appendStringInfo(&sql, "UPDATE ctms.%s AS stored SET ", spec->table);
    for (int i = LIST_NAME + 1; i < spec->field_count; i++) {
        const char *column = quote_identifier(spec->fields[i].name);

        appendStringInfo(&sql,
                         "%s%s = CASE WHEN item.mask & %d <> 0 THEN item.%s ELSE stored.%s END",
                         i == LIST_NAME + 1 ? "" : ", ", column, 1 << i, column, column);
    }
    appendStringInfoString(&sql, " FROM ");
    append_unnest(&sql, 2, count);
    appendStringInfoString(&sql, " AS item (mask");
    append_field_names(&sql, spec);
    appendStringInfoString(&sql, ") WHERE stored.email_id = $1 AND stored.name = item.name");
    return kept_plan_prepare(&plans[group], sql.data, count, types);
}

SPIPlanPtr
contact_sql_delete_items(ContactGroup group)
{
    static SPIPlanPtr plans[CONTACT_STORED_GROUPS];
    Oid types[] = {UUIDOID, TEXTARRAYOID};

    if (plans[group] != NULL)
        return plans[group];
    return kept_plan_prepare(&plans[group],
                             psprintf("DELETE FROM ctms.%s WHERE email_id = $1 AND name = ANY ($2)",
                                      contact_groups[group].table),
                             2, types);
}
