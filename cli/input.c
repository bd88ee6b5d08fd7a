/* input.c: reads files and standard input; see input.h. */
#include "cli/input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "cli/output.h"

#define TEXT_MAX ((size_t)16 << 20)

bool
input_skip_mark(struct cli *cli, FILE *file, const char *path)
{
    int bytes[3];
    int count = 1;

    /* Reads on only behind the first byte of a mark, because a terminal may have no more. */
    bytes[0] = getc(file);
    if (bytes[0] == 0xfe || bytes[0] == 0xff || bytes[0] == 0xef)
        bytes[count++] = getc(file);
    if (bytes[0] == 0xef && bytes[1] == 0xbb)
        bytes[count++] = getc(file);
    if (count == 3 && bytes[2] == 0xbf)
        return true;
    if (count == 2 && bytes[0] + bytes[1] == 0xfe + 0xff) {
        output_error(cli, CLI_FAILED, "\"%s\" is UTF-16: save it as UTF-8", path);
        return false;
    }
    while (count-- > 0)
        if (bytes[count] != EOF)
            ungetc(bytes[count], file);
    return true;
}

FILE *
input_open(struct cli *cli, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");

    if (!file)
        output_error(cli, CLI_FAILED, "could not open \"%s\": %s", path, strerror(errno));
    else if (!input_skip_mark(cli, file, path)) {
        input_close(file);
        return NULL;
    }
    if (file)
        output_protect(fileno(file));
    return file;
}

bool
input_is_ready(FILE *file)
{
    struct pollfd input = {.fd = fileno(file), .events = POLLIN};

    return poll(&input, 1, 0) != 0;
}

void
input_close(FILE *file)
{
    if (file && file != stdin)
        fclose(file);
}

/* Reads a whole file. Null with errno set; EFBIG if it is too long or contains a zero byte. */
static char *
read_all(FILE *file)
{
    size_t capacity = 4096;
    size_t length = 0;
    char *text = malloc(capacity);

    while (text) {
        length += fread(text + length, 1, capacity - length - 1, file);
        if (ferror(file) || length < capacity - 1)
            break;
        if (capacity > TEXT_MAX) {
            errno = EFBIG;
            free(text);
            return NULL;
        }
        capacity *= 2;
        char *larger = realloc(text, capacity);

        if (!larger)
            free(text);
        text = larger;
    }
    if (text && (ferror(file) || memchr(text, '\0', length))) {
        errno = ferror(file) ? errno : EILSEQ;
        free(text);
        return NULL;
    }
    if (text)
        text[length] = '\0';
    return text;
}

char *
input_read_argument(struct cli *cli, const char *argument)
{
    FILE *file;
    char *text;

    if (argument[0] != '@') {
        text = strdup(argument);
    } else {
        file = input_open(cli, argument + 1);
        if (!file)
            return NULL;
        text = read_all(file);
        input_close(file);
    }
    if (!text)
        output_error(cli, CLI_FAILED, "could not read \"%s\": %s", argument, strerror(errno));
    return text;
}
