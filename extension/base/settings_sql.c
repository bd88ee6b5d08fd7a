/*
 * base/settings_sql.c: what SQL calls of the settings: two functions, and the trigger that checks
 * what is written into ctms.settings. How the table is changed is in 56_settings.sql.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "extension/base/restore.h"
#include "extension/base/result_row.h"
#include "extension/base/settings.h"
#include "extension/base/settings_rules.h"
#include "extension/base/trigger_check.h"

PG_FUNCTION_INFO_V1(ctms_get_setting);
PG_FUNCTION_INFO_V1(ctms_list_settings);
PG_FUNCTION_INFO_V1(ctms__check_setting);

/* ctms.get_setting(name) → text */
Datum
ctms_get_setting(PG_FUNCTION_ARGS)
{
    const char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    int place = settings_rules_find(name);

    if (place < 0)
        settings_rules_refuse_name(name);
    PG_RETURN_TEXT_P(cstring_to_text(settings_get_text((Setting)place)));
}

/* ctms.list_settings() → name, value, default_value, type, min_value, max_value, description */
Datum
ctms_list_settings(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;

    InitMaterializedSRF(fcinfo, 0);
    settings_warn_of_ignored();
    for (int i = 0; i < SETTING_COUNT; i++) {
        const SettingRule *rule = &settings_rules[i];
        bool is_null[7] = {[4] = rule->type == SETTING_SWITCH, [5] = rule->type == SETTING_SWITCH};
        Datum row[7] = {
            CStringGetTextDatum(rule->name),
            CStringGetTextDatum(settings_get_text((Setting)i)),
            CStringGetTextDatum(settings_rules_write(rule, rule->default_value)),
            CStringGetTextDatum(settings_rules_type_name(rule)),
            CStringGetTextDatum(settings_rules_write(rule, rule->least)),
            CStringGetTextDatum(settings_rules_write(rule, rule->most)),
            CStringGetTextDatum(rule->description),
        };

        result_row_put(result, row, is_null, lengthof(row));
    }
    return (Datum)0;
}

/* ---- what is written ----------------------------------------------------------------------- */

static const TriggerUse check_use = {"ctms._check_setting",
                                     "BEFORE INSERT, UPDATE or DELETE for each row",
                                     {{TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE, TRIGGER_ON_ROWS}}};

typedef struct SettingColumns {
    TriggerState state;
    AttrNumber name;
    AttrNumber value;
} SettingColumns;

/* NULL when it is null. */
static char *
text_of(const TriggerData *trigger, HeapTuple row, AttrNumber column)
{
    bool is_null;
    Datum value = heap_getattr(row, column, RelationGetDescr(trigger->tg_relation), &is_null);

    return is_null ? NULL : TextDatumGetCString(value);
}

/* Also during a restore: what an auditor has decided is not for ctms_admin to change. */
static void
check_right(const TriggerData *trigger, const char *name)
{
    int place = name ? settings_rules_find(name) : -1;

    if (place >= 0 && settings_rules[place].is_for_owner &&
        !has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner))
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("permission denied for setting \"%s\"", name),
                errdetail("Only the owner of the extension may change it."));
}

/* The row with its value in the form in which it is stored. */
static HeapTuple
checked_row(const TriggerData *trigger, const SettingColumns *columns, HeapTuple row)
{
    char *name = text_of(trigger, row, columns->name);
    char *text = text_of(trigger, row, columns->value);
    int place = name ? settings_rules_find(name) : -1;
    int column = columns->value;
    bool is_null = false;
    char *stored;
    int64 value;
    Datum datum;

    if (name == NULL || text == NULL)
        return row; /* NOT NULL rejects the row */
    if (place < 0)
        settings_rules_refuse_name(name);
    if (!settings_rules_read(&settings_rules[place], text, &value))
        settings_rules_refuse_value(&settings_rules[place]);
    stored = settings_rules_write(&settings_rules[place], value);
    if (strcmp(stored, text) == 0)
        return row;
    datum = CStringGetTextDatum(stored);
    return heap_modify_tuple_by_cols(row, RelationGetDescr(trigger->tg_relation), 1, &column,
                                     &datum, &is_null);
}

/* Row trigger of ctms.settings. A restore stores rows as they are, those of newer versions too. */
Datum
ctms__check_setting(PG_FUNCTION_ARGS)
{
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    SettingColumns *columns = trigger_check(fcinfo, &check_use, sizeof(*columns));
    HeapTuple row = trigger->tg_trigtuple;

    if (!columns->state.is_ready) {
        columns->name = trigger_check_column(trigger, &check_use, "name", TEXTOID);
        columns->value = trigger_check_column(trigger, &check_use, "value", TEXTOID);
        columns->state.is_ready = true;
    }
    check_right(trigger, text_of(trigger, row, columns->name));
    if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)) {
        row = trigger->tg_newtuple;
        check_right(trigger, text_of(trigger, row, columns->name));
    }
    if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || restore_is_running())
        return PointerGetDatum(row);
    return PointerGetDatum(checked_row(trigger, columns, row));
}
