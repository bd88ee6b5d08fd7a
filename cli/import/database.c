/*
 * import/database.c: reads the tables of an older database from one snapshot.
 *
 * It only reads: its transaction is READ ONLY, and takes no locks but those of a SELECT. Only
 * columns that our tables have are read; others are ignored.
 */
#include "cli/import/database.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

#define CONNECT_TIMEOUT_S "10"

struct older_database {
    PGconn *db;
    char *schema;
    bool is_unchecked; /* its texts may be anything: its encoding is SQL_ASCII */
};

/* Reports an error of the source without its details, which may contain personal data. */
static bool
report(struct import *import, const PGresult *result, const char *what)
{
    struct older_database *from = import->from;
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (!message)
        message = PQerrorMessage(from->db);
    progress_clear();
    output_error(import->cli, PQstatus(from->db) == CONNECTION_OK ? CLI_FAILED : CLI_UNAVAILABLE,
                 "%s: %.*s", what, (int)strcspn(message, "\n"), message);
    return false;
}

static void
close_source(struct import *import)
{
    struct older_database *from = import->from;

    if (!from)
        return;
    PQfinish(from->db);
    free(from->schema);
    free(from);
    import->from = NULL;
}

static PGresult *
query(struct import *import, const char *sql, int count, const char *const *parameters)
{
    struct older_database *from = import->from;
    PGresult *result = PQexecParams(from->db, sql, count, NULL, parameters, NULL, NULL, 0);

    if (database_is_ok(result))
        return result;
    report(import, result, "could not read the source");
    PQclear(result);
    return NULL;
}

/* Finds the columns that both the source's table and ours have, as SQL; none if the source has no
 * such table. */
static bool
common_columns(struct import *import, struct import_rows *rows, size_t table, buf *columns)
{
    struct older_database *from = import->from;
    const char *parameters[] = {from->schema, import_tables[table].name};
    PGresult *result =
        query(import,
              "SELECT a.attname, quote_ident(a.attname) FROM pg_class AS c "
              "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
              "JOIN pg_attribute AS a ON a.attrelid = c.oid "
              "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
              "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
              2, parameters);

    if (!result)
        return false;
    for (int row = 0; row < PQntuples(result); row++)
        if (import_take_column(import, rows, table, PQgetvalue(result, row, 0)))
            buf_printf(columns, "%s%s", columns->length > 0 ? ", " : "",
                       PQgetvalue(result, row, 1));
    PQclear(result);
    return import->cli->status == CLI_OK;
}

/* Reports that the COPY of the source has failed, and where: rows come one after the other, so it
 * was the one after those that were read. */
static bool
report_row(struct import *import, const struct import_rows *rows, size_t table,
           const PGresult *result)
{
    char what[256];

    snprintf(what, sizeof(what), "could not read row %lld of table \"%s\" (ORDER BY %s)",
             rows->read + 1, import_tables[table].name, import_tables[table].order);
    return report(import, result, what);
}

/* Copies row by row from the COPY of the source to our COPY. */
static bool
pump(struct import *import, struct import_rows *rows, size_t table)
{
    struct older_database *from = import->from;
    char *row = NULL;
    bool is_going = true;
    int length = 0;
    PGresult *result;

    while (is_going && (length = PQgetCopyData(from->db, &row, 0)) > 0) {
        import_rows_begin(rows, rows->read + 1);
        import_rows_put_all(rows, row, (size_t)length - 1);
        PQfreemem(row);
        is_going = import_rows_end(rows);
        if (rows->read % 1000 == 0)
            progress_show("%s: %lld rows read", import_tables[table].name, rows->read);
    }
    if (!is_going)
        return false;
    result = PQgetResult(from->db);
    if (length == -1 && database_is_ok(result)) {
        PQclear(result);
        PQclear(PQgetResult(from->db));
        return true;
    }
    report_row(import, rows, table, result);
    PQclear(result);
    return false;
}

static bool
copy_table(struct import *import, struct import_rows *rows, size_t table, const char *columns)
{
    struct older_database *from = import->from;
    char *schema = PQescapeIdentifier(from->db, from->schema, strlen(from->schema));
    buf sql = BUF_INIT;
    PGresult *result;
    bool is_ok;

    buf_printf(&sql, "COPY (SELECT %s FROM %s.%s ORDER BY %s) TO STDOUT", columns,
               schema ? schema : "", import_tables[table].name, import_tables[table].order);
    result = PQexec(from->db, buf_text(&sql));
    is_ok = PQresultStatus(result) == PGRES_COPY_OUT || report_row(import, rows, table, result);
    is_ok = import_end_rows(import, rows, table, is_ok && pump(import, rows, table));
    PQclear(result);
    PQfreemem(schema);
    buf_free(&sql);
    return is_ok;
}

static bool
stage_table(struct import *import, size_t table)
{
    struct older_database *from = import->from;
    struct import_rows rows;
    buf columns = BUF_INIT;
    bool is_ok;

    import_begin_rows(import, &rows, table, import_tables[table].name);
    rows.is_checked = !from->is_unchecked;
    is_ok = common_columns(import, &rows, table, &columns);
    if (is_ok && columns.length > 0)
        is_ok = copy_table(import, &rows, table, buf_text(&columns));
    import_rows_free(&rows);
    buf_free(&columns);
    return is_ok;
}

static const struct import_source source = {.stage = stage_table, .close = close_source};

bool
import_database_open(struct import *import, const char *url, const char *schema)
{
    static const char *const names[] = {"connect_timeout", "fallback_application_name", "dbname",
                                        "client_encoding", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, "ctms import", url, "UTF8", NULL};
    struct older_database *from = xcalloc(1, sizeof(*from));
    const char *encoding;
    PGresult *result;
    bool is_ok;

    import->source = &source;
    import->from = from;
    from->schema = xstrdup(schema);
    from->db = PQconnectdbParams(names, values, 1);
    if (PQstatus(from->db) != CONNECTION_OK)
        return report(import, NULL, "could not connect to the source");
    /* The server would end a COPY at the first text that is not UTF-8; we can say which ones. */
    encoding = PQparameterStatus(from->db, "server_encoding");
    from->is_unchecked = encoding && strcmp(encoding, "SQL_ASCII") == 0;
    if (from->is_unchecked && PQsetClientEncoding(from->db, encoding) != 0)
        return report(import, NULL, "could not read the source");
    result = PQexec(from->db,
                    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
                    "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET search_path = pg_catalog; "
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    is_ok = database_is_ok(result) || report(import, result, "could not read the source");
    PQclear(result);
    return is_ok;
}
