/*
 * import/report.c: prints notes, problems and counts, and writes the file of rows that were left
 * out; see report.h.
 */
#include "cli/import/report.h"

#include "cli/database.h"
#include "cli/output.h"

#define LEFT_OUT_FILE "left-out.jsonl"

static const char *
left_out_path(const struct import *import)
{
    const char *path = cli_get_option(import->cli, "left-out");

    return path ? path : LEFT_OUT_FILE;
}

/* Prints each row of a one-column query on stderr; -1 after an error. */
static int
print_lines(struct import *import, const char *sql, const char *label)
{
    PGresult *result = database_query(import->cli, sql, 0, NULL);
    int count = result ? PQntuples(result) : -1;

    for (int row = 0; row < count; row++) {
        fprintf(stderr, "ctms: %s: ", label);
        output_text(stderr, PQgetvalue(result, row, 0));
        fputc('\n', stderr);
    }
    PQclear(result);
    return count;
}

bool
import_report_check(struct import *import)
{
    bool is_settled;
    int problems;

    if (print_lines(import, "SELECT note FROM pg_temp.import_notes ORDER BY note", "note") < 0)
        return false;
    is_settled = import_refusals_settle(&import->refusals);
    problems = print_lines(import, "SELECT problem FROM pg_temp.import_problems ORDER BY problem",
                           "problem");
    if (problems > 0 || !is_settled)
        output_error(import->cli, CLI_FAILED,
                     "refused: docs/adoption.md says what can be done about it");
    return problems == 0 && is_settled;
}

/* ---- rows that were left out ------------------------------------------------------ */

/* One row a line. */
#define LEFT_OUT_SQL                                                                               \
    "COPY (SELECT to_jsonb(l) FROM pg_temp.import_left_out AS l "                                  \
    "ORDER BY table_name, kept_email_id, email_id, content) "                                      \
    "TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"

bool
import_report_save_left_out(struct import *import)
{
    struct cli *cli = import->cli;
    long long left_out = 0;
    const char *path = left_out_path(import);
    new_file file;
    bool is_ok;

    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++)
        left_out += import->counts[table].left_out;
    if (left_out == 0)
        return true;
    if (!output_open_private(cli, &file, path))
        return false;
    database_copy_to_file(cli, LEFT_OUT_SQL, file.stream);
    is_ok = output_close_private(cli, &file);
    if (is_ok)
        fprintf(stderr,
                "ctms: note: %lld rows that repeat others are left out and saved in \"%s\"\n",
                left_out, path);
    return is_ok;
}

/* ---- counts -------------------------------------------------------------------------- */

static void
print_json(const struct import *import, bool is_dry_run)
{
    const char *separator = "";

    printf("{\"dry_run\": %s, \"tables\": {", is_dry_run ? "true" : "false");
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++) {
        const struct import_count *count = &import->counts[table];

        if (!count->is_found && !import_tables[table].is_stored)
            continue;
        printf("%s\"%s\": {\"source\": %lld, \"left_out\": %lld, \"refused\": %lld", separator,
               import_tables[table].name, count->read, count->left_out, count->refused);
        if (import_tables[table].is_stored)
            printf(", \"before\": %lld, \"created\": %lld, \"updated\": %lld, \"after\": %lld",
                   count->before, count->created, count->updated, count->after);
        putchar('}');
        separator = ", ";
    }
    printf("}, \"enqueued\": %lld}\n", import->enqueued);
}

/* Nobody may take these for stored. */
static void
print_kept(const struct import *import)
{
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++)
        if (import->counts[table].kept > 0)
            fprintf(stderr,
                    "ctms: note: %lld rows of \"%s\" differ from those here, but have no later "
                    "update_timestamp: those here stay\n",
                    import->counts[table].kept, import_tables[table].name);
}

void
import_report_print_counts(const struct import *import, bool is_dry_run)
{
    print_kept(import);
    if (import->cli->is_json) {
        print_json(import, is_dry_run);
        return;
    }
    printf("%-28s %11s %9s %9s %11s %11s %9s %11s\n", "table", "source", "left out", "refused",
           "here before", "new", "changed", is_dry_run ? "would be" : "here now");
    for (size_t table = 0; table < IMPORT_TABLE_COUNT; table++) {
        const struct import_count *count = &import->counts[table];

        if (!count->is_found && (!import_tables[table].is_stored || count->created == 0))
            continue;
        printf("%-28s %11lld %9lld %9lld", import_tables[table].name, count->read, count->left_out,
               count->refused);
        if (import_tables[table].is_stored)
            printf(" %11lld %11lld %9lld %11lld", count->before, count->created, count->updated,
                   count->after);
        putchar('\n');
    }
    if (import->enqueued > 0)
        printf("%lld contacts enqueued\n", import->enqueued);
    if (is_dry_run)
        puts("dry run: nothing was stored");
}
