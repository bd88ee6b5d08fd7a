/* addresses.c: see addresses.h. */
#include "cli/addresses.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/csv_reader.h"
#include "cli/input.h"
#include "cli/output.h"

#define TEXT_MAX ((size_t)256 << 20)
/* Characters of an address in the database. */
#define ADDRESS_MAX 255
/* Bad lines that are listed. */
#define LISTED 20
#define BAD_MAX 100000

struct place {
    size_t column; /* of the address */
    size_t cells;  /* in each row */
};

/* ---- one address ------------------------------------------------------------------- */

static size_t
count_characters(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Null if the text can be the address of a contact; otherwise why not. */
static const char *
find_problem(const char *text)
{
    bool is_quoted = false;

    if (!*text)
        return "has no address";
    if (count_characters(text) > ADDRESS_MAX)
        return "has more than 255 characters";
    if (!strchr(text, '@'))
        return "has no address: it lacks an @";
    for (; *text; text++) {
        if (*text == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && strchr(" \t,;<>", *text))
            return "has more than an address";
    }
    return NULL;
}

/* Removes blanks around it. Returns its new beginning. */
static char *
trim(char *text, const char *blanks)
{
    size_t length;

    text += strspn(text, " \t");
    length = strlen(text);
    while (length > 0 && strchr(blanks, text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* Removes the quotes of a cell that is the whole line. The local part of an address may have quotes
 * of its own. */
static char *
unquote(char *text)
{
    size_t length = strlen(text);
    size_t to = 0;

    if (length < 2 || text[0] != '"' || text[length - 1] != '"')
        return text;
    text[length - 1] = '\0';
    for (const char *from = text + 1; *from; from++) {
        from += from[0] == '"' && from[1] == '"';
        text[to++] = *from;
    }
    text[to] = '\0';
    return text;
}

/* ---- files ------------------------------------------------------------------------- */

/* Finds the column of addresses, if the row is one of names. Returns the number of such columns. */
static size_t
find_column(const struct csv_reader *reader, struct place *place)
{
    size_t count = 0;

    place->cells = reader->count;
    for (size_t cell = 0; cell < reader->count; cell++) {
        char *copy = xstrdup(csv_reader_cell(reader, cell));
        const char *name = trim(copy, " \t");
        bool is_found = strcasecmp(name, "email") == 0 || strcasecmp(name, "primary_email") == 0;

        free(copy);
        if (!is_found)
            continue;
        place->column = cell;
        count++;
    }
    return count;
}

static void
refuse(struct addresses *addresses, const struct csv_reader *reader, const char *problem)
{
    if (addresses->bad++ >= LISTED)
        return;
    fputs("ctms: ", stderr);
    output_text(stderr, addresses->path);
    fprintf(stderr, ", line %lld: %s\n", reader->row_line, problem);
}

static void
take_row(struct addresses *addresses, const struct csv_reader *reader, const struct place *place)
{
    char *copy, *address;
    const char *problem = reader->problem;

    if (!problem && reader->count != place->cells)
        problem = "has more or fewer cells than the first line";
    if (problem) {
        refuse(addresses, reader, problem);
        return;
    }
    copy = xstrdup(csv_reader_cell(reader, place->column));
    address = reader->is_plain ? trim(unquote(trim(copy, " \t,;")), " \t") : trim(copy, " \t");
    problem = find_problem(address);
    if (reader->is_plain && (*address == '#' || !*address))
        problem = NULL;
    else if (problem)
        refuse(addresses, reader, problem);
    else {
        buf_append(&addresses->text, address, strlen(address) + 1);
        buf_append(&addresses->lines, &reader->row_line, sizeof(reader->row_line));
    }
    free(copy);
}

/* False when the file cannot be read to its end. */
static bool
read_rows(struct addresses *addresses, struct csv_reader *reader)
{
    enum csv_reader_result found = csv_reader_next(reader);
    struct place place = {0, 1};
    size_t columns = found == CSV_READER_ROW ? find_column(reader, &place) : 0;

    if (columns > 1) {
        output_error(addresses->cli, CLI_FAILED,
                     "\"%s\", line %lld: has %zu columns of addresses: leave the one that counts",
                     addresses->path, reader->row_line, columns);
        return false;
    }
    if (columns == 1) {
        found = csv_reader_next(reader);
    } else if (found != CSV_READER_END && csv_reader_restart_plain(reader)) {
        place = (struct place){0, 1};
        found = csv_reader_next(reader);
    } else if (found <= CSV_READER_BAD_ROW) {
        output_error(addresses->cli, CLI_FAILED, "\"%s\": the first line is too long",
                     addresses->path);
        return false;
    }
    for (; found <= CSV_READER_BAD_ROW && addresses->text.length <= TEXT_MAX;
         found = csv_reader_next(reader))
        take_row(addresses, reader, &place);
    if (found == CSV_READER_FAILED)
        output_error(addresses->cli, CLI_FAILED, "\"%s\": %s", addresses->path, reader->problem);
    else if (addresses->text.length > TEXT_MAX)
        output_error(addresses->cli, CLI_FAILED, "\"%s\" has more than %zu MiB of addresses",
                     addresses->path, TEXT_MAX >> 20);
    return addresses->cli->status == CLI_OK;
}

bool
addresses_read(struct addresses *addresses, struct cli *cli, const char *path)
{
    struct csv_reader reader;
    long long limit = 0;
    bool is_ok;
    FILE *file;

    *addresses = (struct addresses){.cli = cli, .path = path};
    if (!cli_get_number(cli, "max-errors", BAD_MAX, &limit))
        return false;
    file = input_open(cli, path);
    if (!file)
        return false;
    csv_reader_init(&reader, file);
    is_ok = read_rows(addresses, &reader);
    csv_reader_free(&reader);
    input_close(file);
    if (addresses->bad > LISTED)
        fprintf(stderr, "ctms: and %lld more\n", addresses->bad - LISTED);
    if (is_ok && addresses->bad > limit) {
        output_error(cli, CLI_FAILED, "bad lines: %lld; --max-errors allows %lld; nothing was done",
                     addresses->bad, limit);
        is_ok = false;
    }
    return is_ok;
}

void
addresses_free(struct addresses *addresses)
{
    buf_free(&addresses->text);
    buf_free(&addresses->lines);
}

bool
addresses_each(const struct addresses *addresses,
               bool (*take)(void *arg, const char *address, long long line), void *arg)
{
    const char *text = buf_text(&addresses->text);
    const char *end = text + addresses->text.length;
    const char *lines = buf_text(&addresses->lines);
    long long line;

    for (; text < end; text += strlen(text) + 1, lines += sizeof(line)) {
        memcpy(&line, lines, sizeof(line));
        if (!take(arg, text, line))
            return false;
    }
    return true;
}
