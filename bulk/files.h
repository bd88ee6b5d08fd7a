/*
 * bulk/files.h: the files of a run: a CSV file for each kind of rows that there are, and its
 * mapping file. run.c makes them for a run, cli/cmd_acoustic_bulk.c for --dry-run.
 *
 * The folder is made with mode 0700 and the files with 0600. They are written in one go from what
 * ctms.acoustic_csv() returns, page by page, so memory does not grow with the number of contacts.
 * How Acoustic reads them is decided in docs/decisions/acoustic-imports.md.
 */
#ifndef CTMS_BULK_FILES_H
#define CTMS_BULK_FILES_H

#include <libpq-fe.h>

#include "acoustic/table.h"

/* A kind of rows that has files of its own. */
typedef struct bulk_file {
    char kind[24];        /* as in ctms.acoustic_csv(): "main", "main_amo", …, "newsletter" */
    acoustic_table table; /* at Acoustic */
    char name[96];        /* of both files, without ".csv" and ".xml" */
    char csv_path[1024];
    char map_path[1024];
    long long rows; /* without the header */
    long long csv_bytes, map_bytes;
} bulk_file;

enum { BULK_FILES_MAX = 8 };

typedef struct bulk_files bulk_files;

typedef struct bulk_files_options {
    const char
        *directory;     /* is made; must not exist, except for --dry-run, when it must be empty */
    const char *prefix; /* of the names of files: only letters, digits and "_" */
    const long long *table_ids; /* of ACOUSTIC_TABLES */
} bulk_files_options;

/* Null with a message on failure. */
bulk_files *bulk_files_new(const bulk_files_options *options, char *message, size_t size);
/* Takes the columns: a result of "SELECT kind, columns FROM ctms.acoustic_csv_columns()", in which
 * columns is a text[]. Must come first. */
bool bulk_files_set_columns(bulk_files *files, const PGresult *columns, char *message, size_t size);
/* Adds a page: a result of "SELECT kind, row_count, csv FROM ctms.acoustic_csv(…)". */
bool bulk_files_add(bulk_files *files, const PGresult *csv, char *message, size_t size);
/* Ends the files and writes their mapping files. Kinds without rows have no files. */
bool bulk_files_finish(bulk_files *files, char *message, size_t size);
/* After finish, in the order of importing: main kinds first. */
int bulk_files_count(const bulk_files *files);
const bulk_file *bulk_files_get(const bulk_files *files, int index);
/* Removes the files and the folder, also after a failure. */
void bulk_files_remove(bulk_files *files);
/* Frees; the files stay. */
void bulk_files_free(bulk_files *files);

/* The folder for files of runs (settings->directory or a default), made with mode 0700. Removes
 * what runs of processes that have died left there. */
bool bulk_files_open_spool(const char *directory, char *path, size_t path_size, char *message,
                           size_t size);

#endif
