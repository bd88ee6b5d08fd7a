/*
 * bulk/internal.h: a run while it is worked on, and what its stages share. run.c has the order of
 * the stages: stages.c (claiming, making, uploading), jobs.c (importing) and settle.c (settling,
 * cleaning). step.c has what all of them do again and again, tables.c what is kept in the database.
 *
 * Nothing here has to outlive the process. Every stage begins with what the tables say, so that it
 * does not matter whether this runner or another one did the work before.
 */
#ifndef CTMS_BULK_INTERNAL_H
#define CTMS_BULK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "acoustic/table.h"
#include "bulk/api.h"
#include "bulk/database.h"
#include "bulk/files.h"
#include "bulk/run.h"
#include "bulk/sftp.h"

/* How a stage, or a part of it, has ended. */
typedef enum bulk_step {
    BULK_STEP_OK,
    BULK_STEP_AGAIN,   /* take the run once more: it gets a new attempt, so new names of files */
    BULK_STEP_GIVE_UP, /* r->error says why; the contacts go back to their lane */
    BULK_STEP_STOPPED, /* is_stopping() said so */
    BULK_STEP_LOST,    /* another runner has the run */
    BULK_STEP_UNAVAILABLE, /* r->problem says what the database, or this machine, has refused */
} bulk_step;

/* States of a file, in the order in which it has them; as in ctms.acoustic_bulk_file. */
typedef enum bulk_file_state {
    BULK_FILE_MADE,     /* may be on the server in part */
    BULK_FILE_UPLOADED, /* no job has been started with this name */
    BULK_FILE_STARTING, /* a job may have been started */
    BULK_FILE_RUNNING,  /* its job is known */
    BULK_FILE_COMPLETE,
    BULK_FILE_FAILED,
    BULK_FILE_REMOVED,
} bulk_file_state;

/* A row of ctms.acoustic_bulk_file: a CSV file and its mapping on the server, and their job. */
typedef struct bulk_remote {
    char kind[24];
    acoustic_table table;
    int attempt;
    char name[96];
    bulk_file_state state;
    long long rows, bytes; /* no rows: nothing of it is imported */
    char job_id[32];
    long long refused; /* rows that the job has refused, as it counts them */
    char results_file[128];
    char error_file[128];
    char error[256];
    int failed_looks; /* in a row, at its job; not in the table */
} bulk_remote;

typedef struct bulk_run {
    const bulk_options *options;
    const bulk_settings *settings;
    bulk_result *result;
    bulk_database *db;
    bulk_api *api;
    sftp *sftp;
    char spool[768]; /* empty until it is needed */

    /* the row of ctms.acoustic_bulk_run; run_id is 0 while there is none */
    long long run_id;
    char state[16];
    int attempt;
    unsigned long long generation;
    char last_email_id[40]; /* of what was claimed; empty: nothing yet */
    long long contacts, sent, refused, changed, returned;
    bool is_given_up;
    bool is_canceled;  /* may also become true later */
    double hold_end_s; /* by clock_now_s() */

    bulk_remote *files; /* all rows, latest attempt first */
    int file_count;

    bool is_of_others;  /* another process has begun it, and knows where */
    bool is_lane_done;  /* no contact of the bulk lane is left behind cursor */
    char cursor[40];    /* the last email_id that was claimed, in any run of ours; empty: none */
    int conflicts;      /* how often the files of this run were made anew */
    int unknown_starts; /* how often nobody could tell whether a job was started */
    bool is_started;    /* Acoustic may have begun to import: too late to cancel */
    bulk_step interruption; /* why nothing more is to be done; BULK_STEP_OK: go on */
    double renew_at_s, progress_at_s;
    bulk_progress progress;
    char detail[40];        /* of the progress */
    long long moved_before; /* bytes of the files before the one that is being uploaded */
    char error[512];        /* of the run, for its row */
    char problem[512];      /* why this runner ends */
} bulk_run;

/* ---- step.c: done again and again --------------------------------------------------- */

/* Renews the lease, tells the progress and asks whether to stop, each when it is time. False when
 * the wait or transfer that calls it is to end: r->interruption says why. */
bool bulk_step_tick(bulk_run *r);
/* The same for transfers, which tell how far they are. */
bool bulk_step_moved(void *run, long long done, long long total);
/* Waits, at most as long as the contacts are held. */
bulk_step bulk_step_wait(bulk_run *r, double seconds);
/* What goes on, for people; detail may be null. */
void
bulk_step_tell(bulk_run *r, const char *detail, const char *unit, long long done, long long total);
/* One line, beginning with the number of the run. */
void bulk_step_log(bulk_run *r, log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Notes why the run is given up. */
bulk_step
bulk_step_give_up(bulk_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Seconds until the hold ends. */
double bulk_step_time_left_s(const bulk_run *r);

/* Asks the database whether the run is still ours, how long its contacts are held, and whether
 * somebody has canceled it. */
bulk_step bulk_step_renew(bulk_run *r);
/* Gives the lease up, so that others need not wait for its end. */
void bulk_step_let_go(bulk_run *r);
/* Gives the run up when it was canceled and Acoustic has not begun. */
void bulk_step_heed_cancel(bulk_run *r);

/* An action on the SFTP server that is worth being tried again. */
typedef sftp_result (*bulk_step_transfer)(bulk_run *r, void *arg, char *message, size_t size);
/* Tries again while that helps. *result: SFTP_OK, SFTP_MISSING, or why it was no use; anything but
 * BULK_STEP_OK is an interruption. */
bulk_step bulk_step_try_transfer(bulk_run *r, bulk_step_transfer transfer, void *arg,
                                 sftp_result *result, char *message, size_t size);

/* ---- tables.c: what is kept of a run ------------------------------------------------- */

/* A statement; result may be null when it is not wanted. */
bulk_step bulk_tables_query(bulk_run *r, const char *sql, int count, const char *const *parameters,
                            PGresult **result);
/* Takes this runner's run, or begins one; r->run_id is 0 when there is none to be had. */
bulk_step bulk_tables_take_run(bulk_run *r, bool may_begin);
/* What became of the contacts. */
bulk_step bulk_tables_read_counts(bulk_run *r);
bulk_step bulk_tables_set_state(bulk_run *r, const char *state);
bulk_step bulk_tables_read_files(bulk_run *r);
/* Writes the row of a file; only then does what follows happen. */
bulk_step bulk_tables_put_file(bulk_run *r, const bulk_remote *file);
/* The file has another name from now on. */
bulk_step bulk_tables_forget_file(bulk_run *r, bulk_remote *file);
/* A job may have been started for the file, and nobody knows its number. */
bool bulk_tables_is_job_unknown(const bulk_remote *file);
/* The row of that kind with the highest attempt; null when there is none. */
bulk_remote *bulk_tables_find_file(bulk_run *r, const char *kind);
/* The row is the one with the highest attempt of its kind. */
bool bulk_tables_is_latest(bulk_run *r, const bulk_remote *file);

/* ---- the stages --------------------------------------------------------------------- */

bulk_step bulk_stages_claim(bulk_run *r);
/* Makes the files and uploads them. */
bulk_step bulk_stages_make(bulk_run *r);
bulk_step bulk_jobs_import(bulk_run *r);
/* Before the run is given up: sees to it that no job imports anything any more. */
bulk_step bulk_jobs_await_end(bulk_run *r);
bulk_step bulk_settle_contacts(bulk_run *r);
bulk_step bulk_settle_clean(bulk_run *r);

#endif
