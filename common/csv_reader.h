/*
 * csv_reader.h: reads CSV as people have it: RFC 4180, and what spreadsheets, databases and old
 * machines make of it. `ctms import`, lists of addresses and bulk/refused.c use it.
 *
 * Lines end with LF, CRLF or CR, also mixed; the last one may have no end. Cells are separated by
 * commas, or by semicolons or tabs if the first line has one of these first, or by what Excel's
 * "sep=;" says. Blanks around a quoted cell are ignored; a quote inside a cell that does not begin
 * with one is a character like any other. Rows without content are skipped. An unquoted \N, as
 * MySQL writes NULL, is an empty cell. Nothing else has a meaning: \. is a text.
 *
 * We do not use libcsv, because it counts no lines, has no limit for the length of a cell, and
 * takes a text behind a closing quote for a part of it.
 *
 * The memory used is that of a row.
 */
#ifndef CTMS_COMMON_CSV_READER_H
#define CTMS_COMMON_CSV_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "common/buf.h"

/* The longest row, in bytes, and most cells that are kept. */
#define CSV_READER_ROW_MAX ((size_t)1 << 20)
#define CSV_READER_CELLS_MAX 256

enum csv_reader_result {
    CSV_READER_ROW,
    CSV_READER_BAD_ROW, /* see problem and problem_cell; the next row can be read */
    CSV_READER_END,
    CSV_READER_FAILED, /* see problem; nothing more can be read */
};

struct csv_reader {
    FILE *file;
    char separator;
    bool is_plain;       /* each line is one cell, whatever it contains */
    long long line;      /* that comes next, from 1, as an editor counts */
    long long row_line;  /* that the row begins in */
    long long blank;     /* rows without content that were skipped */
    size_t count;        /* cells of the row */
    const char *problem; /* valid until the next call */
    size_t problem_cell; /* of a bad row; equal to count if it is no single one */
    /* internal */
    char *block;
    size_t length, position;
    bool is_first_block, has_content;
    buf text;
    size_t starts[CSV_READER_CELLS_MAX + 1];
    char message[160];
};

/* Takes over neither the file nor its path. Free it with csv_reader_free(). */
void csv_reader_init(struct csv_reader *reader, FILE *file);
void csv_reader_free(struct csv_reader *reader);

enum csv_reader_result csv_reader_next(struct csv_reader *reader);

/* A cell of the row, zero-terminated, valid until the next call. In a bad row it may contain
 * anything, and zero bytes that are not part of its length. */
const char *csv_reader_cell(const struct csv_reader *reader, size_t cell);
size_t csv_reader_cell_length(const struct csv_reader *reader, size_t cell);

/* Goes back to the first line, and takes each line for one cell from now on. Only after the first
 * row; false when that is too long. */
bool csv_reader_restart_plain(struct csv_reader *reader);

#endif
