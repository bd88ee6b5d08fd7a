/* contact.c: answers about contacts that need more than one value of the result; see contact.h. */
#include "rest/contact.h"

#include <string.h>

/* Columns: contact, is_created, email_id. */
void
contact_answer_created(exchange *ex, const PGresult *result)
{
    bool is_created = PQgetvalue(result, 0, 1)[0] == 't';
    buf header = BUF_INIT;

    buf_printf(&header, "Location: /ctms/%s\r\n", PQgetvalue(result, 0, 2));
    exchange_answer(ex, is_created ? 201 : 200, buf_text(&header), "application/json",
                    PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    buf_free(&header);
}

/* The value is null when there was no such contact. */
void
contact_answer_deleted(exchange *ex, const PGresult *result)
{
    buf detail = BUF_INIT;

    if (!PQgetisnull(result, 0, 0)) {
        exchange_answer_json(ex, 200, PQgetvalue(result, 0, 0));
        return;
    }
    buf_printf(&detail, "email %s not found!", ex->path_value.data);
    exchange_answer_detail(ex, 404, buf_text(&detail));
    buf_free(&detail);
}
