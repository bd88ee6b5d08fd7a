/*
 * bulk/settings.h: what the runs need to know, from the configuration. agent/settings.c and
 * cli/cmd_acoustic_bulk.c fill it in with bulk_settings_fill().
 */
#ifndef CTMS_BULK_SETTINGS_H
#define CTMS_BULK_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "acoustic/account.h"
#include "common/config.h"

/* The account at Acoustic's SFTP server. The strings belong to the configuration. */
typedef struct sftp_account {
    char url[512]; /* "sftp://host:port", without a slash at the end */
    const char *user;
    const char *password;       /* may be null */
    const char *key_file;       /* of the private key; may be null */
    const char *key_passphrase; /* may be null */
    const char *known_hosts_file;
} sftp_account;

typedef struct bulk_settings {
    acoustic_account acoustic;
    sftp_account sftp;
    const char *directory; /* where files are made; null: a folder of the user's for such files */
    long long from;        /* the agent begins by itself when so many contacts wait; 0: never */
    long long contacts;    /* of one run, at most */
    double timeout_s;      /* of one run; then its contacts are free again */
    double lease_s;        /* when a runner has died, others go on after this time */
    double poll_s;         /* longest wait between two looks at a job */
    int retry_limit;
    int max_in_flight; /* requests to Acoustic, of all agents */
} bulk_settings;

/* False with a message when a setting that a run cannot do without is missing or wrong. The
 * configuration must outlive the settings. */
bool bulk_settings_fill(bulk_settings *settings, const config *c, char *message, size_t size);

#endif
