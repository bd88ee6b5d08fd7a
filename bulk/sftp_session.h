/*
 * bulk/sftp_session.h: requests to an SFTP server by libcurl: login, host key, limits, and what
 * libcurl's errors mean. sftp.c alone calls it.
 *
 * One handle is used for all requests, so its connection is kept from one to the next.
 */
#ifndef CTMS_BULK_SFTP_SESSION_H
#define CTMS_BULK_SFTP_SESSION_H

#include <stdio.h>

#include <curl/curl.h>

#include "bulk/sftp.h"

struct sftp {
    const sftp_account *account;
    sftp_events events;
    CURL *curl;
    char host[256];
    char port[8];
    /* Of the request that runs. */
    CURLcode code;
    char error[CURL_ERROR_SIZE];
    FILE *file;                  /* to read or write; null: what comes is dropped */
    long long from, done, total; /* done and total count what was there before */
    long long bytes_max;         /* that may still be written to the file */
    double moved_s, told_s;
    bool is_stopped, is_stalled, is_local, is_too_long, is_flooded, has_read;
    enum curl_khmatch host_key;
};

/* Names become part of URLs and commands, and some come from Acoustic. */
bool sftp_session_is_plain_name(const char *name);
/* Sets up a request for a path below the start folder, with no file. */
void sftp_session_begin(sftp *s, const char *folder, const char *name);
/* Makes it an upload of the file from s->from on, of s->total bytes. */
void sftp_session_set_upload(sftp *s);
/* what and name: "upload", "ctms_17.csv", for the message. */
sftp_result
sftp_session_perform(sftp *s, const char *what, const char *name, char *message, size_t size);

#endif
