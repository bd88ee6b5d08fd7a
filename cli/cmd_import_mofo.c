/*
 * cmd_import_mofo.c: `ctms import mofo`: stores which contacts the Mozilla Foundation knows, and
 * its ids for them.
 *
 * It is one transaction. The contacts are changed by ordinary statements; triggers do the rest.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cmd_import_mofo.h"
#include "cli/database.h"
#include "cli/import/csv.h"
#include "cli/output.h"

#define INVALID_FILE "invalid-emails.csv"

const struct cli_option cmd_import_mofo_options[] = {
    {"dry-run", 'n', NULL, "check, count and report; store nothing"},
    IMPORT_REFUSAL_OPTIONS,
    {"invalid", 0, "FILE", "file for rows with unknown addresses (" INVALID_FILE ")"},
    {NULL, 0, NULL, NULL},
};

/* clang-format off */
#define STAGE_SQL                                                                                  \
    "CREATE TEMP TABLE mofo_file (import_origin int, import_line bigint, primary_email text, "     \
    "mofo_email_id varchar(255), mofo_contact_id varchar(255)) ON COMMIT DROP"
#define REFUSE_SQL                                                                                 \
    "WITH gone AS (DELETE FROM pg_temp.mofo_file WHERE (primary_email ~ '\\S') IS NOT TRUE "       \
    "RETURNING import_origin, import_line) INSERT INTO pg_temp.import_refused "                    \
    "SELECT import_origin, import_line, 'primary_email', 'is empty' FROM gone"
/* clang-format on */
/* If an address is in several rows, in any case, the last row counts. */
#define FIND_SQL                                                                                   \
    "ANALYZE pg_temp.mofo_file; "                                                                  \
    "CREATE TEMP TABLE mofo_found ON COMMIT DROP AS "                                              \
    "SELECT DISTINCT ON (e.email_id) e.email_id, f.mofo_email_id, f.mofo_contact_id, "             \
    "f.import_line "                                                                               \
    "FROM pg_temp.mofo_file AS f JOIN ctms.emails AS e ON lower(e.primary_email) = "               \
    "lower(f.primary_email) "                                                                      \
    "ORDER BY e.email_id, f.import_line DESC"
/*
 * Values that a spreadsheet would take for formulas get an apostrophe in the file of unknown
 * addresses, as csv_write_safe_field() gives it. It is removed from a file that is read, because
 * rows of that file may be imported again.
 */
/* clang-format off */
#define FORMULA "(?=''*[+=@\\t\\r\\n\uff1d\uff0b\uff0d\uff20-])"
#define SAFE(column) "regexp_replace(f." column ", '^" FORMULA "', '''') AS " column
#define UNDO(column) column " = regexp_replace(" column ", '^''" FORMULA "', '')"
#define UNDO_SQL                                                                                   \
    "UPDATE pg_temp.mofo_file SET "                                                                \
    UNDO("primary_email") ", " UNDO("mofo_email_id") ", " UNDO("mofo_contact_id")                  \
    " WHERE primary_email LIKE '''%' OR mofo_email_id LIKE '''%' OR mofo_contact_id LIKE '''%'"
#define INVALID_SQL                                                                                \
    "SELECT " SAFE("primary_email") ", " SAFE("mofo_email_id") ", " SAFE("mofo_contact_id")        \
    " FROM pg_temp.mofo_file AS f "                                                                \
    "LEFT JOIN ctms.emails AS e ON lower(e.primary_email) = lower(f.primary_email) "               \
    "WHERE e.email_id IS NULL ORDER BY f.import_line"
/* clang-format on */
/* Ids of other contacts, and ids that several contacts would get, with the first lines. */
#define TAKEN_SQL                                                                                  \
    "SELECT count(*), string_agg(taken.import_line::text, ', ' ORDER BY taken.import_line) "       \
    "FILTER (WHERE taken.place <= 5) FROM (SELECT f.import_line, row_number() OVER (ORDER BY "     \
    "f.import_line) AS place FROM (SELECT *, count(*) OVER (PARTITION BY mofo_email_id) AS same "  \
    "FROM pg_temp.mofo_found) AS f WHERE f.mofo_email_id IS NOT NULL AND (f.same > 1 OR EXISTS "   \
    "(SELECT FROM ctms.mofo AS m WHERE m.mofo_email_id = f.mofo_email_id "                         \
    "AND m.email_id <> f.email_id))) AS taken"
#define STORE_SQL                                                                                  \
    "INSERT INTO ctms.mofo AS m (email_id, mofo_email_id, mofo_contact_id, mofo_relevant) "        \
    "SELECT email_id, mofo_email_id, mofo_contact_id, true FROM pg_temp.mofo_found ORDER BY "      \
    "email_id "                                                                                    \
    "ON CONFLICT (email_id) DO UPDATE SET mofo_relevant = true, "                                  \
    "mofo_email_id = coalesce(EXCLUDED.mofo_email_id, m.mofo_email_id), "                          \
    "mofo_contact_id = coalesce(EXCLUDED.mofo_contact_id, m.mofo_contact_id) "                     \
    "WHERE m.mofo_relevant IS NOT TRUE "                                                           \
    "OR m.mofo_email_id IS DISTINCT FROM coalesce(EXCLUDED.mofo_email_id, m.mofo_email_id) "       \
    "OR m.mofo_contact_id IS DISTINCT FROM coalesce(EXCLUDED.mofo_contact_id, m.mofo_contact_id)"

