/*
 * contact_load.c: reads one contact or many with the same three statements.
 */
#include "compat.h"

#include "contact_load.h"
#include "contact_sql.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* email_id, and for each one-row group a flag, fields, two timestamps */
#define MAX_COLUMNS (1 + CONTACT_ROW_GROUPS * (CONTACT_MAX_FIELDS + 3))

/* Fields and timestamps, as append_columns() of contact_sql.c orders them. */
static int
fill_record(ContactRecord *record, ContactGroup group, const Datum *values, const bool *nulls)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    int count = spec->field_count;

    memset(record, 0, offsetof(ContactRecord, body_index));
    record->exists = true;
    record->body_index = -1;
    for (int i = 0; i < count; i++) {
        bool is_unset_flag = nulls[i] && spec->fields[i].kind == FIELD_BOOLEAN;

        record->values[i] =
            is_unset_flag ? BoolGetDatum(spec->fields[i].default_boolean) : values[i];
        record->nulls[i] = nulls[i] && !is_unset_flag;
    }
    record->create_timestamp = DatumGetTimestampTz(values[count]);
    record->update_timestamp = DatumGetTimestampTz(values[count + 1]);
    return count + 2;
}

static void
fill_rows(Contact *contact, const Datum *values, const bool *nulls)
{
    int column = 1;

    for (int group = 0; group < CONTACT_ROW_GROUPS; group++) {
        if (DatumGetBool(values[column]))
            fill_record(&contact->rows[group], group, values + column + 1, nulls + column + 1);
        column += CONTACT_ROW_COLUMNS(&contact_groups[group]);
    }
}

/* ---- which contact a row belongs to --------------------------------------------- */

static int
compare_contact_pointers(const void *a, const void *b)
{
    return memcmp(&(*(Contact *const *)a)->email_id, &(*(Contact *const *)b)->email_id, UUID_LEN);
}

static Contact *
find_contact(Contact **by_id, int count, const pg_uuid_t *email_id)
{
    int low = 0;
    int high = count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = memcmp(&by_id[middle]->email_id, email_id, UUID_LEN);

        if (order == 0)
            return by_id[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    elog(ERROR, "a row of a contact that was not asked for");
}

static Datum
id_parameter(Contact **by_id, int count)
{
    Datum *ids;

    if (count == 1)
        return UUIDPGetDatum(&by_id[0]->email_id);
    ids = palloc(count * sizeof(Datum));
    for (int i = 0; i < count; i++)
        ids[i] = UUIDPGetDatum(&by_id[i]->email_id);
    return PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* ---- statements ------------------------------------------------------------------ */

typedef void (*RowReader)(Contact *contact, ContactGroup group, const Datum *values,
                          const bool *nulls);

static void
read_rows(Contact *contact, ContactGroup group, const Datum *values, const bool *nulls)
{
    fill_rows(contact, values, nulls);
}

static void
read_item(Contact *contact, ContactGroup group, const Datum *values, const bool *nulls)
{
    ContactList *list = contact_list(contact, group);

    if (list->items == NULL) {
        list->capacity = 4;
        list->items = palloc(list->capacity * sizeof(ContactRecord));
    } else if (list->count == list->capacity) {
        list->capacity *= 2;
        list->items = repalloc(list->items, list->capacity * sizeof(ContactRecord));
    }
    fill_record(&list->items[list->count++], group, values + 1, nulls + 1);
}

static void
run(SPIPlanPtr plan, Datum ids, bool is_read_only, Contact **by_id, int count, ContactGroup group,
    RowReader read)
{
    Datum values[MAX_COLUMNS];
    bool nulls[MAX_COLUMNS];
    int result = SPI_execute_plan(plan, &ids, NULL, is_read_only, 0);

    if (result != SPI_OK_SELECT)
        elog(ERROR, "could not read contacts: %s", SPI_result_code_string(result));
    for (uint64 i = 0; i < SPI_processed; i++) {
        CHECK_FOR_INTERRUPTS();
        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
        read(count == 1 ? by_id[0] : find_contact(by_id, count, DatumGetUUIDP(values[0])), group,
             values, nulls);
    }
}

void
contact_load(Contact *contacts, int count, ContactParts parts, bool is_read_only)
{
    Contact **by_id = palloc(count * sizeof(Contact *));
    bool many = count > 1;
    Datum ids;

    if (count == 0)
        return;
    for (int i = 0; i < count; i++) {
        pg_uuid_t email_id = contacts[i].email_id;

        contact_init(&contacts[i]);
        contacts[i].email_id = email_id;
        by_id[i] = &contacts[i];
    }
    qsort(by_id, count, sizeof(Contact *), compare_contact_pointers);
    ids = id_parameter(by_id, count);
    run(contact_sql_load_rows(many), ids, is_read_only, by_id, count, GROUP_EMAIL, read_rows);
    if (parts == CONTACT_ROWS)
        return;
    for (ContactGroup group = GROUP_NEWSLETTERS; group <= GROUP_WAITLISTS; group++) {
        run(contact_sql_load_list(group, many), ids, is_read_only, by_id, count, group, read_item);
        for (int i = 0; i < count; i++)
            contact_list_sort(contact_list(&contacts[i], group));
    }
}

bool
contact_load_one(Contact *contact, const pg_uuid_t *email_id, bool is_read_only)
{
    contact->email_id = *email_id;
    contact_load(contact, 1, CONTACT_ALL, is_read_only);
    return contact->rows[GROUP_EMAIL].exists;
}
