/*
 * settings.h: the settings of the sandbox: from the environment at its start, and as JSON while it
 * runs (POST /_sandbox/settings, with any of the keys).
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_SETTINGS_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_SETTINGS_H

#include "test/acoustic-sandbox/fault.h"

enum { SETTINGS_PATH = 1024 };

struct settings {
    const char *host;       /* SANDBOX_HOST: address to listen on; loopback unless it is set */
    int port;               /* SANDBOX_PORT */
    const char *state_file; /* SANDBOX_STATE; null: the state is not saved */
    const char *sftp_root;  /* SANDBOX_SFTP_ROOT: folder of the files; null: no imports */
    const char *client_id, *client_secret, *refresh_token; /* SANDBOX_CLIENT_ID, ... */
    const char *table_ids[TABLE_COUNT];                    /* SANDBOX_MAIN_TABLE_ID, ... */

    long latency_ms;          /* SANDBOX_LATENCY_MS: time until an XML API answer */
    long jitter_ms;           /* SANDBOX_JITTER_MS: up to this much more, evenly distributed */
    long exponential_ms;      /* SANDBOX_EXPONENTIAL_MS: this much more on average, mostly less */
    long tail_percent;        /* SANDBOX_TAIL_PERCENT: this many requests of 100 take */
    long tail_ms;             /* SANDBOX_TAIL_MS: this much longer */
    long max_in_flight;       /* SANDBOX_MAX_IN_FLIGHT: more at the same time are refused */
    long token_ttl_s;         /* SANDBOX_TOKEN_TTL_S */
    long auth_status;         /* SANDBOX_AUTH_STATUS: HTTP status of fault 145 */
    long job_wait_ms;         /* SANDBOX_JOB_WAIT_MS: an import starts this long after its call */
    long job_rows_per_second; /* SANDBOX_JOB_ROWS_PER_SECOND; 0: as fast as it can */
    bool empty_is_kept;       /* SANDBOX_EMPTY_IS_KEPT: an empty value changes nothing */
    struct fault_list faults; /* SANDBOX_FAULTS: JSON array of rules, see fault.h */
};

/* Prints the problem to stderr when it returns false. */
bool settings_from_environment(struct settings *settings);
/* Sets the keys that are there. On failure *problem is static text; keys before the bad one are
 * set. */
bool settings_apply(struct settings *settings, json_t *object, const char **problem);
/* The table of an id of Acoustic's; TABLE_COUNT when there is none. */
enum table settings_find_table(const struct settings *settings, const char *id);
/* The path of a file in a folder of sftp_root, "upload" or "download". */
void settings_path(const struct settings *settings, const char *folder, const char *name,
                   char path[SETTINGS_PATH]);
/* The latency of one request. */
long settings_draw_latency_ms(const struct settings *settings);
json_t *settings_json(const struct settings *settings);

#endif
