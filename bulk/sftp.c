/*
 * bulk/sftp.c: see bulk/sftp.h. Where the folders are is here and nowhere else; sftp_session.c has
 * what all requests share.
 */
#include "bulk/sftp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bulk/sftp_session.h"
#include "common/buf.h"
#include "common/new_file.h"

/* Below the folder in which the account begins. */
#define UPLOADS "upload"
#define DOWNLOADS "download"

/* After so many broken connections the upload is given up for now. */
#define RESUMES_MAX 20

static sftp_result
refuse_name(char *message, size_t size)
{
    snprintf(message, size, "the name of a file on the SFTP server is not plain");
    return SFTP_REFUSED;
}

/* ---- small requests --------------------------------------------------------------- */

static sftp_result
find_size(sftp *s, const char *folder, const char *name, long long *bytes, char *message,
          size_t size)
{
    curl_off_t length = -1;
    sftp_result result;

    sftp_session_begin(s, folder, name);
    curl_easy_setopt(s->curl, CURLOPT_NOBODY, 1L);
    result = sftp_session_perform(s, "find", name, message, size);
    if (result != SFTP_OK)
        return result;
    curl_easy_getinfo(s->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    /* libcurl does not know the size of an empty file. */
    *bytes = length < 0 ? 0 : length;
    return SFTP_OK;
}

/* Commands of libcurl: "rm path", with "*" in front if it may fail. */
static sftp_result
run_commands(sftp *s, const char *first, const char *second, const char *what, const char *name,
             char *message, size_t size)
{
    struct curl_slist *commands = curl_slist_append(NULL, first);
    sftp_result result;

    if (second != NULL)
        commands = curl_slist_append(commands, second);
    sftp_session_begin(s, "", "");
    curl_easy_setopt(s->curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(s->curl, CURLOPT_QUOTE, commands);
    result = sftp_session_perform(s, what, name, message, size);
    curl_slist_free_all(commands);
    return result;
}

static sftp_result
remove_file(sftp *s, const char *folder, const char *name, char *message, size_t size)
{
    char command[256];
    char unused[1];
    long long bytes;
    sftp_result result;

    if (!sftp_session_is_plain_name(name))
        return refuse_name(message, size);
    snprintf(command, sizeof(command), "rm %s/%s", folder, name);
    result = run_commands(s, command, NULL, "remove", name, message, size);
    if (s->code == CURLE_QUOTE_ERROR &&
        find_size(s, folder, name, &bytes, unused, sizeof(unused)) == SFTP_MISSING)
        return SFTP_MISSING;
    return result;
}

/* libcurl logs in only to do something: no file has this name. */
sftp_result
sftp_log_in(sftp *s, char *message, size_t size)
{
    sftp_result result;

    sftp_session_begin(s, UPLOADS, "ctms_check");
    curl_easy_setopt(s->curl, CURLOPT_NOBODY, 1L);
    result = sftp_session_perform(s, "log in", NULL, message, size);
    return result == SFTP_MISSING ? SFTP_OK : result;
}

sftp_result
sftp_size(sftp *s, const char *name, long long *bytes, char *message, size_t size)
{
    if (!sftp_session_is_plain_name(name))
        return refuse_name(message, size);
    return find_size(s, UPLOADS, name, bytes, message, size);
}

sftp_result
sftp_remove_upload(sftp *s, const char *name, char *message, size_t size)
{
    return remove_file(s, UPLOADS, name, message, size);
}

sftp_result
sftp_remove_download(sftp *s, const char *name, char *message, size_t size)
{
    return remove_file(s, DOWNLOADS, name, message, size);
}

sftp_result
sftp_rename(sftp *s, const char *from, const char *to, char *message, size_t size)
{
    char remove[256], rename[512];
    long long bytes;
    sftp_result result;

    if (!sftp_session_is_plain_name(from) || !sftp_session_is_plain_name(to))
        return refuse_name(message, size);
    result = find_size(s, UPLOADS, from, &bytes, message, size);
    /* The answer to an earlier try may have been lost. */
    if (result == SFTP_MISSING)
        return find_size(s, UPLOADS, to, &bytes, message, size);
    if (result != SFTP_OK)
        return result;
    /* Version 3 of the protocol does not replace a file. */
    snprintf(remove, sizeof(remove), "*rm %s/%s", UPLOADS, to);
    snprintf(rename, sizeof(rename), "rename %s/%s %s/%s", UPLOADS, from, UPLOADS, to);
    return run_commands(s, remove, rename, "rename", from, message, size);
}

/* ---- uploads and downloads -------------------------------------------------------- */

static sftp_result
upload_from(sftp *s, FILE *file, const char *name, long long from, long long total, char *message,
            size_t size)
{
    struct curl_slist *commands = NULL;
    char remove[256];
    sftp_result result;

    sftp_session_begin(s, UPLOADS, name);
    /* What is there may have another owner or mode, or be a link. */
    snprintf(remove, sizeof(remove), "*rm %s/%s", UPLOADS, name);
    if (from == 0)
        commands = curl_slist_append(NULL, remove);
    s->file = file;
    s->from = from;
    s->total = total;
    sftp_session_set_upload(s);
    curl_easy_setopt(s->curl, CURLOPT_QUOTE, commands);
    result = sftp_session_perform(s, "upload", name, message, size);
    curl_slist_free_all(commands);
    /* The folder is missing, not the file. */
    return result == SFTP_MISSING ? SFTP_REFUSED : result;
}

/*
 * Goes on where a connection broke. libcurl does not tell a full disk from a broken connection: but
 * when the server lets the file be opened twice, and takes nothing, it is the server that refuses.
 */
static sftp_result
upload(sftp *s, FILE *file, const char *name, long long total, char *message, size_t size)
{
    long long from = 0;
    char unused[1];
    sftp_result result = SFTP_OK;

    for (int tries = 0, refusals = 0; tries <= RESUMES_MAX; tries++) {
        long long there = 0;
        bool is_refusal;

        result = upload_from(s, file, name, from, total, message, size);
        is_refusal = s->code == CURLE_SSH && s->has_read;
        if (result != SFTP_TRANSIENT || s->is_stalled)
            return result;
        if (find_size(s, UPLOADS, name, &there, unused, sizeof(unused)) != SFTP_OK ||
            there < from || there > total)
            return result;
        refusals = is_refusal && there == from ? refusals + 1 : 0;
        if (refusals == 2) {
            snprintf(
                message, size,
                "SFTP server %s: it takes only %lld of the %lld bytes of %s: is its disk full?",
                s->host, there, total, name);
            return SFTP_REFUSED;
        }
        from = there;
    }
    return result;
}

static sftp_result
check_size(sftp *s, const char *name, long long total, char *message, size_t size)
{
    long long there = 0;
    sftp_result result = find_size(s, UPLOADS, name, &there, message, size);

    if (result != SFTP_OK || there == total)
        return result == SFTP_MISSING ? SFTP_TRANSIENT : result;
    snprintf(message, size, "SFTP server %s: %s has %lld bytes instead of %lld", s->host, name,
             there, total);
    return SFTP_TRANSIENT;
}

sftp_result
sftp_upload(sftp *s, const char *path, const char *name, char *message, size_t size)
{
    struct stat found;
    FILE *file;
    sftp_result result;

    if (!sftp_session_is_plain_name(name))
        return refuse_name(message, size);
    file = fopen(path, "re");
    if (file == NULL || fstat(fileno(file), &found) != 0 || !S_ISREG(found.st_mode)) {
        snprintf(message, size, "could not read %s", path);
        if (file != NULL)
            fclose(file);
        return SFTP_LOCAL;
    }
    result = upload(s, file, name, found.st_size, message, size);
    fclose(file);
    s->file = NULL;
    if (result == SFTP_OK)
        result = check_size(s, name, found.st_size, message, size);
    return result;
}

sftp_result
sftp_download(sftp *s, const char *name, const char *path, long long bytes_max, char *message,
              size_t size)
{
    const char *problem;
    new_file file;
    sftp_result result;

    if (!sftp_session_is_plain_name(name))
        return refuse_name(message, size);
    if (!new_file_open(&file, path, 0600, &problem)) {
        snprintf(message, size, "could not write %s: %s", path, problem);
        return SFTP_LOCAL;
    }
    sftp_session_begin(s, DOWNLOADS, name);
    s->file = file.stream;
    s->bytes_max = bytes_max;
    curl_easy_setopt(s->curl, CURLOPT_BUFFERSIZE, 512L << 10);
    result = sftp_session_perform(s, "download", name, message, size);
    s->file = NULL;
    if (result != SFTP_OK) {
        new_file_discard(&file);
        return result;
    }
    if (!new_file_finish(&file, false, &problem)) {
        snprintf(message, size, "could not write %s: %s", path, problem);
        return SFTP_LOCAL;
    }
    return SFTP_OK;
}

/* ---- begin and end ---------------------------------------------------------------- */

static bool
has_protocol(void)
{
    const char *const *protocol = curl_version_info(CURLVERSION_NOW)->protocols;

    while (*protocol != NULL && strcmp(*protocol, "sftp") != 0)
        protocol++;
    return *protocol != NULL;
}

static void
copy_part(char *to, size_t size, CURLU *url, CURLUPart part)
{
    char *text = NULL;

    if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK)
        snprintf(to, size, "%s", text);
    curl_free(text);
}

sftp *
sftp_new(const sftp_account *account, const sftp_events *events)
{
    CURL *curl = has_protocol() ? curl_easy_init() : NULL;
    CURLU *url;
    sftp *s;

    if (curl == NULL)
        return NULL;
    s = xcalloc(1, sizeof(*s));
    s->account = account;
    if (events != NULL)
        s->events = *events;
    s->curl = curl;
    url = curl_url();
    if (url != NULL && curl_url_set(url, CURLUPART_URL, account->url, 0) == CURLUE_OK) {
        copy_part(s->host, sizeof(s->host), url, CURLUPART_HOST);
        copy_part(s->port, sizeof(s->port), url, CURLUPART_PORT);
    }
    curl_url_cleanup(url);
    return s;
}

void
sftp_free(sftp *s)
{
    if (s == NULL)
        return;
    curl_easy_cleanup(s->curl);
    free(s);
}
