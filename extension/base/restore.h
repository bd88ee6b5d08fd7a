/*
 * base/restore.h: is this session bringing back a dump?
 *
 * Triggers of ctms ask first: what a restore writes is stored as it is, so nothing is
 * enqueued, validated or given another timestamp.
 */
#ifndef CTMS_BASE_RESTORE_H
#define CTMS_BASE_RESTORE_H

#include "postgres.h"

/*
 * True when the setting ctms.restore_mode is "on", or is "auto" (its default) and the
 * session has the settings that every output of pg_dump and pg_restore begins with; and the
 * session's user is a superuser or a member of ctms_admin. Cheap enough for every row.
 */
extern bool restore_is_running(void);

/* Defines ctms.restore_mode; called once, by _PG_init. */
extern void restore_init(void);

#endif
