/*
 * bulk_line.h: what the process that works on a run tells the agent that has started it: lines of
 * text in a pipe. bulk_main.c writes them, bulk.c reads them.
 */
#ifndef AGENT_BULK_LINE_H
#define AGENT_BULK_LINE_H

#include "bulk/run.h"

/* The pipe in the process that works. */
enum { BULK_LINE_FD = 3 };

typedef enum bulk_line_kind {
    BULK_LINE_LOG,    /* level and message */
    BULK_LINE_BYTES,  /* that many more bytes were uploaded */
    BULK_LINE_RESULT, /* what the runs that have ended have come to so far */
    BULK_LINE_END,    /* outcome, and message, which says why */
} bulk_line_kind;

typedef struct bulk_line {
    bulk_line_kind kind;
    log_level level;
    bulk_outcome outcome;
    long long bytes;
    bulk_result result;
    char message[1024]; /* one line */
} bulk_line;

/* Writes a line. A pipe that is full or that nobody reads any more is not waited for: false. */
bool bulk_line_write(int fd, const bulk_line *line);
/* Reads a line, without its end. False if it is none of ours. */
bool bulk_line_read(bulk_line *line, const char *text);

#endif
