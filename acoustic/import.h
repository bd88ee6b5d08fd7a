/*
 * acoustic/import.h: the three calls of the XML API for imports by file: ImportList, ImportTable
 * and GetJobStatus, as developer.goacoustic.com describes them. bulk/ calls it.
 */
#ifndef CTMS_ACOUSTIC_IMPORT_H
#define CTMS_ACOUSTIC_IMPORT_H

#include "acoustic/answer.h"
#include "acoustic/table.h"
#include "common/buf.h"

/* A request that starts a job; the files are in the upload folder. UTF-8 is said in it. */
void
acoustic_import_start(buf *out, acoustic_table table, const char *map_file, const char *csv_file);
void acoustic_import_ask(buf *out, const char *job_id);

typedef enum acoustic_job_state {
    ACOUSTIC_JOB_UNKNOWN, /* the answer does not tell, or has a word that we do not know */
    ACOUSTIC_JOB_WAITING,
    ACOUSTIC_JOB_RUNNING,
    ACOUSTIC_JOB_COMPLETE,
    ACOUSTIC_JOB_ERROR,
    ACOUSTIC_JOB_CANCELED, /* CANCELED and CANCELLED */
} acoustic_job_state;

/* What an answer to one of the calls says. Texts are cut to size; counts are -1 when missing, and
 * at most 10^12. */
typedef struct acoustic_job {
    char job_id[32]; /* empty when missing or not made of letters, digits, "-" and "_" */
    acoustic_job_state state;
    char description[200];
    long long total_rows, total_valid, added, updated;
    long long bad_addresses, bad_records, not_allowed, duplicates;
    char results_file[128]; /* plain names; empty when missing or not a plain name */
    char error_file[128];
} acoustic_job;

/* Reads an answer of any content, besides acoustic_answer_read(), which says whether it is one. */
void acoustic_job_read(acoustic_job *job, const char *body, size_t length);

#endif
