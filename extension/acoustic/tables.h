/*
 * acoustic/tables.h: the tables that are rendered must not be written anew meanwhile.
 */
#ifndef CTMS_ACOUSTIC_TABLES_H
#define CTMS_ACOUSTIC_TABLES_H

#include "postgres.h"

/*
 * Keeps ALTER TABLE from writing any of these tables anew until the transaction ends, and then
 * takes a new snapshot, which the caller pops. The snapshot of the calling statement is older than
 * our locks, and to a snapshot that is older than such an ALTER TABLE the table is empty: half a
 * contact would be sent.
 * False when there is one snapshot for the whole transaction, which stays.
 */
extern bool acoustic_tables_hold(void);

/*
 * After acoustic_tables_hold(): raises 40001 if one of the tables was altered after the active
 * snapshot was taken, in any way, because nothing tells whether it looks empty.
 */
extern void acoustic_tables_check(void);

#endif
