/* find_contact.c: see find_contact.h. */
#include "cli/find_contact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"

/* One row for each name that leads to a contact; they are looked up in the order of `place`. */
#define LOOK(place, name, from, condition)                                                         \
    "(SELECT " place ", '" name "', c.email_id, false FROM " from " WHERE " condition              \
    " LIMIT " LIMIT_SQL ")"
#define LIMIT_SQL "101"
_Static_assert(FIND_CONTACT_MAX == 100, "one less than LIMIT_SQL");

/*
 * $1: the text. $2: the same as a UUID in its canonical form, or null. The casts hold for every
 * type that an administrator gives a column. Tokens are stored in the canonical form of UUIDs.
 */
#define NAMES_SQL                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                \
    LOOK("1", "primary_email", "ctms.emails AS c", "lower(c.primary_email::text) = lower($1)")                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   \
    " UNION ALL " LOOK("2",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      \
                       "email_id", "ctms.emails AS c", "c.email_id = $2::uuid") " UNION "                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        \
                                                                                "ALL " LOOK("3", "basket_token", "ctms.emails AS c", "c.basket_token::text = coalesce($2::text, $1)") " UNION ALL " LOOK("4",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    \
                                                                                                                                                                                                         "fxa_id", "ctms.fxa AS c", "c.fxa_id::text = $1") " UNION ALL " LOOK("5", "fxa_primary_email", "ctms.fxa AS c", "lower(c.primary_email::text) = lower($1)") " UNION ALL " LOOK("6",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     \
                                                                                                                                                                                                                                                                                                                                                                                        "amo_user_id",                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           \
                                                                                                                                                                                                                                                                                                                                                                                        "ctms.amo AS c", "c.user_id::text = $1") " UNION ALL " LOOK("7",                                                                                                                                                                                                                                                                                                                                                                                                                                                                         \
                                                                                                                                                                                                                                                                                                                                                                                                                                                    "mofo_email_id", "ctms.mofo AS c", "c.mofo_email_id::text = $1") " UNION ALL " LOOK("8",                                                                                                                                                                                                                                                                                                                                                                                     \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "mofo_contact_id", "ctms.mofo AS c", "c.mofo_contact_id::text = $1") " UNION ALL " LOOK("9", "sfdc_id", "ctms.emails AS c", "c.sfdc_id::text = $1") " UNION ALL " LOOK("10", "stripe_customer_id", "ctms.stripe_customer AS s JOIN ctms.fxa AS c USING (fxa_id)", "s.stripe_id::text = $1") " UNION ALL SELECT 2, 'email_id', d.email_id, true FROM ctms.acoustic_deleted_contact AS d " \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "WHERE d.is_to_send AND d.email_id = $2::uuid "                                              \
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "AND NOT EXISTS (SELECT FROM ctms.emails AS e WHERE e.email_id = d.email_id)"

/* An empty text matches nothing, whatever is stored. */
#define FIND_SQL                                                                                   \
    "SELECT email_id, string_agg(name, ', ' ORDER BY place), bool_or(is_deleted) "                 \
    "FROM (" NAMES_SQL ") AS found (place, name, email_id, is_deleted) WHERE $1::text <> '' "      \
    "GROUP BY email_id ORDER BY email_id LIMIT " LIMIT_SQL

bool
find_contact_read_id(const char *text, char email_id[37])
{
    size_t length = strlen(text);
    const char *end = text + length;
    size_t digits = 0;

    if (length >= 2 && text[0] == '{' && end[-1] == '}') {
        text++;
        end--;
    }
    for (; text < end; text++) {
        if (*text == '-' && digits > 0 && digits % 4 == 0 && text[-1] != '-')
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 32)
            return false;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            *email_id++ = '-';
        *email_id++ = (char)tolower((unsigned char)*text);
        digits++;
    }
    *email_id = '\0';
    return digits == 32 && end[-1] != '-';
}

bool
find_contact(struct cli *cli, const char *text, struct find_contact *found)
{
    char email_id[37];
    const char *parameters[] = {text, find_contact_read_id(text, email_id) ? email_id : NULL};
    PGresult *rows = database_query(cli, FIND_SQL, 2, parameters);

    found->count = 0;
    found->is_more = false;
    if (!rows)
        return false;
    for (int row = 0; row < PQntuples(rows) && row < FIND_CONTACT_MAX; row++) {
        struct find_contact_match *match = &found->matches[found->count++];

        snprintf(match->email_id, sizeof(match->email_id), "%s", PQgetvalue(rows, row, 0));
        snprintf(match->names, sizeof(match->names), "%s", PQgetvalue(rows, row, 1));
        match->is_deleted = *PQgetvalue(rows, row, 2) == 't';
    }
    found->is_more = PQntuples(rows) > FIND_CONTACT_MAX;
    PQclear(rows);
    return true;
}

int
find_contact_report_none(struct cli *cli, const char *text)
{
    (void)text;
    return output_error(cli, CLI_NOT_FOUND, "no contact has that name");
}
