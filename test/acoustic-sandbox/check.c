/*
 * check.c: the rules for rows; see check.h.
 */
#include "test/acoustic-sandbox/check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool
refuse(struct problem *problem, const char *errorid, bool is_address, const char *text,
       const char *column)
{
    *problem = (struct problem){.errorid = errorid, .is_address = is_address};
    snprintf(problem->text, sizeof(problem->text), "%s%s", text, column);
    return false;
}

static bool
is_address(const char *text)
{
    const char *at = strchr(text, '@');

    if (at == NULL || at == text || strchr(at + 1, '@') != NULL || strchr(at + 1, '.') == NULL)
        return false;
    for (; *text != '\0'; text++) {
        if (isspace((unsigned char)*text) || iscntrl((unsigned char)*text))
            return false;
    }
    return true;
}

bool
check_recipient(const char *email_id, const struct row *columns, struct problem *problem)
{
    const char *address = row_get(columns, "email");

    if (email_id == NULL || *email_id == '\0')
        return refuse(problem, "211", false, "Unique key values are missing", "");
    if (address == NULL || *address == '\0')
        return refuse(problem, "121", true, "No EMAIL", "");
    if (!is_address(address))
        return refuse(problem, "121", true, "Email Address Is Invalid.", "");
    return true;
}

bool
check_keys(enum table table, const struct row *row, struct problem *problem)
{
    const char *email_id = row_get(row, "email_id");
    const char *key = row_get(row, store_table_keys[table]);

    if (email_id == NULL || *email_id == '\0' || key == NULL || *key == '\0')
        return refuse(problem, "", false, "All key columns are not present", "");
    return true;
}

/* Accepts MM/DD/YYYY HH:MM:SS or empty text; a date without a time is refused. */
static bool
is_timestamp(const char *text)
{
    static const char pattern[] = "00/00/0000 00:00:00";
    size_t i;

    for (i = 0; text[i] != '\0' && pattern[i] != '\0'; i++) {
        if (pattern[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != pattern[i])
            return false;
    }
    return i == 0 || (text[i] == '\0' && pattern[i] == '\0');
}

bool
check_timestamps(const struct row *row, struct problem *problem)
{
    static const char *const columns[] = {
        "create_timestamp",     "update_timestamp",   "changed",     "created", "start",
        "current_period_start", "current_period_end", "canceled_at", "ended_at"};

    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
        const char *value = row_get(row, columns[i]);

        if (value != NULL && !is_timestamp(value))
            return refuse(problem, "", false, "Invalid Date Value in column:\n", columns[i]);
    }
    return true;
}
