/*
 * base/drop_guard.h: keeps DROP EXTENSION from deleting contacts by accident, and our
 * schema and tables at their names.
 */
#ifndef CTMS_BASE_DROP_GUARD_H
#define CTMS_BASE_DROP_GUARD_H

/* Defines ctms.allow_drop and starts to watch. Called once, by _PG_init. */
extern void drop_guard_init(void);

#endif
