/* bulk_line.c: writes and reads the lines of the pipe; see bulk_line.h. */
#include "agent/bulk_line.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line is written in one piece. */
_Static_assert(sizeof(((bulk_line *)0)->message) + 64 < 4096, "PIPE_BUF");

bool
bulk_line_write(int fd, const bulk_line *line)
{
    const bulk_result *r = &line->result;
    char text[sizeof(line->message) + 128];
    int length = 0;

    switch (line->kind) {
    case BULK_LINE_LOG:
        length = snprintf(text, sizeof(text), "log %d %s", (int)line->level, line->message);
        break;
    case BULK_LINE_BYTES: length = snprintf(text, sizeof(text), "bytes %lld", line->bytes); break;
    case BULK_LINE_RESULT:
        length = snprintf(text, sizeof(text), "result %lld %lld %lld %lld %lld", r->runs, r->sent,
                          r->refused, r->changed, r->returned);
        break;
    case BULK_LINE_END:
        length = snprintf(text, sizeof(text), "end %d %s", (int)line->outcome, line->message);
        break;
    }
    for (int i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    }
    text[length++] = '\n';
    return write(fd, text, (size_t)length) == length;
}

static void
take_message(bulk_line *line, const char *text)
{
    snprintf(line->message, sizeof(line->message), "%s", text);
}

bool
bulk_line_read(bulk_line *line, const char *text)
{
    bulk_result *r = &line->result;
    int number, start = 0;

    *line = (bulk_line){.kind = BULK_LINE_LOG};
    if (sscanf(text, "log %d%*1[ ]%n", &number, &start) == 1 && start > 0) {
        line->level = (log_level)number;
        take_message(line, text + start);
        return true;
    }
    if (sscanf(text, "bytes %lld", &line->bytes) == 1) {
        line->kind = BULK_LINE_BYTES;
        return line->bytes >= 0;
    }
    if (sscanf(text, "result %lld %lld %lld %lld %lld", &r->runs, &r->sent, &r->refused,
               &r->changed, &r->returned) == 5) {
        line->kind = BULK_LINE_RESULT;
        return true;
    }
    if (sscanf(text, "end %d%*1[ ]%n", &number, &start) == 1 && start > 0 && number >= BULK_DONE &&
        number <= BULK_UNAVAILABLE) {
        line->kind = BULK_LINE_END;
        line->outcome = (bulk_outcome)number;
        take_message(line, text + start);
        return true;
    }
    return false;
}
