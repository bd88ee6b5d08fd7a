/* bulk/sftp_session.c: see bulk/sftp_session.h. */
#include "bulk/sftp_session.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bulk/sftp_guard.h"
#include "common/buf.h"
#include "common/clock.h"

/* A short buffer waits for an answer of the server too often: 16 kB takes four times as long. */
#define BUFFER_BYTES (2L << 20)
#define CONNECT_TIMEOUT_S 30L
#define STALL_S 60.0

/* ---- what libcurl calls ----------------------------------------------------------- */

static int
on_progress(void *arg, curl_off_t download_total, curl_off_t downloaded, curl_off_t upload_total,
            curl_off_t uploaded)
{
    sftp *s = arg;
    long long moved = downloaded + uploaded;
    long long done = s->from + moved;
    double now_s = clock_now_s();

    (void)upload_total;
    sftp_guard_note(moved);
    if (download_total > s->total)
        s->total = download_total;
    if (done != s->done) {
        s->done = done;
        s->moved_s = now_s;
    }
    s->is_stalled = now_s - s->moved_s > STALL_S;
    if (s->events.moved != NULL && now_s - s->told_s >= 1) {
        s->told_s = now_s;
        s->is_stopped = !s->events.moved(s->events.arg, s->done, s->total);
    }
    return s->is_stalled || s->is_stopped;
}

static size_t
on_read(char *to, size_t one, size_t room, void *arg)
{
    sftp *s = arg;
    size_t length = fread(to, one, room, s->file);

    s->has_read = true;
    s->is_local = ferror(s->file) != 0;
    return s->is_local ? CURL_READFUNC_ABORT : length;
}

