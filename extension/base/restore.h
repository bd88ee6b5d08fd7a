/*
 * base/restore.h: is this session restoring a dump?
 *
 * The triggers of ctms ask this first. During a restore rows are stored as they are: nothing is
 * enqueued or validated, and no timestamp is changed.
 */
#ifndef CTMS_BASE_RESTORE_H
#define CTMS_BASE_RESTORE_H

#include "postgres.h"

/*
 * True when the user of the session is a superuser or a member of ctms_admin, and the setting
 * ctms.restore_mode is either "on", or "auto" (its default) while the session has the settings
 * that every output of pg_dump and pg_restore begins with. Cheap enough to call for every row.
 */
extern bool restore_is_running(void);

/* Defines ctms.restore_mode; called once, by _PG_init. */
extern void restore_init(void);

#endif
