/* bulk/files.c: see bulk/files.h. The folders are bulk/folder.c's, the mapping files mapping.c's.
 */
#include "bulk/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bulk/folder.h"
#include "bulk/mapping.h"
#include "common/buf.h"

enum { COLUMNS_MAX = 1000, STREAM_BYTES = 256 << 10 };

/* A kind of rows: what is known of it from the beginning, and its file once it has rows. */
typedef struct kind {
    bulk_file file;
    char *columns[COLUMNS_MAX];
    size_t column_count;
    FILE *stream;
} kind;

struct bulk_files {
    char directory[sizeof(((bulk_file *)NULL)->csv_path) - sizeof(((bulk_file *)NULL)->name) - 8];
    char prefix[48];
    long long table_ids[ACOUSTIC_TABLES];
    int folder; /* open and locked */
    bool is_folder_ours;
    kind *kinds[BULK_FILES_MAX];
    int kind_count;
    const bulk_file *made[BULK_FILES_MAX];
    int made_count;
};

static bool __attribute__((format(printf, 3, 4)))
fail(char *message, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return false;
}

/* ---- begin and end ---------------------------------------------------------------- */

static bool
is_prefix(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

    return *text != '\0' && text[strspn(text, plain)] == '\0';
}

bulk_files *
bulk_files_new(const bulk_files_options *options, char *message, size_t size)
{
    bulk_files *files = xcalloc(1, sizeof(*files));

    files->folder = -1;
    memcpy(files->table_ids, options->table_ids, sizeof(files->table_ids));
    if (strlen(options->directory) >= sizeof(files->directory))
        fail(message, size, "the name of the folder is too long");
    else if (strlen(options->prefix) >= sizeof(files->prefix) || !is_prefix(options->prefix))
        fail(message, size, "the names of files may only have letters, digits and \"_\"");
    else
        files->folder = bulk_folder_make(options->directory, &files->is_folder_ours, message, size);
    if (files->folder < 0) {
        free(files);
        return NULL;
    }
    strcpy(files->directory, options->directory);
    strcpy(files->prefix, options->prefix);
    return files;
}

static void
free_kind(kind *k)
{
    for (size_t i = 0; i < k->column_count; i++)
        free(k->columns[i]);
    if (k->stream != NULL)
        fclose(k->stream);
    free(k);
}

void
bulk_files_free(bulk_files *files)
{
    if (files == NULL)
        return;
    for (int i = 0; i < files->kind_count; i++)
        free_kind(files->kinds[i]);
    close(files->folder);
    free(files);
}

void
bulk_files_remove(bulk_files *files)
{
    for (int i = 0; i < files->kind_count; i++) {
        const bulk_file *file = &files->kinds[i]->file;

        if (*file->csv_path == '\0')
            continue;
        unlink(file->csv_path);
        unlink(file->map_path);
    }
    files->made_count = 0;
    if (!files->is_folder_ours)
        return;
    /* Result files of jobs are there too. */
    bulk_folder_empty(files->folder);
    rmdir(files->directory);
}

/* ---- columns ---------------------------------------------------------------------- */

static bool
find_table(const char *name, acoustic_table *table)
{
    static const char list[] = "main_";

    if (strncmp(name, list, sizeof(list) - 1) == 0)
        name = "main";
    return acoustic_table_find(name, table);
}

/* Takes an element off the front of what is left of an array's text; null if there is none. */
static char *
take_element(const char **text)
{
    bool is_quoted = **text == '"';
    const char *from = *text + is_quoted;
    buf element = BUF_INIT;

    while (*from != '\0' && (is_quoted ? *from != '"' : *from != ',' && *from != '}')) {
        if (*from == '\\' && from[1] != '\0')
            from++;
        buf_append_char(&element, *from++);
    }
    if (is_quoted && *from++ != '"') {
        buf_free(&element);
        return NULL;
    }
    *text = from;
    return buf_steal(&element);
}

/* The text of a text[] of one dimension, as PostgreSQL writes it. */
static bool
take_columns(kind *k, const char *text)
{
    if (*text++ != '{' || *text == '}')
        return false;
    for (;;) {
        char *column = k->column_count < COLUMNS_MAX ? take_element(&text) : NULL;

        if (column == NULL)
            return false;
        k->columns[k->column_count++] = column;
        if (*column == '\0')
            return false;
        if (*text++ == ',')
            continue;
        return text[-1] == '}' && *text == '\0';
    }
}

bool
bulk_files_set_columns(bulk_files *files, const PGresult *columns, char *message, size_t size)
{
    for (int row = 0; row < PQntuples(columns); row++) {
        const char *name = PQgetvalue(columns, row, 0);
        kind *k;

        if (files->kind_count == BULK_FILES_MAX)
            return fail(message, size, "there are more kinds of rows than files");
        k = files->kinds[files->kind_count++] = xcalloc(1, sizeof(*k));
        if (strlen(name) >= sizeof(k->file.kind) || !is_prefix(name) ||
            !find_table(name, &k->file.table))
            return fail(message, size, "a kind of rows is not known");
        strcpy(k->file.kind, name);
        if (!take_columns(k, PQgetvalue(columns, row, 1)))
            return fail(message, size, "the columns of kind \"%s\" cannot be read", name);
    }
    return true;
}

/* ---- files ------------------------------------------------------------------------ */

