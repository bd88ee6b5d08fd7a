/*
 * doctor/parts.c: what somebody has added to the extension's tables, and what is missing of them;
 * see doctor.h. Dumps leave all of it out: better known before a restore than after it.
 */
#include "cli/doctor/doctor.h"

#include "common/buf.h"
#include "common/include_file.h"
#include "common/version.h"

INCLUDE_FILE(parts_sql, "cli/doctor/parts.sql");

/* Names of parts in one line. */
#define NAMED_PARTS 4

#define OWN_PARTS "See \"Own columns, indexes and triggers\" in docs/operations.md."

/* Columns of parts.sql. */
enum { IS_THERE, LOSES_ROWS, RELATION, KIND, NAME };

static bool
is_true(const PGresult *result, int row, int column)
{
    return *PQgetvalue(result, row, column) == 't';
}

/* The parts of one sort, in one line. Returns how many there are. */
static int
list_parts(const PGresult *result, bool is_there, bool loses_rows, buf *list)
{
    int count = 0;

    for (int row = 0; row < PQntuples(result); row++) {
        if (is_true(result, row, IS_THERE) != is_there ||
            is_true(result, row, LOSES_ROWS) != loses_rows)
            continue;
        if (++count <= NAMED_PARTS)
            buf_printf(list, "%s%s %s of %s", count > 1 ? ", " : "", PQgetvalue(result, row, KIND),
                       PQgetvalue(result, row, NAME), PQgetvalue(result, row, RELATION));
    }
    if (count > NAMED_PARTS)
        buf_printf(list, ", and %d more", count - NAMED_PARTS);
    return count;
}

static void
report_parts(struct doctor *d, const PGresult *result)
{
    buf fatal = BUF_INIT;
    buf added = BUF_INIT;
    buf missing = BUF_INIT;

    if (list_parts(result, true, true, &fatal) > 0)
        doctor_warn(d, OWN_PARTS, "a restored database would lack the rows of tables: %s",
                    buf_text(&fatal));
    if (list_parts(result, true, false, &added) > 0)
        doctor_warn(d, OWN_PARTS, "left out of dumps: %s", buf_text(&added));
    if (list_parts(result, false, false, &missing) > 0) {
        buf advice = BUF_INIT;

        buf_printf(&advice, "Make as the file ctms--%s.sql of the installation does.",
                   CTMS_OBJECTS_VERSION);
        doctor_warn(d, buf_text(&advice), "missing, but made by a restore: %s", buf_text(&missing));
        buf_free(&advice);
    }
    buf_free(&fatal);
    buf_free(&added);
    buf_free(&missing);
}

void
doctor_check_dumps(struct doctor *d)
{
    PGresult *result;

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    result = doctor_query(d, NULL, parts_sql);
    if (result && PQntuples(result) > 0)
        report_parts(d, result);
    else if (result)
        doctor_ok(d, "the tables are as the extension makes them");
    PQclear(result);
}
