/*
 * acoustic/account.h: the address of Acoustic, and the credentials. settings.c fills it in; token.c
 * and send.c use it.
 */
#ifndef CTMS_ACOUSTIC_ACCOUNT_H
#define CTMS_ACOUSTIC_ACCOUNT_H

#include "acoustic/table.h"

/* The strings belong to the configuration. */
typedef struct acoustic_account {
    char base_url[512]; /* without a slash at the end */
    const char *client_id;
    const char *client_secret;
    const char *refresh_token;
    long long table_ids[ACOUSTIC_TABLES];
    double timeout_s; /* time limit of one request */
} acoustic_account;

#endif
