/* cmd_acoustic_dump.c: `ctms acoustic dump`: writes rows as Acoustic would get them, as CSV. */
#include <jansson.h>
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/cmd_acoustic_walk.h"
#include "cli/csv.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"

struct dump {
    struct cli *cli;
    const char *table;
    FILE *file;
    void (*write_field)(FILE *file, const char *text, bool is_first);
    json_t *header; /* names of the columns, in order */
    long long rows;
    long long contacts;
};

/*
 * The columns of the main table come from the configuration, because a contact leaves out groups
 * that it does not have. All rows of another table have the same columns.
 */
#define MAIN_HEADER_SQL                                                                            \
    "SELECT json_agg(name ORDER BY place, name) FROM ("                                            \
    "SELECT 1 AS place, field AS name FROM ctms.acoustic_field WHERE tablename = 'main' "          \
    "UNION ALL SELECT DISTINCT 2, destination FROM ctms.acoustic_newsletter_mapping) AS columns"

static bool
read_main_header(struct dump *dump)
{
    PGresult *result = database_query(dump->cli, MAIN_HEADER_SQL, 0, NULL);

    if (!result)
        return false;
    dump->header = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    if (!dump->header)
        dump->header = json_array();
    PQclear(result);
    return true;
}

static void
make_header_of(struct dump *dump, json_t *fields)
{
    const char *name;
    json_t *value;

    dump->header = json_array();
    json_object_foreach(fields, name, value) json_array_append_new(dump->header, json_string(name));
}

static void
write_header(struct dump *dump)
{
    size_t i;
    json_t *name;

    json_array_foreach(dump->header, i, name)
        dump->write_field(dump->file, json_string_value(name), i == 0);
    csv_end_row(dump->file);
}

static void
write_row(struct dump *dump, const char *text)
{
    json_t *fields = json_loads(text, 0, NULL);
    size_t i;
    json_t *name;

    if (!dump->header) {
        make_header_of(dump, fields);
        write_header(dump);
    }
    json_array_foreach(dump->header, i, name)
    {
        const char *value = json_string_value(json_object_get(fields, json_string_value(name)));

        dump->write_field(dump->file, value ? value : "", i == 0);
    }
    csv_end_row(dump->file);
    dump->rows++;
    json_decref(fields);
}

static bool
write_contacts(void *arg, const char *ids, int count)
{
    struct dump *dump = arg;
    const char *parameters[] = {ids, dump->table};
    PGresult *result = database_query(
        dump->cli, "SELECT fields FROM ctms.acoustic_rows($1::uuid[]) WHERE kind = $2", 2,
        parameters);

    if (!result)
        return false;
    for (int row = 0; row < PQntuples(result); row++)
        write_row(dump, PQgetvalue(result, row, 0));
    PQclear(result);
    dump->contacts += count;
    if (dump->file != stdout)
        progress_show("%lld contacts", dump->contacts);
    return true;
}

static bool
write_all(struct dump *dump)
{
    const char *query = cli_get_option(dump->cli, "query");
    bool is_going = true;

    if (strcmp(dump->table, "main") == 0) {
        is_going = read_main_header(dump);
        if (is_going)
            write_header(dump);
    }
    is_going = is_going &&
               cmd_acoustic_walk_query(
                   dump->cli, query ? query : "SELECT email_id FROM ctms.emails ORDER BY email_id",
                   write_contacts, dump);
    progress_clear();
    return is_going;
}

static bool
is_table(const char *name)
{
    return strcmp(name, "main") == 0 || strcmp(name, "newsletter") == 0 ||
           strcmp(name, "waitlist") == 0 || strcmp(name, "product") == 0;
}

int
cmd_acoustic_dump(struct cli *cli)
{
    const char *output = cli_get_option(cli, "output");
    const char *path = output && strcmp(output, "-") != 0 ? output : NULL;
    const char *table = cli_get_option(cli, "table");
    struct dump dump = {.cli = cli, .table = table ? table : "main", .file = stdout};
    new_file file;

    if (!is_table(dump.table))
        return output_error(cli, CLI_USAGE,
                            "--table must be main, newsletter, waitlist or product");
    if (cli->is_json)
        return output_error(cli, CLI_USAGE, "the dump is CSV: without --json");
    if (path && !output_open_private(cli, &file, path))
        return cli->status;
    if (path)
        dump.file = file.stream;
    dump.write_field = cli_get_option(cli, "raw") ? csv_write_field : csv_write_safe_field;
    write_all(&dump);
    if (path && output_close_private(cli, &file))
        printf("%lld rows of %lld contacts\n", dump.rows, dump.contacts);
    json_decref(dump.header);
    return cli->status;
}