static int
on_seek(void *arg, curl_off_t offset, int whence)
{
    sftp *s = arg;

    return fseeko(s->file, offset, whence) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* Takes nothing from requests that have no file to write to. */
static size_t
on_write(char *data, size_t one, size_t length, void *arg)
{
    sftp *s = arg;

    (void)one;
    if (s->file == NULL)
        return length;
    s->is_too_long = (long long)length > s->bytes_max;
    if (s->is_too_long)
        return 0;
    s->bytes_max -= (long long)length;
    s->is_local = fwrite(data, 1, length, s->file) != length;
    return s->is_local ? 0 : length;
}

static int
on_host_key(CURL *curl, const struct curl_khkey *known, const struct curl_khkey *found,
            enum curl_khmatch match, void *arg)
{
    (void)curl;
    (void)known;
    (void)found;
    ((sftp *)arg)->host_key = match;
    return match == CURLKHMATCH_OK ? CURLKHSTAT_FINE : CURLKHSTAT_REJECT;
}

/* ---- requests --------------------------------------------------------------------- */

bool
sftp_session_is_plain_name(const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return *name != '\0' && *name != '.' && name[strspn(name, plain)] == '\0';
}

/* libcurl accepts any host without such a file, and any file. */
static bool
has_credentials(const sftp *s, char *message, size_t size)
{
    const sftp_account *account = s->account;
    struct stat found;

    if (account->known_hosts_file == NULL || access(account->known_hosts_file, R_OK) != 0) {
        snprintf(message, size, "CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE cannot be read: %s",
                 account->known_hosts_file != NULL ? account->known_hosts_file : "it is not set");
        return false;
    }
    if (account->key_file == NULL)
        return true;
    if (stat(account->key_file, &found) != 0 || !S_ISREG(found.st_mode) ||
        access(account->key_file, R_OK) != 0) {
        snprintf(message, size, "CTMS_ACOUSTIC_SFTP_KEY_FILE cannot be read: %s",
                 account->key_file);
        return false;
    }
    if ((found.st_mode & 077) != 0) {
        snprintf(message, size, "others may read CTMS_ACOUSTIC_SFTP_KEY_FILE: chmod 600 %s",
                 account->key_file);
        return false;
    }
    return true;
}

static void
set_login(sftp *s)
{
    const sftp_account *account = s->account;
    long types = 0;

    if (account->key_file != NULL)
        types |= CURLSSH_AUTH_PUBLICKEY;
    if (account->password != NULL)
        types |= CURLSSH_AUTH_PASSWORD | CURLSSH_AUTH_KEYBOARD;
    curl_easy_setopt(s->curl, CURLOPT_SSH_AUTH_TYPES, types);
    curl_easy_setopt(s->curl, CURLOPT_USERNAME, account->user);
    curl_easy_setopt(s->curl, CURLOPT_PASSWORD, account->password);
    curl_easy_setopt(s->curl, CURLOPT_SSH_PRIVATE_KEYFILE, account->key_file);
    curl_easy_setopt(s->curl, CURLOPT_KEYPASSWD, account->key_passphrase);
    curl_easy_setopt(s->curl, CURLOPT_SSH_KNOWNHOSTS, account->known_hosts_file);
    curl_easy_setopt(s->curl, CURLOPT_SSH_KEYFUNCTION, on_host_key);
    curl_easy_setopt(s->curl, CURLOPT_SSH_KEYDATA, s);
}

/* libcurl does not notice that the server has closed a connection that was kept: it would wait
 * until the request stalls. Nothing may come in between two requests, so whatever can be read is
 * the end, or as good as that. */
static bool
is_closed(sftp *s)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    char byte;

    if (curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
        return false;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

void
sftp_session_begin(sftp *s, const char *folder, const char *name)
{
    buf url = BUF_INIT;
    CURL *fresh = is_closed(s) ? curl_easy_init() : NULL;

    if (fresh != NULL) {
        curl_easy_cleanup(s->curl);
        s->curl = fresh;
    }
    curl_easy_reset(s->curl);
    sftp_guard_set_up(s->curl);
    buf_printf(&url, "%s/~/%s%s%s", s->account->url, folder, *folder ? "/" : "", name);
    curl_easy_setopt(s->curl, CURLOPT_URL, buf_text(&url));
    buf_free(&url);
    set_login(s);
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "sftp");
    curl_easy_setopt(s->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(s->curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(s->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(s->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(s->curl, CURLOPT_XFERINFODATA, s);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
    s->file = NULL;
    s->from = s->done = s->total = 0;
    s->bytes_max = 0;
    s->is_stopped = s->is_stalled = s->is_local = s->is_too_long = s->has_read = false;
    s->host_key = CURLKHMATCH_OK;
}

void
sftp_session_set_upload(sftp *s)
{
    rewind(s->file);
    s->done = s->from;
    curl_easy_setopt(s->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(s->curl, CURLOPT_NEW_FILE_PERMS, 0600L);
    curl_easy_setopt(s->curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(s->curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(s->curl, CURLOPT_READDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(s->curl, CURLOPT_SEEKDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)s->total);
    curl_easy_setopt(s->curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)s->from);
}

static sftp_result
find_result(const sftp *s)
{
    if (s->is_local)
        return SFTP_LOCAL;
    if (s->is_too_long)
        return SFTP_REFUSED;
    if (s->is_stopped)
        return SFTP_STOPPED;
    if (s->is_flooded)
        return SFTP_TRANSIENT;
    switch (s->code) {
    case CURLE_OK: return SFTP_OK;
    case CURLE_REMOTE_FILE_NOT_FOUND: return SFTP_MISSING;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_LOGIN_DENIED:
    case CURLE_REMOTE_ACCESS_DENIED:
    case CURLE_REMOTE_DISK_FULL:
    case CURLE_REMOTE_FILE_EXISTS:
    case CURLE_QUOTE_ERROR:
    case CURLE_UPLOAD_FAILED:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return SFTP_REFUSED;
    case CURLE_OUT_OF_MEMORY: return SFTP_LOCAL;
    default: return SFTP_TRANSIENT;
    }
}

/* The words for an operator who has to do something about it, or null. */
static void
explain_login(const sftp *s, char *message, size_t size)
{
    const sftp_account *account = s->account;

    if (s->code == CURLE_LOGIN_DENIED)
        snprintf(message, size, "it does not let CTMS_ACOUSTIC_SFTP_USER in with the %s (%s)",
                 account->key_file == NULL   ? "password"
                 : account->password == NULL ? "key, or the key's passphrase is wrong"
                                             : "key or the password",
                 s->error);
    else if (s->host_key == CURLKHMATCH_MISMATCH)
        snprintf(message, size,
                 "its key is not the one in %s: somebody may be in between; if it has a new one, "
                 "remove the line and add that of: ssh-keyscan -p %s %s",
                 account->known_hosts_file, s->port, s->host);
    else
        snprintf(message, size,
                 "its key is not in %s: compare it with what Acoustic says, then add it: "
                 "ssh-keyscan -p %s %s >>%s",
                 account->known_hosts_file, s->port, s->host, account->known_hosts_file);
}

static void
explain(const sftp *s, const char *what, char *message, size_t size)
{
    char why[768];

    if (s->code == CURLE_LOGIN_DENIED || s->host_key != CURLKHMATCH_OK)
        explain_login(s, why, sizeof(why));
    else if (s->is_too_long)
        snprintf(why, sizeof(why), "the file is too long");
    else if (s->is_flooded)
        snprintf(why, sizeof(why), "it sends without end what nobody has asked for");
    else if (s->is_stopped)
        snprintf(why, sizeof(why), "stopped");
    else if (s->is_stalled)
        snprintf(why, sizeof(why), "nothing moved for %.0f seconds", STALL_S);
    else
        snprintf(why, sizeof(why), "%s", *s->error ? s->error : curl_easy_strerror(s->code));
    snprintf(message, size, "SFTP server %s: could not %s: %s", s->host, what, why);
}

sftp_result
sftp_session_perform(sftp *s, const char *what, const char *name, char *message, size_t size)
{
    sftp_result result;
    char both[256];

    if (!has_credentials(s, message, size))
        return SFTP_REFUSED;
    s->error[0] = '\0';
    s->moved_s = clock_now_s();
    /* Also the first look at a large file is worth a call, after a second. */
    s->told_s = s->moved_s;
    sftp_guard_begin();
    s->code = curl_easy_perform(s->curl);
    s->is_flooded = sftp_guard_end() && s->code != CURLE_OK;
    result = find_result(s);
    if (result != SFTP_OK) {
        snprintf(both, sizeof(both), "%s%s%s", what, name != NULL ? " " : "",
                 name != NULL ? name : "");
        explain(s, both, message, size);
    }
    return result;
}
