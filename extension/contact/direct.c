/*
 * contact/direct.c: finds and reads contacts below the executor.
 *
 * A contact is a handful of rows in six tables, and each is found by one descent into an index.
 * Starting the executor costs several times as much as these descents, so here they are made
 * directly on the tables and indexes. Locks, snapshots and predicate locks are the same as those
 * of a statement.
 *
 * For all other cases contact/load.c and contact/find.c have statements that do the same in SQL.
 * test/t/120_contact_paths.pl checks that both give the same bytes.
 */
#include "extension/base/compat.h"

#include "extension/base/keyed_table.h"
#include "extension/contact/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation_d.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* ---- opening and closing --------------------------------------------------------- */

static void
close_tables(KeyedTable *tables, ContactGroup last)
{
    for (int group = 0; group <= (int)last; group++)
        keyed_table_close(&tables[group]);
}

static const ContactRelations *
open_tables(KeyedTable *tables, ContactGroup last)
{
    for (;;) {
        const ContactRelations *relations = contact_relations();

        if (relations == NULL)
            return NULL;
        for (int group = 0; group <= (int)last; group++)
            keyed_table_open(&tables[group],
                             table_open(relations->groups[group].table, AccessShareLock),
                             relations->groups[group].index, AccessShareLock);
        /* While we waited for a lock, the tables may have changed. */
        if (contact_relations_are_current())
            return relations;
        close_tables(tables, last);
    }
}

/* ---- reading ----------------------------------------------------------------------- */

static void
read_row(const KeyedTable *table, const ContactRelation *facts, ContactGroup group,
         Contact *contact, ContactRowReader read)
{
    HeapTuple row = ExecCopySlotHeapTuple(table->found);
    Datum columns[CONTACT_MAX_COLUMNS], values[CONTACT_MAX_WANTED];
    bool are_null[CONTACT_MAX_COLUMNS], nulls[CONTACT_MAX_WANTED];

    heap_deform_tuple(row, RelationGetDescr(table->relation), columns, are_null);
    for (int i = 0; i < facts->wanted_count; i++) {
        values[i] = columns[facts->wanted[i] - 1];
        nulls[i] = are_null[facts->wanted[i] - 1];
    }
    read(contact, group, values, nulls);
}

static void
read_rows(KeyedTable *table, const ContactRelation *facts, ContactGroup group, Contact *contact,
          Snapshot snapshot, ContactRowReader read)
{
    ScanKeyData key;

    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&contact->email_id));
    keyed_table_search(table, snapshot, &key);
    while (keyed_table_next(table))
        read_row(table, facts, group, contact, read);
}

static void
read_table(KeyedTable *table, const ContactRelation *facts, ContactGroup group, Contact **contacts,
           int count, Snapshot snapshot, ContactRowReader read)
{
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        /* When the contact was found by another id, its row has already been seen with the same
         * snapshot. */
        if (group == GROUP_EMAIL && ItemPointerIsValid(&contacts[i]->row_at) &&
            table_tuple_fetch_row_version(table->relation, &contacts[i]->row_at, snapshot,
                                          table->found)) {
            read_row(table, facts, group, contacts[i], read);
            continue;
        }
        /* A contact that does not exist has no rows in the other tables. */
        if (group != GROUP_EMAIL && !contacts[i]->rows[GROUP_EMAIL].exists)
            continue;
        read_rows(table, facts, group, contacts[i], snapshot, read);
    }
}

bool
contact_direct_read(Contact **contacts, int count, ContactGroup last, Snapshot snapshot,
                    ContactRowReader read)
{
    KeyedTable tables[CONTACT_STORED_GROUPS];
    const ContactRelations *relations = open_tables(tables, last);

    if (relations == NULL)
        return false;
    for (int group = 0; group <= (int)last; group++) {
        read_table(&tables[group], &relations->groups[group], group, contacts, count, snapshot,
                   read);
        keyed_table_close(&tables[group]);
    }
    return true;
}

/* ---- finding ------------------------------------------------------------------------- */

void
contact_found_add(ContactsFound *found, const pg_uuid_t *email_id, ItemPointer row_at)
{
    Contact *contact;

    if (found->contacts == NULL) {
        found->capacity = 1;
        found->contacts = palloc(sizeof(Contact));
    } else if (found->count == found->capacity) {
        found->capacity *= 2;
        found->contacts = repalloc_huge(found->contacts, found->capacity * sizeof(Contact));
    }
    contact = &found->contacts[found->count++];
    contact->email_id = *email_id;
    if (row_at != NULL)
        contact->row_at = *row_at;
    else
        ItemPointerSetInvalid(&contact->row_at);
}

static const ContactRelations *
open_by_id(KeyedTable *table, ContactId id)
{
    ContactGroup group = contact_ids[id].group;

    for (;;) {
        const ContactRelations *relations = contact_relations();

        if (relations == NULL || !OidIsValid(relations->by_id[id]))
            return NULL;
        keyed_table_open(table, table_open(relations->groups[group].table, AccessShareLock),
                         relations->by_id[id], AccessShareLock);
        if (contact_relations_are_current())
            return relations;
        keyed_table_close(table);
    }
}

static void
make_key(ScanKey key, ContactId id, Datum value)
{
    if (contact_ids[id].is_address)
        value = DirectFunctionCall1Coll(lower, DEFAULT_COLLATION_OID, value);
    ScanKeyEntryInitialize(key, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID,
                           id == ID_EMAIL_ID ? F_UUID_EQ : F_TEXTEQ, value);
}

bool
contact_direct_find(ContactId id, Datum value, Snapshot snapshot, ContactsFound *found)
{
    ContactGroup group = contact_ids[id].group;
    KeyedTable table;
    const ContactRelations *relations = open_by_id(&table, id);
    ScanKeyData key;

    if (relations == NULL)
        return false;
    make_key(&key, id, value);
    keyed_table_search(&table, snapshot, &key);
    while (keyed_table_next(&table)) {
        bool is_null;
        Datum email_id = slot_getattr(table.found, relations->groups[group].email_id, &is_null);

        CHECK_FOR_INTERRUPTS();
        if (!is_null)
            contact_found_add(found, DatumGetUUIDP(email_id),
                              group == GROUP_EMAIL ? &table.found->tts_tid : NULL);
    }
    keyed_table_close(&table);
    return true;
}
