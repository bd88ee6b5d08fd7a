/*
 * base/settings_rules.c: the table of settings, and the texts of their values; see
 * settings_rules.h. A new setting needs a row here and its place in settings.h, nothing else.
 */
#include "extension/base/compat.h"

#include "common/int.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "extension/base/settings_rules.h"

#define ONE_SECOND INT64CONST(1000)
#define ONE_MINUTE (60 * ONE_SECOND)
#define ONE_HOUR (60 * ONE_MINUTE)
#define ONE_DAY (24 * ONE_HOUR)

const SettingRule settings_rules[SETTING_COUNT] = {
    [SETTING_ACOUSTIC_DELETIONS] =
        {"acoustic_deletions", SETTING_SWITCH, 0, 0, 1, false,
         "Whether deletions are carried to Acoustic: deleted contacts, and removed newsletters, "
         "waitlists and products."},
    [SETTING_ACOUSTIC_HISTORY_AGE] =
        {"acoustic_history_age", SETTING_DURATION, 30 * ONE_DAY, 0, 36500 * ONE_DAY, false,
         "How long it is kept what became of attempts to send a contact. Zero keeps nothing."},
    [SETTING_ACOUSTIC_HISTORY_ROWS] =
        {"acoustic_history_rows", SETTING_NUMBER, 1000000, 1000, INT64CONST(1000000000), false,
         "How many rows the history has at most. The oldest are removed first."},
    [SETTING_ACOUSTIC_HISTORY_SENT] =
        {"acoustic_history_sent", SETTING_SWITCH, 0, 0, 1, false,
         "Whether the history also has the contacts that were sent, not only failures and "
         "deletions."},
    [SETTING_ACOUSTIC_RETRY_DELAY] =
        {"acoustic_retry_delay", SETTING_DURATION, 10 * ONE_SECOND, 0, 15 * ONE_MINUTE, false,
         "How long a contact waits after its first failed attempt to send it. Each further failure "
         "doubles the wait, up to 15 minutes; each wait varies by half."},
    [SETTING_ACOUSTIC_SKIP_UNCHANGED] =
        {"acoustic_skip_unchanged", SETTING_SWITCH, 0, 0, 1, false,
         "Whether contacts are sent only when Acoustic would learn something. Hashes of what was "
         "last sent are kept in ctms.acoustic_sent."},
    [SETTING_DIRECT_ACCESS] =
        {"direct_access", SETTING_SWITCH, 1, 0, 1, true,
         "Whether contacts and the queue are read and written below the executor. When it is off, "
         "everything is done by SQL, more slowly: for extensions that watch the executor, such as "
         "those for audits. Only the owner of the extension may change it."},
    [SETTING_STRIPE_REFUSED_AGE] = {"stripe_refused_age", SETTING_DURATION, 30 * ONE_DAY, ONE_HOUR,
                                    36500 * ONE_DAY, false,
                                    "How long refused Stripe objects are kept."},
};

/* Words of settings and of intervals. The first of each size is the one that is written. */
static const struct {
    const char *name;
    int64 size;
} units[] = {
    {"d", ONE_DAY},      {"day", ONE_DAY},       {"days", ONE_DAY},
    {"h", ONE_HOUR},     {"hour", ONE_HOUR},     {"hours", ONE_HOUR},
    {"min", ONE_MINUTE}, {"minute", ONE_MINUTE}, {"minutes", ONE_MINUTE},
    {"s", ONE_SECOND},   {"second", ONE_SECOND}, {"seconds", ONE_SECOND},
    {"ms", 1},
};

int
settings_rules_find(const char *name)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(name, settings_rules[i].name) == 0)
            return i;
    return -1;
}

static bool
read_number(const char *text, int64 *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static bool
read_duration(const char *text, int64 *value)
{
    char *end;
    int64 number;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (end == text || errno != 0)
        return false;
    while (*end == ' ')
        end++;
    *value = 0;
    if (*end == '\0')
        return number == 0; /* other numbers need a unit */
    for (size_t i = 0; i < lengthof(units); i++)
        if (pg_strcasecmp(end, units[i].name) == 0)
            return !pg_mul_s64_overflow(number, units[i].size, value);
    return false;
}

bool
settings_rules_read(const SettingRule *rule, const char *text, int64 *value)
{
    bool is_on;

    switch (rule->type) {
    case SETTING_SWITCH:
        if (!parse_bool(text, &is_on))
            return false;
        *value = is_on;
        return true;
    case SETTING_DURATION:
        return read_duration(text, value) && *value >= rule->least && *value <= rule->most;
    case SETTING_NUMBER:
        return read_number(text, value) && *value >= rule->least && *value <= rule->most;
    }
    return false;
}

char *
settings_rules_write(const SettingRule *rule, int64 value)
{
    if (rule->type == SETTING_SWITCH)
        return pstrdup(value ? "on" : "off");
    if (rule->type == SETTING_NUMBER)
        return psprintf(INT64_FORMAT, value);
    if (value == 0)
        return pstrdup("0");
    for (size_t i = 0; i < lengthof(units); i++)
        if (value % units[i].size == 0)
            return psprintf(INT64_FORMAT "%s", value / units[i].size, units[i].name);
    pg_unreachable();
}

const char *
settings_rules_type_name(const SettingRule *rule)
{
    switch (rule->type) {
    case SETTING_SWITCH: return "boolean";
    case SETTING_DURATION: return "duration";
    case SETTING_NUMBER: return "number";
    }
    return "";
}

void
settings_rules_refuse_name(const char *name)
{
    StringInfoData names;

    initStringInfo(&names);
    for (int i = 0; i < SETTING_COUNT; i++)
        appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", settings_rules[i].name);
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("there is no setting \"%s\"", name), errhint("Settings are %s.", names.data));
}

void
settings_rules_refuse_value(const SettingRule *rule)
{
    if (rule->type == SETTING_SWITCH)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("invalid value of setting \"%s\"", rule->name),
                errdetail("It must be on or off."));
    if (rule->type == SETTING_NUMBER)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("invalid value of setting \"%s\"", rule->name),
                errdetail("It must be a whole number from %s to %s.",
                          settings_rules_write(rule, rule->least),
                          settings_rules_write(rule, rule->most)));
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("invalid value of setting \"%s\"", rule->name),
            errdetail("It must be a whole number with a unit, from %s to %s.",
                      settings_rules_write(rule, rule->least),
                      settings_rules_write(rule, rule->most)),
            errhint("Units are d, h, min, s and ms, or words such as in \"30 days\"."));
}
