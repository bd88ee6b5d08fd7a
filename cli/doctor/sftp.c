/*
 * doctor/sftp.c: the server that takes files for Acoustic: settings, key, known hosts, and whether
 * the account may log in; see doctor.h.
 */
#include "cli/doctor/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bulk/sftp.h"
#include "common/buf.h"
#include "common/clock.h"

/* One login; all but the account is its own. */
struct visit {
    sftp_account account;
    double deadline_s;
    sftp_result result;
    char message[512];
};

static bool
is_in_time(void *arg, long long done, long long total)
{
    const struct visit *visit = arg;

    (void)done;
    (void)total;
    return clock_now_s() < visit->deadline_s;
}

static void
visit_run(void *job)
{
    struct visit *visit = job;
    sftp_events events = {.moved = is_in_time, .arg = visit};
    sftp *s = sftp_new(&visit->account, &events);

    snprintf(visit->message, sizeof(visit->message), "this libcurl has no SFTP");
    visit->result = SFTP_REFUSED;
    if (s)
        visit->result = sftp_log_in(s, visit->message, sizeof(visit->message));
    sftp_free(s);
}

static void
log_in(struct doctor *d, const sftp_account *account)
{
    struct visit *visit = xcalloc(1, sizeof(*visit));

    visit->account = *account;
    visit->deadline_s = clock_now_s() + 0.9 * doctor_time_left(d);
    if (!doctor_run(d, visit_run, visit)) {
        doctor_fail(d, "May this machine reach it, through a firewall?", "no answer: timed out");
        return;
    }
    switch (visit->result) {
    case SFTP_OK: doctor_ok(d, "the account may log in"); break;
    case SFTP_STOPPED:
        doctor_fail(d, "May this machine reach it, through a firewall?", "no answer: timed out");
        break;
    case SFTP_TRANSIENT:
        doctor_fail(d,
                    "May this machine reach it, through a firewall? Is CTMS_ACOUSTIC_SFTP_URL "
                    "right?",
                    "%s", visit->message);
        break;
    case SFTP_MISSING:
    case SFTP_REFUSED:
    case SFTP_LOCAL:
        doctor_fail(d, "docs/operations.md, \"A first load\", says how the account is set up.",
                    "%s", visit->message);
        break;
    }
    free(visit);
}

/* Only what this user may see can be told. */
static bool
check_key(struct doctor *d, const char *path)
{
    struct stat status;

    if (!path)
        return true;
    if (stat(path, &status) != 0) {
        if (errno == EACCES)
            doctor_skip(d, "CTMS_ACOUSTIC_SFTP_KEY_FILE: not checked: needs the agent's user");
        else
            doctor_fail(d, "Name the file with the private key.", "CTMS_ACOUSTIC_SFTP_KEY_FILE: %s",
                        strerror(errno));
        return false;
    }
    if (status.st_mode & (S_IRWXG | S_IRWXO)) {
        doctor_fail(d, "Let only the agent's user read it: chmod 0600",
                    "CTMS_ACOUSTIC_SFTP_KEY_FILE has mode %04o: others may use the key",
                    (unsigned)status.st_mode & 07777);
        return false;
    }
    if (access(path, R_OK) == 0)
        return true;
    doctor_skip(d, "CTMS_ACOUSTIC_SFTP_KEY_FILE: not checked: needs the agent's user");
    return false;
}

static bool
check_known_hosts(struct doctor *d, const char *path)
{
    if (access(path, R_OK) == 0)
        return true;
    doctor_fail(d, "Write it with ssh-keyscan, and compare the key with what Acoustic says.",
                "CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE: %s", strerror(errno));
    return false;
}

/* The settings with an account: the agent's, or those of `ctms`. */
static const config *
find_settings(const struct doctor *d)
{
    static const int programs[] = {DOCTOR_AGENT, DOCTOR_CLI};

    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        const config *settings = d->settings[programs[i]];

        if (settings && (config_string(settings, "CTMS_ACOUSTIC_SFTP_USER") ||
                         config_int(settings, "CTMS_ACOUSTIC_BULK_FROM") > 0))
            return settings;
    }
    return NULL;
}

void
doctor_check_sftp(struct doctor *d)
{
    const config *settings = find_settings(d);
    bulk_settings bulk;
    char message[512];

    if (!settings) {
        doctor_skip(d, "not checked: needs CTMS_ACOUSTIC_SFTP_USER, of waves by file");
        return;
    }
    if (!bulk_settings_fill(&bulk, settings, message, sizeof(message))) {
        if (settings == d->settings[DOCTOR_AGENT])
            doctor_skip(d, "not checked: needs settings of ctms-agent without an error");
        else
            doctor_fail(d, "Correct it; docs/configuration.md says what each setting may be.", "%s",
                        message);
        return;
    }
    if (check_key(d, bulk.sftp.key_file) && check_known_hosts(d, bulk.sftp.known_hosts_file))
        log_in(d, &bulk.sftp);
}
