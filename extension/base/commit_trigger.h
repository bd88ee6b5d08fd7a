/*
 * base/commit_trigger.h: has a trigger called when the transaction commits.
 */
#ifndef CTMS_BASE_COMMIT_TRIGGER_H
#define CTMS_BASE_COMMIT_TRIGGER_H

#include "postgres.h"

/*
 * Queues the trigger of a table that has one row and a trigger with that function of ours, AFTER
 * INSERT FOR EACH ROW, DEFERRABLE INITIALLY DEFERRED, without a condition. To be called within a
 * statement, by a trigger. Raises an error if the table is not like that.
 */
extern void commit_trigger_queue(Oid table, const char *function);

#endif
