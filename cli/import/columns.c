/* import/columns.c: the columns that a source gives to a temporary table; see import.h. */
#include "cli/import/import.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "common/buf.h"

/* True if the column is in the SQL array of the table's keys. */
static bool
is_key(const struct import_table *table, const char *column)
{
    size_t length = strlen(column);
    const char *found = strstr(table->keys, column);

    return found && strchr("{,", found[-1]) && strchr(",}", found[length]);
}

bool
import_take_column(struct import *import, struct import_rows *rows, size_t table,
                   const char *column)
{
    struct import_count *count = &import->counts[table];
    const char *parameters[] = {import_tables[table].name, column};
    PGresult *result = database_query(
        import->cli,
        "SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = ('pg_temp.import_' || $1)::regclass "
        "AND attnum > 0 AND attname = $2 AND attname NOT IN ('import_origin', 'import_line')",
        2, parameters);
    bool is_known = result && PQntuples(result) == 1;
    buf given = BUF_INIT;

    if (is_known) {
        import_rows_add_column(rows, column, PQgetvalue(result, 0, 0),
                               is_key(&import_tables[table], column));
        /* Now it is "{a,b"; close_given() adds the bracket. A column of several files may be there
         * twice, which does no harm. */
        buf_printf(&given, "%s%s%s", count->given ? count->given : "{", count->given ? "," : "",
                   column);
        free(count->given);
        count->given = buf_steal(&given);
    }
    PQclear(result);
    return is_known;
}

void
import_begin_rows(struct import *import, struct import_rows *rows, size_t table, const char *origin)
{
    buf staged = BUF_INIT;

    buf_printf(&staged, "import_%s", import_tables[table].name);
    import_rows_init(rows, &import->refusals, buf_text(&staged),
                     import_refusals_add_origin(&import->refusals, origin, table));
    buf_free(&staged);
    rows->is_referred = table == 0 || strcmp(import_tables[table].keys, "{stripe_id}") == 0;
}

bool
import_end_rows(struct import *import, struct import_rows *rows, size_t table, bool is_going)
{
    is_going = is_going && import_rows_finish(rows);
    import->counts[table].read += rows->read;
    import->counts[table].is_found = true;
    return is_going && import->cli->status == CLI_OK;
}
