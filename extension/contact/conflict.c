/*
 * contact/conflict.c: tells which unique value of a contact is taken.
 *
 * An INSERT that found a conflict has raised no error, so the tables are asked. An UPDATE has
 * raised one; it names the table, and the columns of the key in its detail: "Key (a)=(value)
 * already exists." Names of constraints and indexes would say less, because an administrator may
 * have changed them, or may be building a new index at that moment.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"
#include "extension/contact/conflict.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/uuid.h"

/* In the order in which they are written. */
static const ContactId unique_ids[] = {ID_EMAIL_ID, ID_PRIMARY_EMAIL, ID_BASKET_TOKEN, ID_FXA_ID,
                                       ID_MOFO_EMAIL_ID};

static const char *
place_of(ContactGroup group, const char *name)
{
    return psprintf("%s.%s", contact_groups[group].name, name);
}

/* ---- asking the tables ----------------------------------------------------------- */

/* $1 email_id, $2 the value. */
static SPIPlanPtr
taken_plan(ContactId id)
{
    static SPIPlanPtr plans[CONTACT_ID_COUNT];
    const ContactIdSpec *spec = &contact_ids[id];
    const char *table = contact_groups[spec->group].table;
    const char *column = contact_id_column(id);
    Oid types[] = {UUIDOID, TEXTOID};

    if (plans[id] != NULL)
        return plans[id];
    if (id == ID_EMAIL_ID)
        return kept_plan_prepare(
            &plans[id], psprintf("SELECT FROM ctms.%s WHERE %s = $1 LIMIT 1", table, column), 2,
            types);
    return kept_plan_prepare(&plans[id],
                             psprintf(spec->is_address
                                          ? "SELECT FROM ctms.%s WHERE lower(%s::text) = lower($2)"
                                            " AND email_id::uuid <> $1 LIMIT 1"
                                          : "SELECT FROM ctms.%s WHERE %s::text = $2"
                                            " AND email_id::uuid <> $1 LIMIT 1",
                                      table, column),
                             2, types);
}

static bool
is_taken(const Contact *wanted, ContactId id)
{
    const ContactIdSpec *spec = &contact_ids[id];
    const ContactRecord *record = &wanted->rows[spec->group];
    Datum values[2] = {UUIDPGetDatum(&wanted->email_id)};
    char nulls[2] = {' ', 'n'};

    if (id != ID_EMAIL_ID) {
        if (record->nulls[spec->field])
            return false;
        values[1] = record->values[spec->field];
        nulls[1] = ' ';
    }
    return kept_plan_execute(taken_plan(id), values, nulls, false, SPI_OK_SELECT) > 0;
}

const char *
contact_conflict_find(const Contact *wanted, bool is_new)
{
    for (int i = 0; i < (int)lengthof(unique_ids); i++) {
        ContactId id = unique_ids[i];

        if ((is_new || id != ID_EMAIL_ID) && is_taken(wanted, id))
            return place_of(contact_ids[id].group, contact_id_column(id));
    }
    return NULL;
}

/* ---- reading an error ------------------------------------------------------------ */

static bool
is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Whether the text has the name as a whole word. */
static bool
has_name(const char *text, const char *end, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = text; at + length <= end; at++)
        if (memcmp(at, name, length) == 0 && (at == text || !is_name_character(at[-1])) &&
            (at + length == end || !is_name_character(at[length])))
            return true;
    return false;
}

/* The only field of the group that the text names; NULL when it names none or several. */
static const char *
only_field(ContactGroup group, const char *text, const char *end)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    bool has_email_id = has_name(text, end, contact_email_id.name);
    const char *found = has_email_id && group == GROUP_EMAIL ? contact_email_id.name : NULL;
    int count = has_email_id;

    for (int i = 0; i < spec->field_count; i++)
        if (has_name(text, end, spec->fields[i].name)) {
            found = spec->fields[i].name;
            count++;
        }
    return count == 1 ? found : NULL;
}

const char *
contact_conflict_of_error(const ErrorData *error)
{
    const char *start = error->detail ? strchr(error->detail, '(') : NULL;
    const char *end = start ? strstr(start, ")=(") : NULL;

    if (end == NULL || error->schema_name == NULL || strcmp(error->schema_name, "ctms") != 0 ||
        error->table_name == NULL)
        return NULL;
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++)
        if (strcmp(contact_groups[group].table, error->table_name) == 0) {
            const char *field = only_field(group, start + 1, end);

            return field ? place_of(group, field) : NULL;
        }
    return NULL;
}
