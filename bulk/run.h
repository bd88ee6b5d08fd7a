/*
 * bulk/run.h: waves by file. A run takes contacts from the bulk lane of the queue, writes them to
 * files, uploads these, has Acoustic import them, and finishes the contacts. All that must outlive
 * this process is in ctms.acoustic_bulk_run and ctms.acoustic_bulk_file.
 *
 * The calls block. The command line calls bulk_work() itself, the agent in a process of its own.
 */
#ifndef CTMS_BULK_RUN_H
#define CTMS_BULK_RUN_H

#include "bulk/settings.h"
#include "common/log.h"

/* What a run is doing, for people; valid during the call. */
typedef struct bulk_progress {
    long long run_id;
    const char *state;  /* of the run, as in ctms.acoustic_bulk_run */
    const char *detail; /* a file or a job; may be null */
    const char *unit;   /* of done and total: "contacts", "bytes", "rows" */
    long long done;
    long long total;    /* 0: unknown */
    long long contacts; /* of the run */
} bulk_progress;

/* Sums of the runs that have ended. */
typedef struct bulk_result {
    long long runs;
    long long sent;     /* contacts that Acoustic has taken */
    long long refused;  /* contacts with a row that it has not */
    long long changed;  /* contacts that changed meanwhile: they go the ordinary way */
    long long returned; /* contacts of runs that were given up: they wait in their lane again */
} bulk_result;

typedef enum bulk_outcome {
    BULK_DONE,        /* every contact of the bulk lane has been in a run */
    BULK_IDLE,        /* there was nothing to do */
    BULK_BUSY,        /* another runner is at work */
    BULK_STOPPED,     /* is_stopping() said so; who runs next goes on */
    BULK_FAILED,      /* a run was given up, and its contacts were returned */
    BULK_UNAVAILABLE, /* the database cannot be reached, or refuses */
} bulk_outcome;

typedef struct bulk_options {
    const bulk_settings *settings;
    const char *db_url;
    const char *runner; /* host, process and a random number: the name in the tables */
    bool may_begin;     /* false: only goes on with a run that nobody runs */
    /* Called at least once a second while something goes on; may be null. */
    void (*progress)(void *arg, const bulk_progress *progress);
    void (*log)(void *arg, log_level level, const char *message); /* nothing personal */
    bool (*is_stopping)(void *arg);
    void *arg;
} bulk_options;

/* Whether the folder for files, Acoustic and its SFTP server can be used; if not, message says why.
 * bulk_work() asks by itself before it begins a run. */
bool bulk_check(const bulk_options *options, char *message, size_t size);

/* Runs until the bulk lane has been gone through once. message says why when it is not BULK_DONE.
 */
bulk_outcome
bulk_work(const bulk_options *options, bulk_result *result, char *message, size_t size);

#endif
