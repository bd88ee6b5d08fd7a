/*
 * base/drop_guard.h: no contacts lost by DROP EXTENSION.
 */
#ifndef CTMS_BASE_DROP_GUARD_H
#define CTMS_BASE_DROP_GUARD_H

/* Defines ctms.allow_drop and starts to watch drops; called once, by _PG_init. */
extern void drop_guard_init(void);

#endif
