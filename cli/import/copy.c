/*
 * import/copy.c: the functions with which sources fill the temporary tables of an import; see
 * import.h.
 */
#include "cli/import/import.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

bool
import_take_column(struct import *import, size_t table, const char *column)
{
    struct import_count *count = &import->counts[table];
    const char *parameters[] = {import_tables[table].name, column};
    PGresult *result = database_query(
        import->cli,
        "SELECT FROM pg_attribute WHERE attrelid = ('pg_temp.import_' || $1)::regclass "
        "AND attnum > 0 AND attname = $2",
        2, parameters);
    bool is_known = result && PQntuples(result) == 1;
    buf given = BUF_INIT;

    PQclear(result);
    if (!is_known)
        return false;
    /* Now it is "{a,b"; close_given() adds the bracket. A column that is there twice does no
     * harm. */
    buf_printf(&given, "%s%s%s", count->given ? count->given : "{", count->given ? "," : "",
               column);
    free(count->given);
    count->given = buf_steal(&given);
    return true;
}

bool
import_copy_begin(struct import *import, size_t table, const char *columns, const char *options)
{
    buf sql = BUF_INIT;
    PGresult *result;
    bool is_ok;

    buf_printf(&sql, "COPY pg_temp.import_%s (%s) FROM STDIN %s", import_tables[table].name,
               columns, options);
    result = PQexec(import->cli->db, buf_text(&sql));
    is_ok = PQresultStatus(result) == PGRES_COPY_IN;
    if (!is_ok)
        database_report(import->cli, result, NULL);
    import->counts[table].is_found = true;
    PQclear(result);
    buf_free(&sql);
    return is_ok;
}

bool
import_copy_data(struct import *import, const char *data, size_t length)
{
    return PQputCopyData(import->cli->db, data, (int)length) == 1;
}

/* Reports the error of a row: message, row and column, but no value. */
static void
report_row(struct cli *cli, const char *table, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *place = context ? strstr(context, ", line ") : NULL;
    const char *value = message ? strstr(message, ": \"") : NULL;

    output_error(cli, CLI_FAILED, "table \"%s\" cannot be imported", table);
    if (!message || !state) {
        database_report(cli, result, NULL);
        return;
    }
    output_error(cli, CLI_FAILED, "%.*s (%s)",
                 (int)(value ? value - message : (long)strlen(message)), message, state);
    if (place)
        fprintf(stderr, "  at %.*s\n", (int)strcspn(place + 2, ":\n"), place + 2);
}

bool
import_copy_end(struct import *import, size_t table, const char *cause)
{
    struct cli *cli = import->cli;
    PGresult *result;
    bool is_ok = true;

    PQputCopyEnd(cli->db, cause);
    while ((result = PQgetResult(cli->db)) != NULL) {
        is_ok = is_ok && database_is_ok(result);
        if (database_is_ok(result)) {
            import->counts[table].read += strtoll(PQcmdTuples(result), NULL, 10);
        } else if (!cause) {
            progress_clear();
            report_row(cli, import_tables[table].name, result);
        }
        PQclear(result);
    }
    return is_ok && !cause;
}