static FILE *
create(const bulk_files *files, const char *path)
{
    int fd = openat(files->folder, strrchr(path, '/') + 1,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (stream == NULL && fd >= 0)
        close(fd);
    if (stream != NULL)
        setvbuf(stream, NULL, _IOFBF, STREAM_BYTES);
    return stream;
}

/* The header follows the same rules as ctms.acoustic_csv(). */
static void
append_field(buf *out, const char *text)
{
    size_t length = strlen(text);

    if (text[strcspn(text, "\",\r\n")] == '\0' && text[0] != ' ' && text[length - 1] != ' ') {
        buf_append_string(out, text);
        return;
    }
    buf_append_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            buf_append_char(out, '"');
        buf_append_char(out, *text);
    }
    buf_append_char(out, '"');
}

static bool
write_all(kind *k, const char *data, size_t length, char *message, size_t size)
{
    k->file.csv_bytes += (long long)length;
    if (fwrite(data, 1, length, k->stream) == length)
        return true;
    return fail(message, size, "could not write %s: %s", k->file.csv_path, strerror(errno));
}

static bool
begin_file(bulk_files *files, kind *k, char *message, size_t size)
{
    bulk_file *file = &k->file;
    buf header = BUF_INIT;
    bool is_written;

    snprintf(file->name, sizeof(file->name), "%s_%s", files->prefix, file->kind);
    snprintf(file->csv_path, sizeof(file->csv_path), "%s/%s.csv", files->directory, file->name);
    snprintf(file->map_path, sizeof(file->map_path), "%s/%s.xml", files->directory, file->name);
    k->stream = create(files, file->csv_path);
    if (k->stream == NULL)
        return fail(message, size, "could not make %s: %s", file->csv_path, strerror(errno));
    for (size_t i = 0; i < k->column_count; i++) {
        if (i > 0)
            buf_append_char(&header, ',');
        append_field(&header, k->columns[i]);
    }
    buf_append_char(&header, '\n');
    is_written = write_all(k, header.data, header.length, message, size);
    buf_free(&header);
    return is_written;
}

static kind *
find_kind(bulk_files *files, const char *name)
{
    for (int i = 0; i < files->kind_count; i++) {
        if (strcmp(files->kinds[i]->file.kind, name) == 0)
            return files->kinds[i];
    }
    return NULL;
}

bool
bulk_files_add(bulk_files *files, const PGresult *csv, char *message, size_t size)
{
    for (int row = 0; row < PQntuples(csv); row++) {
        kind *k = find_kind(files, PQgetvalue(csv, row, 0));
        long long rows = atoll(PQgetvalue(csv, row, 1));

        if (k == NULL)
            return fail(message, size, "there are rows of a kind whose columns are not known");
        if (rows == 0)
            continue;
        if (k->stream == NULL && !begin_file(files, k, message, size))
            return false;
        if (!write_all(k, PQgetvalue(csv, row, 2), (size_t)PQgetlength(csv, row, 2), message, size))
            return false;
        k->file.rows += rows;
    }
    return true;
}

/* Closes the stream, which may notice only now that the disk is full. */
static bool
end_stream(FILE **stream, const char *path, char *message, size_t size)
{
    bool is_written = fclose(*stream) == 0;

    *stream = NULL;
    return is_written || fail(message, size, "could not write %s: %s", path, strerror(errno));
}

static bool
write_map(bulk_files *files, kind *k, char *message, size_t size)
{
    bulk_file *file = &k->file;
    FILE *stream = create(files, file->map_path);
    buf text = BUF_INIT;

    if (stream == NULL)
        return fail(message, size, "could not make %s: %s", file->map_path, strerror(errno));
    bulk_mapping_append(&text, file->table, files->table_ids[file->table], k->columns,
                        k->column_count);
    file->map_bytes = (long long)text.length;
    fwrite(text.data, 1, text.length, stream);
    buf_free(&text);
    return end_stream(&stream, file->map_path, message, size);
}

bool
bulk_files_finish(bulk_files *files, char *message, size_t size)
{
    for (int table = 0; table < ACOUSTIC_TABLES; table++) {
        for (int i = 0; i < files->kind_count; i++) {
            kind *k = files->kinds[i];

            if ((int)k->file.table != table || k->stream == NULL)
                continue;
            if (!end_stream(&k->stream, k->file.csv_path, message, size) ||
                !write_map(files, k, message, size))
                return false;
            files->made[files->made_count++] = &k->file;
        }
    }
    return true;
}

int
bulk_files_count(const bulk_files *files)
{
    return files->made_count;
}

const bulk_file *
bulk_files_get(const bulk_files *files, int index)
{
    return files->made[index];
}

/* ---- spool ------------------------------------------------------------------------ */

/* Where programs of this user keep what may be lost: systemd's folder of the service, or one below
 * the home. */
static bool
find_spool(const char *directory, char *path, size_t size)
{
    static const struct {
        const char *variable;
        const char *more;
    } places[] = {{"STATE_DIRECTORY", "/bulk"},
                  {"XDG_CACHE_HOME", "/ctms/bulk"},
                  {"HOME", "/.cache/ctms/bulk"}};

    if (directory != NULL)
        return snprintf(path, size, "%s", directory) < (int)size;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        const char *value = getenv(places[i].variable);

        /* systemd's may be several, with colons in between. */
        if (value != NULL && *value == '/')
            return snprintf(path, size, "%.*s%s", (int)strcspn(value, ":"), value, places[i].more) <
                   (int)size;
    }
    return false;
}

bool
bulk_files_open_spool(const char *directory, char *path, size_t path_size, char *message,
                      size_t size)
{
    if (!find_spool(directory, path, path_size))
        return fail(message, size,
                    "there is no folder for the files; set CTMS_ACOUSTIC_BULK_DIRECTORY");
    if (!bulk_folder_make_spool(path, message, size))
        return false;
    bulk_folder_clean(path);
    return true;
}
