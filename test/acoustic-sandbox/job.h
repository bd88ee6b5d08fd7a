/*
 * job.h: an import: reads a mapping file and a CSV file from the upload folder, and stores the
 * rows. jobs.c has it work, a piece at a time.
 *
 * Its results are two files in the download folder: <id>.res, with a line for each count, and
 * <id>.err, a CSV file of the refused rows: the line in the source, the reason, and the row.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_JOB_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_JOB_H

#include "test/acoustic-sandbox/refusal.h"
#include "test/acoustic-sandbox/settings.h"
#include "test/acoustic-sandbox/store.h"

enum job_status { JOB_WAITING, JOB_RUNNING, JOB_COMPLETE, JOB_ERROR, JOB_CANCELED };
#define JOB_STATUS_COUNT (JOB_CANCELED + 1)

/* As Acoustic writes them. */
extern const char *const job_status_names[];

struct job_counts {
    long total; /* rows of the file so far, without the header */
    long added, updated;
    long bad_addresses, bad_records, not_allowed;
};

struct job_work;

struct job {
    struct job *next;
    long id;
    const char *operation; /* "ImportList" or "ImportTable" */
    enum table table;      /* TABLE_COUNT while it is not known */
    char map_file[128], source_file[128];
    enum job_status status;
    char description[200];                /* what it does, or why it has failed */
    double created_s, started_s, ended_s; /* seconds since 1970; 0: not yet */
    long delay_ms;                        /* by a rule: it starts so much later */
    bool has_rule;                        /* the rules were looked at */
    enum job_status end_status;           /* by a rule: how it ends */
    long end_after;                       /* and after how many rows; -1: no rule */
    struct job_counts counts;
    bool has_results, has_errors; /* the files are there */
    struct job_work *work;        /* while it is running */
};

/* What imports work with. */
struct job_context {
    struct settings *settings;
    struct store *store;
    struct refusal_log *refusals;
};

/* Reads the mapping and opens the file. Afterwards it is running, or has ended with an error. */
void job_start(const struct job_context *context, struct job *job);
/* Stores at most that many rows, until that time (of clock_now_s()). Returns how many. When the
 * file ends, so does the job. */
long job_step(const struct job_context *context, struct job *job, long max_rows, double until_s);
void job_free(struct job *job);

/* Seconds since 1970. */
double job_time_s(void);

#endif
