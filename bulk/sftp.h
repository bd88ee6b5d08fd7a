/*
 * bulk/sftp.h: files on Acoustic's SFTP server, by libcurl. run.c calls it. Each call blocks, and
 * ends by itself when nothing moves for a minute.
 *
 * The server's key must be in the known-hosts file. Files are uploaded to the folder "upload" and
 * results are read from "download", both below the folder in which the account begins.
 */
#ifndef CTMS_BULK_SFTP_H
#define CTMS_BULK_SFTP_H

#include "bulk/settings.h"

typedef enum sftp_result {
    SFTP_OK,
    SFTP_MISSING,   /* no such file */
    SFTP_TRANSIENT, /* worth another try: no connection, broken in the middle, time-out */
    SFTP_REFUSED,   /* an operator must act: unknown host key, login, rights, a full disk */
    SFTP_LOCAL,     /* a local file cannot be read or written */
    SFTP_STOPPED,   /* moved() said so */
} sftp_result;

typedef struct sftp sftp;

typedef struct sftp_events {
    /* Called about once a second while bytes move, and while none do. False ends the call. */
    bool (*moved)(void *arg, long long done, long long total);
    void *arg;
} sftp_events;

/* account must outlive it. Null when libcurl cannot be set up, or cannot do SFTP. */
sftp *sftp_new(const sftp_account *account, const sftp_events *events);
void sftp_free(sftp *s);

/* Writes the file anew, with mode 0600, and checks its size on the server afterwards. Where a
 * connection breaks, it goes on. */
sftp_result sftp_upload(sftp *s, const char *path, const char *name, char *message, size_t size);
/* Within the upload folder; an existing file of the new name is replaced. If only that is there,
 * an earlier try did it: SFTP_OK. */
sftp_result sftp_rename(sftp *s, const char *from, const char *to, char *message, size_t size);
sftp_result sftp_remove_upload(sftp *s, const char *name, char *message, size_t size);
sftp_result sftp_remove_download(sftp *s, const char *name, char *message, size_t size);
/* From the download folder to a local file with mode 0600, which replaces one of that name. More
 * than bytes_max is SFTP_REFUSED. */
sftp_result sftp_download(sftp *s, const char *name, const char *path, long long bytes_max,
                          char *message, size_t size);
/* Asks for nothing: SFTP_OK when the account is let in. */
sftp_result sftp_log_in(sftp *s, char *message, size_t size);
/* The size of a file in the upload folder. */
sftp_result sftp_size(sftp *s, const char *name, long long *bytes, char *message, size_t size);

#endif
