/*
 * doctor/settings.c: the settings of the three programs, and who may read the files that they come
 * from; see doctor.h.
 */
#include "cli/doctor/doctor.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bulk/settings.h"
#include "cli/settings_file.h"
#include "common/acoustic_login.h"

#define CORRECT "Correct it; docs/configuration.md says what each setting may be."

static const unsigned program_bits[] = {CONFIG_CLI, CONFIG_REST, CONFIG_AGENT};

/* Where a program of an installed package has its settings, and the option that names another. */
static const char *const usual_files[] = {NULL, "/etc/ctms/rest.env", "/etc/ctms/agent.env"};
static const char *const file_options[] = {NULL, "rest-config", "agent-config"};

/* A setting that the program requires and that the settings of `ctms` do, or do not, have. */
static const char *
find_required(const struct doctor *d, int program, bool is_set)
{
    for (const config_setting *setting = config_table; setting->name; setting++) {
        if ((setting->required_by & program_bits[program]) &&
            (config_string(d->settings[DOCTOR_CLI], setting->name) != NULL) == is_set)
            return setting->name;
    }
    return NULL;
}

/*
 * The file that holds the settings of a program: the one that was named, or the usual one if the
 * settings of `ctms` are not those of the program too.
 */
static const char *
find_file(const struct doctor *d, int program)
{
    const char *named = cli_get_option(d->cli, file_options[program]);

    if (named)
        return named;
    if (d->cli->is_config_given || (d->settings[DOCTOR_CLI] && find_required(d, program, true)))
        return NULL;
    return access(usual_files[program], F_OK) == 0 ? usual_files[program] : NULL;
}

/* For a message: where the settings of a program, or of `ctms`, come from. Valid until the next
 * call. */
static const char *
source_of(const struct doctor *d, const char *file_of_program)
{
    static char text[512];
    const char *file = file_of_program ? file_of_program : d->cli->config_file;

    snprintf(text, sizeof(text), ", from %s%s%s%s", file ? "\"" : "", file ? file : "",
             file ? "\"" : "",
             file_of_program ? ""
             : file          ? " and the environment"
                             : "the environment alone");
    return text;
}

/* Rules that are not in the table of settings. */
static void
check_agent(struct doctor *d, const config *settings, const char *file)
{
    bool is_by_file = config_string(settings, "CTMS_ACOUSTIC_SFTP_USER") ||
                      config_int(settings, "CTMS_ACOUSTIC_BULK_FROM") > 0;
    bulk_settings bulk;
    char message[512];
    char url[512];

    if (!acoustic_login_base_url(settings, url, sizeof(url)))
        doctor_fail(d, CORRECT, "ctms-agent: CTMS_ACOUSTIC_BASE_URL is too long, or not a URL");
    else if (config_real(settings, "CTMS_ACOUSTIC_LEASE_S") <
             4 * config_real(settings, "CTMS_ACOUSTIC_TIMEOUT_S"))
        doctor_fail(d, CORRECT,
                    "ctms-agent: CTMS_ACOUSTIC_LEASE_S must be at least four times "
                    "CTMS_ACOUSTIC_TIMEOUT_S");
    else if (is_by_file && !bulk_settings_fill(&bulk, settings, message, sizeof(message)))
        doctor_fail(d, CORRECT, "ctms-agent: %s", message);
    else if (!config_bool(settings, "CTMS_ACOUSTIC_SYNC_FEATURE_FLAG"))
        doctor_ok(d, "ctms-agent: valid; leaves the queue alone "
                     "(CTMS_ACOUSTIC_SYNC_FEATURE_FLAG=false)");
    else if (!config_bool(settings, "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG"))
        doctor_warn(d, "Set it to true, unless the contacts shall not be sent.",
                    "ctms-agent: empties the queue without sending "
                    "(CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG=false)");
    else
        doctor_ok(d, "ctms-agent: valid%s", source_of(d, file));
}

