/* settings.c: fills the settings of runs from the configuration; see settings.h. */
#include "bulk/settings.h"

#include <stdio.h>
#include <string.h>

#include "common/acoustic_login.h"

/* What a run cannot do without. The agent requires some of them by itself, the command line none.
 */
static const char *const needed[] = {"CTMS_ACOUSTIC_CLIENT_ID", "CTMS_ACOUSTIC_CLIENT_SECRET",
                                     "CTMS_ACOUSTIC_REFRESH_TOKEN", "CTMS_ACOUSTIC_SFTP_USER",
                                     "CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE"};

static const char *const table_settings[] = {
    "CTMS_ACOUSTIC_MAIN_TABLE_ID", "CTMS_ACOUSTIC_NEWSLETTER_TABLE_ID",
    "CTMS_ACOUSTIC_WAITLIST_TABLE_ID", "CTMS_ACOUSTIC_PRODUCT_SUBSCRIPTIONS_ID"};

_Static_assert(sizeof(table_settings) / sizeof(*table_settings) == ACOUSTIC_TABLES,
               "every table has a setting");

static bool
is_set(const config *c, const char *name)
{
    const char *value = config_string(c, name);

    return value != NULL && *value != '\0';
}

static bool
check_needed(const config *c, char *message, size_t size)
{
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
        if (!is_set(c, needed[i])) {
            snprintf(message, size, "%s must be set to send contacts by file", needed[i]);
            return false;
        }
    }
    if (!is_set(c, "CTMS_ACOUSTIC_SFTP_PASSWORD") && !is_set(c, "CTMS_ACOUSTIC_SFTP_KEY_FILE")) {
        snprintf(message, size,
                 "CTMS_ACOUSTIC_SFTP_KEY_FILE or CTMS_ACOUSTIC_SFTP_PASSWORD must be set to send"
                 " contacts by file");
        return false;
    }
    return true;
}

static bool
fill_tables(bulk_settings *settings, const config *c, char *message, size_t size)
{
    for (int table = 0; table < ACOUSTIC_TABLES; table++) {
        settings->acoustic.table_ids[table] = config_int_or(c, table_settings[table], -1);
        if (settings->acoustic.table_ids[table] < 0) {
            snprintf(message, size, "%s must be set to send contacts by file",
                     table_settings[table]);
            return false;
        }
    }
    return true;
}

static bool
fill_urls(bulk_settings *settings, const config *c, char *message, size_t size)
{
    const char *url = config_string(c, "CTMS_ACOUSTIC_SFTP_URL");
    size_t length;

    if (!acoustic_login_base_url(c, settings->acoustic.base_url,
                                 sizeof(settings->acoustic.base_url))) {
        snprintf(message, size, "CTMS_ACOUSTIC_BASE_URL is too long, or not a URL");
        return false;
    }
    if (url == NULL || *url == '\0') {
        snprintf(settings->sftp.url, sizeof(settings->sftp.url),
                 "sftp://transfer-campaign-us-%lld.goacoustic.com",
                 config_int(c, "CTMS_ACOUSTIC_SERVER_NUMBER"));
        return true;
    }
    length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    if (length >= sizeof(settings->sftp.url)) {
        snprintf(message, size, "CTMS_ACOUSTIC_SFTP_URL is too long");
        return false;
    }
    memcpy(settings->sftp.url, url, length);
    settings->sftp.url[length] = '\0';
    return true;
}

bool
bulk_settings_fill(bulk_settings *settings, const config *c, char *message, size_t size)
{
    bulk_settings filled = {
        .acoustic = {.client_id = config_string(c, "CTMS_ACOUSTIC_CLIENT_ID"),
                     .client_secret = config_string(c, "CTMS_ACOUSTIC_CLIENT_SECRET"),
                     .refresh_token = config_string(c, "CTMS_ACOUSTIC_REFRESH_TOKEN"),
                     .timeout_s = config_real(c, "CTMS_ACOUSTIC_TIMEOUT_S")},
        .sftp = {.user = config_string(c, "CTMS_ACOUSTIC_SFTP_USER"),
                 .password = config_string(c, "CTMS_ACOUSTIC_SFTP_PASSWORD"),
                 .key_file = config_string(c, "CTMS_ACOUSTIC_SFTP_KEY_FILE"),
                 .key_passphrase = config_string(c, "CTMS_ACOUSTIC_SFTP_KEY_PASSPHRASE"),
                 .known_hosts_file = config_string(c, "CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE")},
        .directory = config_string(c, "CTMS_ACOUSTIC_BULK_DIRECTORY"),
        .from = config_int(c, "CTMS_ACOUSTIC_BULK_FROM"),
        .contacts = config_int(c, "CTMS_ACOUSTIC_BULK_MAX_CONTACTS"),
        .timeout_s = config_real(c, "CTMS_ACOUSTIC_BULK_TIMEOUT_S"),
        .lease_s = config_real(c, "CTMS_ACOUSTIC_LEASE_S"),
        .poll_s = config_real(c, "CTMS_ACOUSTIC_BULK_POLL_S"),
        .retry_limit = (int)config_int(c, "CTMS_ACOUSTIC_RETRY_LIMIT"),
        .max_in_flight = (int)config_int(c, "CTMS_ACOUSTIC_MAX_IN_FLIGHT"),
    };

    if (!check_needed(c, message, size) || !fill_tables(&filled, c, message, size) ||
        !fill_urls(&filled, c, message, size))
        return false;
    *settings = filled;
    return true;
}
