/*
 * base/settings.h: the settings of the database, which are rows of ctms.settings.
 *
 * They are policy: the same for every session, and part of a dump. What a session may decide for
 * itself is a setting of PostgreSQL instead ("ctms.enqueue", for example).
 */
#ifndef CTMS_BASE_SETTINGS_H
#define CTMS_BASE_SETTINGS_H

#include "postgres.h"

/* In the order of base/settings_rules.c, which is that of their names. */
typedef enum Setting {
    SETTING_ACOUSTIC_DELETIONS,
    SETTING_ACOUSTIC_HISTORY_AGE,
    SETTING_ACOUSTIC_HISTORY_ROWS,
    SETTING_ACOUSTIC_HISTORY_SENT,
    SETTING_ACOUSTIC_RETRY_DELAY,
    SETTING_ACOUSTIC_SKIP_UNCHANGED,
    SETTING_DIRECT_ACCESS,
    SETTING_STRIPE_REFUSED_AGE
} Setting;

#define SETTING_COUNT (SETTING_STRIPE_REFUSED_AGE + 1)

/*
 * The value now: as the latest commit has left it, in every isolation level, or as this transaction
 * has. Cheap enough to call for every row. These fail only as any statement may (cancelled, out of
 * memory, and waiting for a locked table at their first call in a session): when the table cannot
 * be read, all settings have their defaults, and a warning says so.
 */
extern bool settings_is_on(Setting setting);
extern int64 settings_get_ms(Setting setting);
extern int64 settings_get_number(Setting setting);

/* The value in the form in which it is stored. */
extern char *settings_get_text(Setting setting);

/* Reads the table again, with a warning for each row that this version cannot use. */
extern void settings_warn_of_ignored(void);

/* Called once, by _PG_init. */
extern void settings_init(void);

#endif