/* For root a server with a file of settings is the package's, which runs as a user of its name. */
static void
find_user(struct doctor *d, int program)
{
    struct passwd *entry = geteuid() == 0 ? getpwnam(doctor_program_names[program]) : NULL;

    if (entry)
        d->user[program] =
            (struct doctor_user){.is_other = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
}

/* The settings of a server are a file, as it is started with, or those of `ctms`. */
static void
read_program(struct doctor *d, int program)
{
    static char *nothing[] = {NULL};
    const char *name = doctor_program_names[program];
    const char *file = find_file(d, program);
    config_error error;

    if (!file && !d->settings[DOCTOR_CLI]) {
        doctor_skip(d, "%s: not checked: needs settings of ctms without an error", name);
        return;
    }
    if (!file && !find_required(d, program, true)) {
        doctor_skip(d, "%s: not checked: %s is not set here; --%s FILE reads another file", name,
                    find_required(d, program, false), file_options[program]);
        return;
    }
    d->settings[program] = config_read(program_bits[program], file ? file : d->cli->config_file,
                                       file ? nothing : environ, &error);
    if (file)
        find_user(d, program);
    if (!d->settings[program])
        doctor_fail(d, CORRECT, "%s: %s", name, error.message);
    else if (program == DOCTOR_AGENT)
        check_agent(d, d->settings[program], file);
    else
        doctor_ok(d, "%s: valid%s", name, source_of(d, file));
}

void
doctor_check_settings(struct doctor *d)
{
    config_error error;

    d->settings[DOCTOR_CLI] = settings_file_read(d->cli, &error);
    if (d->settings[DOCTOR_CLI])
        doctor_ok(d, "ctms: valid%s", source_of(d, NULL));
    else
        doctor_fail(d, CORRECT, "ctms: %s", error.message);
    read_program(d, DOCTOR_REST);
    read_program(d, DOCTOR_AGENT);
}

/* ---- files -------------------------------------------------------------------------------- */

/* Who may write to its folder may put another file in its place. */
static bool
check_folder(struct doctor *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
    struct stat status;
    char folder[4096];

    if (length >= sizeof(folder))
        return true;
    snprintf(folder, sizeof(folder), "%.*s", (int)length, slash ? path : ".");
    if (stat(folder, &status) != 0 || !(status.st_mode & (S_IWOTH | S_IWGRP)) ||
        (status.st_mode & S_ISVTX))
        return true;
    doctor_warn(d, "Let only its owner write to the folder: chmod go-w",
                "\"%s\": its folder has mode %04o: others may replace it", path,
                (unsigned)status.st_mode & 07777);
    return false;
}

/* Reports a file that others may read or change; counts the files that were looked at. */
static bool
check_file(struct doctor *d, const char *path, int *count)
{
    struct stat status;

    if (!path || stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return true;
    ++*count;
    if (!(status.st_mode & (S_IRWXO | S_IWGRP)))
        return check_folder(d, path);
    doctor_warn(d, "Let only its owner write it, and only its group read it: chmod 0640",
                "\"%s\" has mode %04o: others may %s it", path, (unsigned)status.st_mode & 07777,
                status.st_mode & (S_IWOTH | S_IWGRP) ? "change" : "read");
    return false;
}

void
doctor_check_secrets(struct doctor *d)
{
    int count = 0;
    bool is_private = check_file(d, d->cli->config_file, &count);

    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        if (!d->settings[program])
            continue;
        if (program != DOCTOR_CLI)
            is_private &= check_file(d, find_file(d, program), &count);
        for (const config_setting *setting = config_table; setting->name; setting++) {
            const char *path = config_secret_file(d->settings[program], setting->name);

            /* Programs with the same settings have the same files. */
            if (program != DOCTOR_CLI && d->settings[DOCTOR_CLI] && !find_file(d, program))
                path = NULL;
            is_private &= check_file(d, path, &count);
        }
    }
    if (is_private && count > 0)
        doctor_ok(d, "others may read none of the %d files with settings", count);
    /* After an error nobody knows all the files. */
    else if (is_private && d->counts[DOCTOR_ERROR] == 0)
        doctor_ok(d, "settings come from the environment alone");
}
