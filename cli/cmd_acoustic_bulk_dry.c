/*
 * cmd_acoustic_bulk_dry.c: `ctms acoustic bulk --dry-run FOLDER`: writes the files that a run would
 * upload, and changes nothing else.
 *
 * All contacts are read in one snapshot. A contact that is chosen in two ways may be in the files
 * twice.
 */
#include <string.h>
#include "bulk/files.h"
#include "cli/cmd_acoustic_bulk.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"

#define SNAPSHOT_SQL "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
#define COLUMNS_SQL "SELECT kind, columns FROM ctms.acoustic_csv_columns()"
#define PAGE_SQL "SELECT kind, row_count, csv FROM ctms.acoustic_csv($1::uuid[])"

struct dry_run {
    struct cli *cli;
    struct selection selection;
    bulk_files *files;
    long long contacts;
};

static bool
read_table_ids(struct cli *cli, long long *ids)
{
    static const char *const names[] = {
        "CTMS_ACOUSTIC_MAIN_TABLE_ID", "CTMS_ACOUSTIC_NEWSLETTER_TABLE_ID",
        "CTMS_ACOUSTIC_WAITLIST_TABLE_ID", "CTMS_ACOUSTIC_PRODUCT_SUBSCRIPTIONS_ID"};

    _Static_assert(sizeof(names) / sizeof(*names) == ACOUSTIC_TABLES, "every table has a setting");
    for (int table = 0; table < ACOUSTIC_TABLES; table++) {
        ids[table] = config_int_or(cli->settings, names[table], -1);
        if (ids[table] < 0) {
            output_error(cli, CLI_USAGE, "%s is not set: the files tell Acoustic's tables",
                         names[table]);
            return false;
        }
    }
    return true;
}

static bool
report(struct cli *cli, bool is_done, const char *message)
{
    if (!is_done) {
        progress_clear();
        output_error(cli, CLI_FAILED, "%s", message);
    }
    return is_done;
}

static bool
add_page(void *arg, const char *ids, int count)
{
    struct dry_run *dry = arg;
    char message[512];
    PGresult *page = database_query(dry->cli, PAGE_SQL, 1, &ids);
    bool is_added =
        page &&
        report(dry->cli, bulk_files_add(dry->files, page, message, sizeof(message)), message);

    PQclear(page);
    dry->contacts += count;
    progress_show("%lld contacts written", dry->contacts);
    return is_added;
}

static bool
write_files(struct dry_run *dry)
{
    char message[512];
    PGresult *columns = database_query(dry->cli, COLUMNS_SQL, 0, NULL);
    bool is_done =
        columns &&
        report(dry->cli, bulk_files_set_columns(dry->files, columns, message, sizeof(message)),
               message) &&
        selection_each(&dry->selection, add_page, dry) &&
        report(dry->cli, bulk_files_finish(dry->files, message, sizeof(message)), message);

    PQclear(columns);
    return is_done;
}

static void
print_files(const struct dry_run *dry, const char *folder)
{
    bool is_json = dry->cli->is_json;

    if (is_json)
        printf("{\"contacts\": %lld, \"files\": [", dry->contacts);
    for (int i = 0; i < bulk_files_count(dry->files); i++) {
        const bulk_file *file = bulk_files_get(dry->files, i);

        if (is_json)
            printf("%s{\"name\": \"%s.csv\", \"mapping\": \"%s.xml\", \"kind\": \"%s\", "
                   "\"rows\": %lld, \"bytes\": %lld}",
                   i > 0 ? ", " : "", file->name, file->name, file->kind, file->rows,
                   file->csv_bytes);
        else
            printf("%s.csv  %lld rows, %lld bytes\n", file->name, file->rows, file->csv_bytes);
    }
    if (is_json) {
        puts("]}");
        return;
    }
    printf("%lld contacts, in files of ", dry->contacts);
    output_text(stdout, folder);
    puts("; nothing was sent");
}

static void
write_folder(struct dry_run *dry, const char *folder, const long long *table_ids)
{
    bulk_files_options options = {
        .directory = folder, .prefix = "ctms_dry_run", .table_ids = table_ids};
    char message[512];

    dry->files = bulk_files_new(&options, message, sizeof(message));
    if (!report(dry->cli, dry->files != NULL, message))
        return;
    if (database_run_statement(dry->cli, SNAPSHOT_SQL) && write_files(dry) &&
        database_run_statement(dry->cli, "COMMIT"))
        print_files(dry, folder);
    else
        bulk_files_remove(dry->files);
    bulk_files_free(dry->files);
}

void
cmd_acoustic_bulk_dry(struct cli *cli, const char *folder)
{
    struct dry_run dry = {.cli = cli, .selection = {.cli = cli}};
    long long table_ids[ACOUSTIC_TABLES];

    if (!read_table_ids(cli, table_ids))
        return;
    if (!selection_is_given(cli)) {
        dry.selection.is_all = true;
        dry.selection.condition = "is_bulk AND $2::text IS NULL";
    }
    if (selection_open(&dry.selection)) {
        write_folder(&dry, folder, table_ids);
        selection_finish(&dry.selection);
    }
    selection_close(&dry.selection);
}
