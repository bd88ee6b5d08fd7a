/*
 * bulk/sftp_guard.h: cuts a connection to an SFTP server that sends without end. sftp_session.c
 * calls it for each request.
 *
 * libssh2 keeps whatever packets come before the server's key is known, and reads lines in front of
 * the greeting for as long as some come, without ever returning to libcurl. So whoever sits in
 * between could fill the memory, or keep the process busy for ever. A timer looks from outside, by
 * SIGALRM: at how much has arrived, and whether libcurl is still heard of.
 */
#ifndef CTMS_BULK_SFTP_GUARD_H
#define CTMS_BULK_SFTP_GUARD_H

#include <curl/curl.h>
#include <stdbool.h>

/* Has the handle make its sockets here. After each curl_easy_reset(). */
void sftp_guard_set_up(CURL *curl);
/* Around a request; one at a time in a process. */
void sftp_guard_begin(void);
/* True when the connection had to be cut. */
bool sftp_guard_end(void);
/* libcurl is alive, and so many bytes of the file have moved in this request. */
void sftp_guard_note(long long moved);

#endif
