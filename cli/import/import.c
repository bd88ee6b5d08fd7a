/* import/import.c: runs one import from its first row to its report; see import.h. */
#include "cli/import/import.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/import/report.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"
#include "common/include_file.h"

INCLUDE_FILE(stage_sql, "cli/import/stage.sql");
INCLUDE_FILE(refuse_sql, "cli/import/refuse.sql");
INCLUDE_FILE(rules_sql, "cli/import/rules.sql");
INCLUDE_FILE(check_sql, "cli/import/check.sql");
INCLUDE_FILE(store_sql, "cli/import/store.sql");

/* Blocks of a temporary table that one statement stores: about 20,000 rows. */
#define BLOCKS_PER_STATEMENT 256
/* Transactions that are writing may finish within this time; after that, writers wait for the
 * import. */
#define LOCK_TIMEOUT "10s"

/* Runs a statement that gets a table's name, keys and columns as parameters. */
static PGresult *
query_table(struct import *import, size_t table, const char *sql)
{
    const char *parameters[] = {import_tables[table].name, import_tables[table].keys,
                                import->counts[table].given};

    return database_query(import->cli, sql, 3, parameters);
}

static long long
value(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* ---- reading ------------------------------------------------------------------- */

static void
close_given(struct import_count *count, const char *more)
{
    buf given = BUF_INIT;

    buf_printf(&given, "%s%s%s}", count->given ? count->given : "{",
               count->given && *more ? "," : "", more);
    free(count->given);
    count->given = buf_steal(&given);
}

static bool
stage(struct import *import, bool is_csv)
{
    struct cli *cli = import->cli;

    if (!database_run_script(cli, "BEGIN") ||
        !import_refusals_begin(&import->refusals, cli, is_csv) ||
        !database_run_script(cli, stage_sql))
        return false;
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++) {
        if (!import->source->stage(import, table)) {
            /* What is wrong with the rows is told even if the rest could not be read. */
            if (PQtransactionStatus(cli->db) == PQTRANS_INTRANS)
                import_refusals_settle(&import->refusals);
            return false;
        }
        /* The rules add waitlists from rows of other tables, and they need these columns. */
        close_given(&import->counts[table],
                    strcmp(import_tables[table].name, "waitlists") == 0 ? "fields,subscribed" : "");
    }
    progress_clear();
    import->source->close(import);
    if (import->counts[0].is_found)
        return true;
    output_error(cli, CLI_FAILED, "there is no table \"%s\": this is not a database of ctms-api",
                 import_tables[0].name);
    return false;
}

static bool
count_left_out(struct import *import)
{
    PGresult *result = database_query(
        import->cli, "SELECT table_name, count(*) FROM pg_temp.import_left_out GROUP BY 1", 0,
        NULL);

    if (!result)
        return false;
    for (int row = 0; row < PQntuples(result); row++)
        for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++)
            if (strcmp(PQgetvalue(result, row, 0), import_tables[table].name) == 0)
                import->counts[table].left_out = value(result, row, 1);
    PQclear(result);
    return true;
}

static void
count_refused(struct import *import)
{
    const struct import_refusals *refusals = &import->refusals;

    for (size_t i = 0; i < refusals->origin_count; i++)
        import->counts[refusals->origins[i].table].refused += refusals->origins[i].refused;
}

/* Returns false after the import was refused. */
static bool
check(struct import *import)
{
    struct cli *cli = import->cli;

    progress_show("preparing the rows ...");
    if (!database_run_script(cli, refuse_sql) || !database_run_script(cli, rules_sql) ||
        !database_run_script(cli, check_sql) || !count_left_out(import))
        return false;
    progress_clear();
    return import_report_check(import);
}

/* ---- storing -------------------------------------------------------------------- */

static bool
count_rows(struct import *import, size_t table, long long *rows)
{
    buf sql = BUF_INIT;
    bool is_ok;

    buf_printf(&sql, "SELECT count(*) FROM ctms.%s", import_tables[table].name);
    is_ok = database_query_number(import->cli, buf_text(&sql), rows);
    buf_free(&sql);
    return is_ok;
}

static bool
preview_table(struct import *import, size_t table)
{
    struct import_count *count = &import->counts[table];
    PGresult *result = query_table(
        import, table,
        "SELECT created, updated, kept FROM pg_temp.import_preview($1, $2::text[], $3::text[])");

    if (!result)
        return false;
    count->created = value(result, 0, 0);
    count->updated = value(result, 0, 1);
    count->kept = value(result, 0, 2);
    count->after = count->before + count->created;
    PQclear(result);
    return true;
}

/* Number of blocks of a temporary table, -1 after an error. */
static long long
blocks_of(struct import *import, const char *name)
{
    buf sql = BUF_INIT;
    long long blocks;

    buf_printf(&sql,
               "SELECT pg_relation_size('pg_temp.import_%s') / current_setting('block_size')::int",
               name);
    if (!database_query_number(import->cli, buf_text(&sql), &blocks))
        blocks = -1;
    buf_free(&sql);
    return blocks;
}

