/*
 * base/settings_rules.h: names, types, defaults and limits of the settings, and their texts.
 */
#ifndef CTMS_BASE_SETTINGS_RULES_H
#define CTMS_BASE_SETTINGS_RULES_H

#include "extension/base/settings.h"

typedef enum SettingType { SETTING_SWITCH, SETTING_DURATION, SETTING_NUMBER } SettingType;

/* Values are 0 and 1, milliseconds, or numbers. */
typedef struct SettingRule {
    const char *name;
    SettingType type;
    int64 default_value;
    int64 least;
    int64 most;
    bool is_for_owner; /* only the owner of the table may set it */
    const char *description;
} SettingRule;

extern const SettingRule settings_rules[SETTING_COUNT];

/* The place of the name; -1 when there is no such setting. */
extern int settings_rules_find(const char *name);

/* False when the text is no value of the setting. Never raises an error. */
extern bool settings_rules_read(const SettingRule *rule, const char *text, int64 *value);

/* The one form of a value that is stored: on, off, a number, or a duration such as
 * 10min. */
extern char *settings_rules_write(const SettingRule *rule, int64 value);

/* "boolean", "duration" or "number". */
extern const char *settings_rules_type_name(const SettingRule *rule);

/* Raises an error (22023) that names the setting and what is allowed. */
extern _Noreturn void settings_rules_refuse_name(const char *name);
extern _Noreturn void settings_rules_refuse_value(const SettingRule *rule);

#endif
