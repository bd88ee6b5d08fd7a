/* find_contact.c: see find_contact.h. */
#include "cli/find_contact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "common/include_file.h"

INCLUDE_FILE(find_sql, "cli/find_contact.sql");
_Static_assert(FIND_CONTACT_MAX == 100, "find_contact.sql finds one more");

bool
find_contact_read_id(const char *text, char email_id[ID_LENGTH + 1])
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
    char email_id[ID_LENGTH + 1];
    const char *parameters[] = {text, find_contact_read_id(text, email_id) ? email_id : NULL};
    PGresult *rows = database_query(cli, find_sql, 2, parameters);

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

/*
 * Addresses that stand beside the text in the index. Whoever may look for a contact may read all
 * addresses.
 */
#define NEAR_SQL(order, compare)                                                                   \
    "(SELECT primary_email FROM ctms.emails WHERE lower(primary_email::text) " compare             \
    " lower(btrim($1)) ORDER BY lower(primary_email::text) " order " LIMIT 50)"

int
find_contact_report_none(struct cli *cli, const char *text)
{
    const char *parameters[] = {text};
    PGresult *rows = database_query(cli, NEAR_SQL("ASC", ">=") " UNION ALL " NEAR_SQL("DESC", "<"),
                                    1, parameters);
    near_names near;

    if (!rows)
        return cli->status;
    near_begin(&near, text);
    near_offer_rows(&near, rows);
    PQclear(rows);
    output_error(cli, CLI_NOT_FOUND, "no contact has the address or id \"%s\"%s", text,
                 near_question(&near));
    fputs("  hint: a deleted contact is known by its email_id only\n", stderr);
    return cli->status;
}
