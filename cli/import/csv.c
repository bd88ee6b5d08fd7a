/*
 * import/csv.c: reads CSV files: one for each table, or several whose names contain the table's.
 *
 * Files are named after the tables (emails.csv), or like the sample data of ctms-api
 * (…contact_to_email….csv, with columns like amo_user). The server parses the files; only the
 * header is read here. An empty field is NULL.
 */
#include "cli/import/csv.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

#define HEADER_MAX 65536
#define CHUNK ((size_t)256 << 10)

struct folder {
    char *path;
    char **files; /* sorted */
    size_t count;
};

/* ---- header ---------------------------------------------------------------------- */

/* Reads one field, plain or in quotes. False at the end of the line. */
static bool
next_name(const char **text, char *name, size_t size)
{
    const char *c = *text;
    bool is_quoted = *c == '"';
    size_t length = 0;

    if (!*c)
        return false;
    c += is_quoted;
    while (*c && (is_quoted ? *c != '"' : *c != ',')) {
        if (length + 1 < size)
            name[length++] = *c;
        c++;
    }
    name[length] = '\0';
    c += is_quoted && *c == '"';
    c += *c == ',';
    *text = c;
    return true;
}

bool
import_csv_read_header(FILE *file, bool (*take)(void *arg, const char *name), void *arg)
{
    static const char mark[] = "\xef\xbb\xbf";
    char line[HEADER_MAX];
    const char *text = line;
    char name[64];
    size_t length;

    if (!fgets(line, sizeof(line), file))
        return false;
    length = strcspn(line, "\r\n");
    if (!line[length] && !feof(file))
        return false;
    line[length] = '\0';
    if (strncmp(line, mark, 3) == 0)
        text += 3;
    while (next_name(&text, name, sizeof(name)))
        if (!take(arg, name))
            return false;
    return true;
}

/* ---- files -------------------------------------------------------------------------- */

static void
close_folder(struct import *import)
{
    struct folder *folder = import->from;

    if (!folder)
        return;
    for (size_t i = 0; i < folder->count; i++)
        free(folder->files[i]);
    free(folder->files);
    free(folder->path);
    free(folder);
    import->from = NULL;
}

/* emails.csv, or …contact_to_email….csv. "contact_to_waitlist" is not "contact_to_vpn_waitlist". */
static bool
is_file_of(const char *file, const struct import_table *table)
{
    const char *part = strstr(file, "contact_to_");
    size_t length = strlen(table->name);

    if (strncmp(file, table->name, length) == 0 && strcmp(file + length, ".csv") == 0)
        return true;
    if (!part || !table->csv_names)
        return false;
    part += strlen("contact_to_");
    length = strlen(table->csv_names);
    return strncmp(part, table->csv_names, length) == 0 && strchr("s_-.0123456789", part[length]);
}

struct header {
    struct import *import;
    size_t table;
    buf columns; /* as SQL */
    int unknown;
    char first_unknown[64];
};

/* Takes a column name, which may have the prefix of the sample data. */
static bool
take_name(void *arg, const char *name)
{
    struct header *header = arg;
    const char *prefix = import_tables[header->table].csv_names;
    size_t length = prefix ? strlen(prefix) : 0;
    bool is_known = import_take_column(header->import, header->table, name);

    if (!is_known && length > 0 && strncmp(name, prefix, length) == 0 && name[length] == '_') {
        name += length + 1;
        is_known = import_take_column(header->import, header->table, name);
    }
    if (!is_known) {
        if (header->unknown++ == 0)
            snprintf(header->first_unknown, sizeof(header->first_unknown), "%s", name);
        return header->import->cli->status == CLI_OK;
    }
    buf_printf(&header->columns, "%s\"%s\"", header->columns.length > 0 ? ", " : "", name);
    return true;
}

static bool
send_file(struct import *import, size_t table, FILE *file, const char *path)
{
    char *chunk = xmalloc(CHUNK);
    unsigned long long bytes = 0;
    bool is_taken = true;
    size_t length;

    while (is_taken && (length = fread(chunk, 1, CHUNK, file)) > 0) {
        is_taken = import_copy_data(import, chunk, length);
        bytes += length;
        progress_show("%s: %llu MiB read", path, bytes >> 20);
    }
    free(chunk);
    if (ferror(file)) {
        output_error(import->cli, CLI_FAILED, "could not read \"%s\": %s", path, strerror(errno));
        return import_copy_end(import, table, "the file could not be read");
    }
    return import_copy_end(import, table, NULL);
}

static bool
stage_file(struct import *import, size_t table, const char *path)
{
    struct header header = {.import = import, .table = table};
    FILE *file = fopen(path, "r");
    buf options = BUF_INIT;
    bool is_ok = false;

    if (!file) {
        output_error(import->cli, CLI_FAILED, "could not open \"%s\": %s", path, strerror(errno));
    } else if (!import_csv_read_header(file, take_name, &header) || header.columns.length == 0) {
        if (import->cli->status == CLI_OK)
            output_error(import->cli, CLI_FAILED, "\"%s\" does not begin with names of columns",
                         path);
    } else if (header.unknown > 0) {
        output_error(import->cli, CLI_FAILED,
                     "\"%s\" has a column \"%s\" that table \"%s\" does not have", path,
                     header.first_unknown, import_tables[table].name);
    } else {
        buf_printf(&options, "(FORMAT csv, FORCE_NULL (%s))", buf_text(&header.columns));
        is_ok = import_copy_begin(import, table, buf_text(&header.columns), buf_text(&options)) &&
                send_file(import, table, file, path);
        if (!is_ok)
            fprintf(stderr, "  in \"%s\"; its header line is not counted\n", path);
    }
    buf_free(&options);
    buf_free(&header.columns);
    if (file)
        fclose(file);
    return is_ok;
}

static bool
stage_table(struct import *import, size_t table)
{
    struct folder *folder = import->from;
    bool is_ok = true;

    for (size_t i = 0; i < folder->count && is_ok; i++) {
        buf path = BUF_INIT;

        if (!is_file_of(folder->files[i], &import_tables[table]))
            continue;
        buf_printf(&path, "%s/%s", folder->path, folder->files[i]);
        is_ok = stage_file(import, table, buf_text(&path));
        buf_free(&path);
    }
    return is_ok;
}

static const struct import_source source = {.stage = stage_table, .close = close_folder};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool
import_csv_open(struct import *import, const char *path)
{
    struct folder *folder = xcalloc(1, sizeof(*folder));
    DIR *dir = opendir(path);
    struct dirent *entry;

    import->source = &source;
    import->from = folder;
    folder->path = xstrdup(path);
    if (!dir) {
        output_error(import->cli, CLI_FAILED, "could not open \"%s\": %s", path, strerror(errno));
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        folder->files = xrealloc(folder->files, (folder->count + 1) * sizeof(*folder->files));
        folder->files[folder->count++] = xstrdup(entry->d_name);
    }
    closedir(dir);
    if (folder->count > 0)
        qsort(folder->files, folder->count, sizeof(*folder->files), compare_names);
    return true;
}
