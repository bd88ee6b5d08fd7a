/* output.c: prints tables, errors and questions of `ctms`; see output.h. */
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"

void
output_text(FILE *stream, const char *text)
{
    buf visible = BUF_INIT;

    buf_append_visible(&visible, text, strlen(text));
    fwrite(buf_text(&visible), 1, visible.length, stream);
    buf_free(&visible);
}

void
output_json_line(FILE *stream, const char *json)
{
    buf visible = BUF_INIT;

    buf_append_json_text(&visible, json, strlen(json));
    buf_append_char(&visible, '\n');
    fwrite(buf_text(&visible), 1, visible.length, stream);
    buf_free(&visible);
}

void
output_json(const char *json)
{
    output_json_line(stdout, json);
}

void
output_json_value(const json_t *value)
{
    char *json = json_dumps(value, JSON_ENCODE_ANY);

    if (json)
        output_json(json);
    free(json);
}

static void
print_line(const char *prefix, const char *format, va_list arguments)
{
    char *text = NULL;

    fflush(stdout);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    fputs(prefix, stderr);
    output_text(stderr, text ? text : "out of memory");
    fputc('\n', stderr);
    free(text);
}

int
output_error(struct cli *cli, enum cli_exit status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line("ctms: ", format, arguments);
    va_end(arguments);
    cli->status = status;
    return status;
}

void
output_warning(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line("ctms: warning: ", format, arguments);
    va_end(arguments);
}

/* ---- private files ---------------------------------------------------------------- */

static char *volatile unfinished; /* the part of the private file that is being written */

void
output_drop_private(void)
{
    if (unfinished)
        unlink(unfinished);
}

static void
on_end(int signal_number)
{
    output_drop_private();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Signals that end the program, but not those that are ignored, as with nohup. SIGINT belongs to
 * database.c. */
static void
watch_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGHUP};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        if (signal(numbers[i], on_end) == SIG_IGN)
            signal(numbers[i], SIG_IGN);
    }
}

/* Regular files that the command reads or has written. */
static struct stat *used;
static size_t used_count;

void
output_protect(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    used = xrealloc(used, (used_count + 1) * sizeof(*used));
    used[used_count++] = status;
}

static bool
is_used(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return false;
    for (size_t i = 0; i < used_count; i++)
        if (used[i].st_dev == status.st_dev && used[i].st_ino == status.st_ino)
            return true;
    return false;
}

static void
complain_about_file(struct cli *cli, const char *path, const char *problem)
{
    output_error(cli, CLI_FAILED, "could not write \"%s\": %s", path, problem);
}

bool
output_open_private(struct cli *cli, new_file *file, const char *path)
{
    const char *problem;

    if (is_used(path)) {
        complain_about_file(cli, path, "this command reads it, or has written it before");
        return false;
    }
    if (!new_file_open(file, path, 0600, &problem)) {
        complain_about_file(cli, path, problem);
        return false;
    }
    output_protect(fileno(file->stream));
    unfinished = file->part;
    watch_signals();
    return true;
}

bool
output_close_private(struct cli *cli, new_file *file)
{
    const char *problem;
    char *path = xstrdup(file->path);

    unfinished = NULL;
    if (cli->status != CLI_OK)
        new_file_discard(file);
    else if (!new_file_finish(file, true, &problem))
        complain_about_file(cli, path, problem);
    free(path);
    return cli->status == CLI_OK;
}

/* ---- tables ----------------------------------------------------------------------- */

/* Counts the characters that output_text() prints. For aligning that is close enough to columns. */
static int
text_width(const char *text)
{
    buf visible = BUF_INIT;
    int width = 0;

    buf_append_visible(&visible, text, strlen(text));
    for (size_t i = 0; i < visible.length; i++)
        width += ((unsigned char)visible.data[i] & 0xc0) != 0x80;
    buf_free(&visible);
    return width;
}

static void
print_cell(FILE *stream, const char *text, int width)
{
    output_text(stream, text);
    for (int pad = text_width(text); pad < width; pad++)
        fputc(' ', stream);
}

static int
column_width(const PGresult *result, int column, const char *heading)
{
    int widest = text_width(heading);

    for (int row = 0; row < PQntuples(result); row++) {
        int width = text_width(PQgetvalue(result, row, column));

        widest = width > widest ? width : widest;
    }
    return widest;
}

void
output_table_begin(FILE *stream, const PGresult *result, const char *const *headings, int *widths)
{
    int columns = PQnfields(result);

    for (int column = 0; column < columns; column++) {
        const char *heading = headings ? headings[column] : PQfname(result, column);

        /* The last column is not padded. */
        widths[column] = column < columns - 1 ? column_width(result, column, heading) + 2 : 0;
        print_cell(stream, heading, widths[column]);
    }
    fputc('\n', stream);
}

void
output_table_rows(FILE *stream, const PGresult *result, const int *widths)
{
    for (int row = 0; row < PQntuples(result); row++) {
        for (int column = 0; column < PQnfields(result); column++)
            print_cell(stream, PQgetvalue(result, row, column), widths[column]);
        fputc('\n', stream);
    }
}

void
output_table(FILE *stream, const PGresult *result)
{
    int *widths = xmalloc(((size_t)PQnfields(result) + 1) * sizeof(*widths));

    output_table_begin(stream, result, NULL, widths);
    output_table_rows(stream, result, widths);
    free(widths);
}

bool
output_confirm(struct cli *cli, const char *question)
{
    char answer[16] = "";

    if (cli->is_confirmed)
        return true;
    if (!isatty(STDIN_FILENO)) {
        output_error(cli, CLI_NOT_CONFIRMED, "%s Confirm it with --yes; nothing was done",
                     question);
        return false;
    }
    output_text(stderr, question);
    fputs(" [y/N] ", stderr);
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    output_error(cli, CLI_NOT_CONFIRMED, "not confirmed, nothing was done");
    return false;
}

bool
output_finish(struct cli *cli)
{
    static bool is_told;
    const char *reason = fflush(stdout) == 0 ? NULL : strerror(errno);

    if (!reason && !ferror(stdout))
        return true;
    /* Of a write that failed before nothing is known but that. */
    if (!is_told)
        output_error(cli, CLI_FAILED, "could not write the output%s%s", reason ? ": " : "",
                     reason ? reason : "");
    is_told = true;
    return false;
}