static bool
take_name(void *arg, const char *name)
{
    struct import_rows *rows = arg;
    bool is_email = strcmp(name, "primary_email") == 0;

    if (!is_email && strcmp(name, "mofo_email_id") != 0 && strcmp(name, "mofo_contact_id") != 0)
        return false;
    import_rows_add_column(rows, name, is_email ? "text" : "character varying(255)", false);
    return true;
}

/* Reads the file into the temporary table, without the rows that are refused. */
static bool
stage_file(struct cli *cli, struct import_refusals *refusals, const char *path)
{
    struct import_rows rows;
    bool is_ok;

    if (!database_run_script(cli, "BEGIN; SET LOCAL ctms.acoustic_lane = bulk") ||
        !import_refusals_begin(refusals, cli, true) || !database_run_script(cli, STAGE_SQL))
        return false;
    import_rows_init(&rows, refusals, "mofo_file", import_refusals_add_origin(refusals, path, 0));
    is_ok = import_csv_read(&rows, path, "primary_email, mofo_email_id, mofo_contact_id", take_name,
                            &rows);
    if (is_ok && import_rows_find_column(&rows, "primary_email") == rows.column_count) {
        output_error(cli, CLI_FAILED, "\"%s\" has no column \"primary_email\"", path);
        is_ok = false;
    }
    is_ok = is_ok && import_rows_finish(&rows) && database_run_script(cli, REFUSE_SQL);
    import_rows_free(&rows);
    if (PQtransactionStatus(cli->db) == PQTRANS_INTRANS)
        is_ok = import_refusals_settle(refusals) && is_ok;
    return is_ok;
}

/* Writes the rows whose address is unknown. Returns their number, -1 after an error. */
static long long
write_invalid(struct cli *cli, const char *path)
{
    long long count = 0;
    new_file file;

    if (!database_query_number(cli, "SELECT count(*) FROM (" INVALID_SQL ") AS i", &count))
        return -1;
    if (count == 0)
        return 0;
    if (!output_open_private(cli, &file, path))
        return -1;
    database_copy_to_file(cli, "COPY (" INVALID_SQL ") TO STDOUT (FORMAT csv, HEADER)",
                          file.stream);
    return output_close_private(cli, &file) ? count : -1;
}

static bool
check_taken(struct cli *cli, const char *path)
{
    PGresult *result = database_query(cli, TAKEN_SQL, 0, NULL);
    long long taken;

    if (!result)
        return false;
    taken = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    if (taken > 0)
        output_error(cli, CLI_FAILED,
                     "\"%s\", line%s %s%s: mofo_email_id belongs to another contact; nothing was "
                     "stored",
                     path, taken > 1 ? "s" : "", PQgetvalue(result, 0, 1),
                     taken > 5 ? " and others" : "");
    PQclear(result);
    return taken == 0;
}

static bool
store(struct cli *cli, long long *found, long long *changed)
{
    PGresult *result;

    if (!database_query_number(cli, "SELECT count(*) FROM pg_temp.mofo_found", found))
        return false;
    result = database_query(cli, STORE_SQL, 0, NULL);
    if (!result)
        return false;
    *changed = strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return database_run_script(cli, cli_get_option(cli, "dry-run") ? "ROLLBACK" : "COMMIT");
}

static void
print_result(struct cli *cli, long long found, long long changed, long long invalid,
             long long refused, const char *path)
{
    if (cli->is_json)
        printf("{\"contacts\": %lld, \"changed\": %lld, \"unknown\": %lld, \"refused\": %lld}\n",
               found, changed, invalid, refused);
    else
        printf("%lld contacts known, %lld changed, %lld rows refused, %lld rows with unknown "
               "addresses%s%s\n",
               found, changed, refused, invalid, invalid > 0 ? " in " : "",
               invalid > 0 ? path : "");
}

int
cmd_import_mofo(struct cli *cli)
{
    const char *path = cli_get_option(cli, "invalid");
    struct import_refusals refusals = {0};
    long long found = 0;
    long long changed = 0;
    long long invalid = -1;

    path = path ? path : INVALID_FILE;
    if (stage_file(cli, &refusals, cli->arguments[0]) && database_run_script(cli, UNDO_SQL) &&
        database_run_script(cli, FIND_SQL) && check_taken(cli, cli->arguments[0]) &&
        import_refusals_save(&refusals))
        invalid = write_invalid(cli, path);
    if (invalid >= 0 && store(cli, &found, &changed)) {
        print_result(cli, found, changed, invalid, refusals.count, path);
        if (invalid > 0 || refusals.count > 0)
            cli->status = invalid > 0 ? CLI_NOT_FOUND : CLI_PARTLY;
    }
    import_refusals_free(&refusals);
    return cli->status;
}