static bool
store_table(struct import *import, size_t table)
{
    const struct import_table *is = &import_tables[table];
    struct import_count *count = &import->counts[table];
    long long blocks = blocks_of(import, is->name);

    for (long long block = 0; block < blocks; block += BLOCKS_PER_STATEMENT) {
        char first[32], last[32];
        const char *parameters[] = {
            is->name, is->keys, count->given, count->before == 0 ? "t" : "f", first, last};
        PGresult *result;

        snprintf(first, sizeof(first), "%lld", block);
        snprintf(last, sizeof(last), "%lld", block + BLOCKS_PER_STATEMENT);
        result = database_query(
            import->cli,
            "SELECT created, updated, kept FROM pg_temp.import_store($1, $2::text[], "
            "$3::text[], $4, $5, $6)",
            6, parameters);
        if (!result)
            return false;
        count->created += value(result, 0, 0);
        count->updated += value(result, 0, 1);
        count->kept += value(result, 0, 2);
        PQclear(result);
        progress_show("%s: %lld rows stored, %lld %%", is->name, count->created + count->updated,
                      100 * block / blocks);
    }
    return blocks >= 0;
}

/* The rows that are stored now must be those that were counted. If they are not, that is a fault,
 * and the import is undone. */
static bool
verify_table(struct import *import, size_t table)
{
    struct import_count *count = &import->counts[table];
    PGresult *result = query_table(
        import, table, "SELECT pg_temp.import_missing($1, $2::text[]), $3::text[] IS NULL");
    long long missing;

    if (!result || !count_rows(import, table, &count->after)) {
        PQclear(result);
        return false;
    }
    missing = value(result, 0, 0);
    PQclear(result);
    if (missing == 0 && count->after == count->before + count->created)
        return true;
    output_error(import->cli, CLI_FAILED,
                 "table \"%s\" has %lld rows instead of %lld, and %lld of the source are missing",
                 import_tables[table].name, count->after, count->before + count->created, missing);
    return false;
}

static bool
lock_tables(struct import *import)
{
    buf sql = BUF_INIT;
    bool is_ok;

    buf_append_string(&sql, "SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'; LOCK TABLE ");
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++)
        if (import_tables[table].is_stored)
            buf_printf(&sql, "%sctms.%s", table > 0 ? ", " : "", import_tables[table].name);
    buf_append_string(&sql, " IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = 0");
    is_ok = database_run_script(import->cli, buf_text(&sql));
    buf_free(&sql);
    return is_ok;
}

/* Enqueues the contacts in a temporary table. */
static bool
enqueue(struct import *import, const char *name)
{
    long long blocks = blocks_of(import, name);
    bool is_ok = blocks >= 0;

    for (long long block = 0; is_ok && block < blocks; block += BLOCKS_PER_STATEMENT) {
        buf sql = BUF_INIT;
        long long enqueued = 0;

        buf_printf(&sql,
                   "SELECT ctms.enqueue_contacts(coalesce(array_agg(DISTINCT s.email_id), '{}')) "
                   "FROM pg_temp.import_%s AS s WHERE s.ctid >= '(%lld,0)' AND s.ctid < '(%lld,0)'",
                   name, block, block + BLOCKS_PER_STATEMENT);
        is_ok = database_query_number(import->cli, buf_text(&sql), &enqueued);
        import->enqueued += enqueued;
        progress_show("%lld contacts enqueued", import->enqueued);
        buf_free(&sql);
    }
    return is_ok;
}

static bool
store(struct import *import, bool is_dry_run)
{
    struct cli *cli = import->cli;
    bool is_ok = database_run_script(cli, store_sql);

    for (size_t table = 0; is_ok && table < IMPORT_TABLE_COUNT; table++)
        if (import_tables[table].is_stored)
            is_ok = count_rows(import, table, &import->counts[table].before) &&
                    (!is_dry_run || preview_table(import, table));
    if (!is_ok || is_dry_run)
        return is_ok;
    is_ok = database_run_script(cli, "SELECT pg_temp.import_move_sequences()");
    for (size_t table = 0; is_ok && table < IMPORT_TABLE_COUNT; table++)
        if (import_tables[table].is_stored)
            is_ok = store_table(import, table) && verify_table(import, table);
    if (is_ok && import->counts[0].before == 0)
        is_ok = database_run_script(cli, "SELECT pg_temp.import_configuration()");
    if (is_ok && cli_get_option(cli, "enqueue"))
        is_ok = enqueue(import, "emails");
    else if (is_ok && cli_get_option(cli, "pending"))
        is_ok = enqueue(import, "pending_acoustic");
    return is_ok;
}

int
import_run(struct import *import, bool is_csv)
{
    struct cli *cli = import->cli;
    bool is_dry_run = cli_get_option(cli, "dry-run") != NULL;
    bool is_ok = stage(import, is_csv) && (is_dry_run || lock_tables(import)) && check(import) &&
                 store(import, is_dry_run);

    progress_clear();
    is_ok = is_ok && import_report_save_left_out(import) &&
            import_refusals_save(&import->refusals) &&
            database_run_script(cli, is_dry_run ? "ROLLBACK" : "COMMIT");
    count_refused(import);
    if (is_ok)
        import_report_print_counts(import, is_dry_run);
    else if (PQstatus(cli->db) == CONNECTION_OK)
        fputs("ctms: nothing was stored\n", stderr);
    if (is_ok && import->refusals.count > 0 && cli->status == CLI_OK)
        cli->status = CLI_PARTLY;
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++)
        free(import->counts[table].given);
    import_refusals_free(&import->refusals);
    return cli->status;
}
