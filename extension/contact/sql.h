/*
 * contact/sql.h: the statements about contact tables, made from the table of fields and
 * prepared once in a session. All need an SPI connection.
 */
#ifndef CTMS_CONTACT_SQL_H
#define CTMS_CONTACT_SQL_H

#include "postgres.h"

#include "extension/contact/contact.h"

#include "executor/spi.h"

/*
 * The row of emails and those of the other one-row groups, side by side: email_id, then for each
 * group whether it has a row, its fields and timestamps. $1 is a uuid, or a uuid[] for `many`.
 */
extern SPIPlanPtr contact_sql_load_rows(bool many);
/* email_id, then the fields and timestamps of the items of a list. $1 as above. */
extern SPIPlanPtr contact_sql_load_list(ContactGroup group, bool many);
#define CONTACT_ROW_COLUMNS(spec) ((spec)->field_count + 3)

/* $1 email_id, then one parameter for each field. Does nothing on a conflict. */
extern SPIPlanPtr contact_sql_insert_row(ContactGroup group);
/* $1 email_id, $2 a bit for each field to set, then one parameter for each field. */
extern SPIPlanPtr contact_sql_update_row(ContactGroup group);
/* $1 email_id */
extern SPIPlanPtr contact_sql_delete_row(ContactGroup group);

/*
 * $1 email_id, then one array for each field. Does nothing for an item that conflicts. A contact
 * that this transaction has made is new: nobody else can have added items, so none are looked for.
 */
extern SPIPlanPtr contact_sql_insert_items(ContactGroup group, bool is_new);
/* $1 email_id, $2 an array of bits for each field to set, then one array for each field. */
extern SPIPlanPtr contact_sql_update_items(ContactGroup group);
/* $1 email_id, $2 array of names */
extern SPIPlanPtr contact_sql_delete_items(ContactGroup group);

/* Type of a field as a parameter, and of an array of it. */
extern Oid contact_sql_type(const ContactField *field);
extern Oid contact_sql_array_type(const ContactField *field);

#endif
