/*
 * contact/load.c: reads contacts: a single one below the executor where the tables allow it
 * (contact/direct.c), otherwise with three statements, the same for one and for many.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"
#include "extension/contact/direct.h"
#include "extension/contact/load.h"
#include "extension/contact/sql.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* email_id, and for each one-row group a flag, fields, two timestamps */
#define MAX_COLUMNS (1 + CONTACT_ROW_GROUPS * (CONTACT_MAX_FIELDS + 3))

/* Fields and timestamps, as append_columns() of contact/sql.c orders them. */
static void
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
}

static void
read_record(Contact *contact, ContactGroup group, const Datum *values, const bool *nulls)
{
    ContactRecord *record = group < CONTACT_ROW_GROUPS
                                ? &contact->rows[group]
                                : contact_list_extend(&contact->lists[group]);

    fill_record(record, group, values, nulls);
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

/* ---- by statements ----------------------------------------------------------------- */

/*
 * Reads a row of contact_sql_load_rows(). Before each group there is a flag that tells whether
 * its row exists.
 */
static void
read_joined(Contact *contact, const Datum *values, const bool *nulls)
{
    int column = 1;

    for (ContactGroup group = 0; group < CONTACT_ROW_GROUPS; group++) {
        if (DatumGetBool(values[column]))
            read_record(contact, group, values + column + 1, nulls + column + 1);
        column += CONTACT_ROW_COLUMNS(&contact_groups[group]);
    }
}

typedef struct Statements {
    Contact **by_id;
    int count;
    Datum ids;
    bool is_read_only;
    MemoryContext result; /* rows are copied to this context */
} Statements;

static void
run(const Statements *statements, SPIPlanPtr plan, ContactGroup group)
{
    Datum values[MAX_COLUMNS];
    bool nulls[MAX_COLUMNS];
    Datum ids = statements->ids;
    uint64 count = kept_plan_execute(plan, &ids, NULL, statements->is_read_only, SPI_OK_SELECT);
    MemoryContext caller = MemoryContextSwitchTo(statements->result);

    for (uint64 i = 0; i < count; i++) {
        HeapTuple row = heap_copytuple(SPI_tuptable->vals[i]);
        Contact *contact;

        CHECK_FOR_INTERRUPTS();
        heap_deform_tuple(row, SPI_tuptable->tupdesc, values, nulls);
        contact = statements->count == 1 ? statements->by_id[0]
                                         : find_contact(statements->by_id, statements->count,
                                                        DatumGetUUIDP(values[0]));
        if (group < CONTACT_ROW_GROUPS)
            read_joined(contact, values, nulls);
        else
            read_record(contact, group, values + 1, nulls + 1);
    }
    MemoryContextSwitchTo(caller);
}

static void
read_by_statements(Contact **by_id, int count, ContactGroup last, bool is_read_only)
{
    bool many = count > 1;
    Statements statements = {.by_id = by_id,
                             .count = count,
                             .ids = id_parameter(by_id, count),
                             .is_read_only = is_read_only,
                             .result = CurrentMemoryContext};

    SPI_connect();
    run(&statements, contact_sql_load_rows(many), GROUP_EMAIL);
    for (ContactGroup group = GROUP_NEWSLETTERS; group <= last; group++)
        run(&statements, contact_sql_load_list(group, many), group);
    SPI_finish();
}

/* ---- either way ---------------------------------------------------------------------- */

/*
 * What is read as of now includes what this transaction has just done, like in a statement that is
 * started now.
 */
static bool
read_directly(Contact *contact, ContactGroup last, bool is_read_only)
{
    bool is_done;

    if (is_read_only)
        return contact_direct_read(contact, last, GetActiveSnapshot(), read_record);
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    is_done = contact_direct_read(contact, last, GetActiveSnapshot(), read_record);
    PopActiveSnapshot();
    return is_done;
}

/*
 * Finishes the contacts after everything is read: groups without a row get their defaults, and
 * lists are sorted.
 */
static void
complete(Contact *contact)
{
    for (ContactGroup group = 0; group < CONTACT_ROW_GROUPS; group++)
        if (!contact->rows[group].exists)
            contact_record_init(&contact->rows[group], group);
    for (int group = CONTACT_ROW_GROUPS; group < CONTACT_STORED_GROUPS; group++)
        contact_list_sort(&contact->lists[group]);
}

void
contact_load(Contact *contacts, int count, ContactParts parts, bool is_read_only)
{
    ContactGroup last = parts == CONTACT_ROWS ? GROUP_MOFO : GROUP_WAITLISTS;
    Contact **by_id = palloc(count * sizeof(Contact *));

    if (count == 0)
        return;
    for (int i = 0; i < count; i++) {
        memset(contacts[i].rows, 0, sizeof(Contact) - offsetof(Contact, rows));
        by_id[i] = &contacts[i];
    }
    if (count > 1)
        qsort(by_id, count, sizeof(Contact *), compare_contact_pointers);
    if (count > 1 || !read_directly(contacts, last, is_read_only))
        read_by_statements(by_id, count, last, is_read_only);
    for (int i = 0; i < count; i++)
        complete(&contacts[i]);
}

bool
contact_load_one(Contact *contact, const pg_uuid_t *email_id, bool is_read_only)
{
    contact->email_id = *email_id;
    contact_load(contact, 1, CONTACT_ALL, is_read_only);
    return contact->rows[GROUP_EMAIL].exists;
}
