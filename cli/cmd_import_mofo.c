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
#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

#define INVALID_FILE "invalid-emails.csv"
#define CHUNK ((size_t)256 << 10)

const struct cli_option cmd_import_mofo_options[] = {
    {"dry-run", 'n', NULL, "check, count and report; store nothing"},
    {"invalid", 0, "FILE", "file for rows with unknown addresses (" INVALID_FILE ")"},
    {NULL, 0, NULL, NULL},
};

/* If an address is in several rows, in any case, the last row counts. */
#define STAGE_SQL                                                                                  \
    "BEGIN; CREATE TEMP TABLE mofo_file (place bigserial, primary_email text, mofo_email_id "      \
    "text, "                                                                                       \
    "mofo_contact_id text) ON COMMIT DROP"
#define FIND_SQL                                                                                   \
    "ANALYZE pg_temp.mofo_file; "                                                                  \
    "CREATE TEMP TABLE mofo_found ON COMMIT DROP AS "                                              \
    "SELECT DISTINCT ON (e.email_id) e.email_id, f.mofo_email_id, f.mofo_contact_id "              \
    "FROM pg_temp.mofo_file AS f JOIN ctms.emails AS e ON lower(e.primary_email) = "               \
    "lower(f.primary_email) "                                                                      \
    "ORDER BY e.email_id, f.place DESC"
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
    "WHERE e.email_id IS NULL ORDER BY f.place"
/* clang-format on */
#define TAKEN_SQL                                                                                  \
    "SELECT count(*) FROM pg_temp.mofo_found AS f JOIN ctms.mofo AS m "                            \
    "ON m.mofo_email_id = f.mofo_email_id AND m.email_id <> f.email_id"
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

struct mofo_header {
    buf columns;
    bool has_email;
    bool is_unknown;
};

static bool
take_name(void *arg, const char *name)
{
    struct mofo_header *header = arg;

    header->has_email = header->has_email || strcmp(name, "primary_email") == 0;
    header->is_unknown = header->is_unknown || (strcmp(name, "primary_email") != 0 &&
                                                strcmp(name, "mofo_email_id") != 0 &&
                                                strcmp(name, "mofo_contact_id") != 0);
    buf_printf(&header->columns, "%s%s", header->columns.length > 0 ? ", " : "", name);
    return !header->is_unknown;
}

static bool
send_rows(struct cli *cli, FILE *file, const char *columns)
{
    char *chunk = xmalloc(CHUNK);
    buf sql = BUF_INIT;
    PGresult *result;
    size_t length;
    bool is_ok;

    buf_printf(&sql, "COPY pg_temp.mofo_file (%s) FROM STDIN (FORMAT csv, FORCE_NULL (%s))",
               columns, columns);
    result = PQexec(cli->db, buf_text(&sql));
    is_ok = PQresultStatus(result) == PGRES_COPY_IN;
    buf_free(&sql);
    if (!is_ok)
        database_report(cli, result, NULL);
    PQclear(result);
    while (is_ok && (length = fread(chunk, 1, CHUNK, file)) > 0)
        is_ok = PQputCopyData(cli->db, chunk, (int)length) == 1;
    free(chunk);
    if (cli->status != CLI_OK)
        return false;
    PQputCopyEnd(cli->db, ferror(file) ? "the file could not be read" : NULL);
    while ((result = PQgetResult(cli->db)) != NULL) {
        if (!database_is_ok(result))
            database_report(cli, result, NULL);
        PQclear(result);
    }
    return cli->status == CLI_OK;
}

static bool
stage_file(struct cli *cli, const char *path)
{
    struct mofo_header header = {.has_email = false};
    FILE *file = input_open(cli, path);
    bool is_ok = false;

    if (!file)
        return false;
    if (!import_csv_read_header(file, take_name, &header) || !header.has_email)
        output_error(
            cli, CLI_FAILED,
            "\"%s\" must begin with the names of its columns: primary_email, mofo_email_id, "
            "mofo_contact_id",
            path);
    else
        is_ok =
            database_run_script(cli, STAGE_SQL) && send_rows(cli, file, buf_text(&header.columns));
    buf_free(&header.columns);
    input_close(file);
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
check_taken(struct cli *cli)
{
    long long taken = 0;

    if (!database_query_number(cli, TAKEN_SQL, &taken))
        return false;
    if (taken > 0)
        output_error(cli, CLI_FAILED,
                     "%lld mofo_email_ids belong to other contacts; nothing was stored", taken);
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

int
cmd_import_mofo(struct cli *cli)
{
    const char *path = cli_get_option(cli, "invalid");
    long long found = 0;
    long long changed = 0;
    long long invalid;

    path = path ? path : INVALID_FILE;
    if (!stage_file(cli, cli->arguments[0]) || !database_run_script(cli, UNDO_SQL) ||
        !database_run_script(cli, FIND_SQL) || !check_taken(cli))
        return cli->status;
    invalid = write_invalid(cli, path);
    if (invalid < 0 || !store(cli, &found, &changed))
        return cli->status;
    if (cli->is_json)
        printf("{\"contacts\": %lld, \"changed\": %lld, \"unknown\": %lld}\n", found, changed,
               invalid);
    else
        printf("%lld contacts known, %lld changed, %lld rows with unknown addresses%s%s\n", found,
               changed, invalid, invalid > 0 ? " in " : "", invalid > 0 ? path : "");
    if (invalid > 0)
        cli->status = CLI_NOT_FOUND;
    return cli->status;
}
