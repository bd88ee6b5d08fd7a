/* settings.c: fills the agent's settings from the configuration; see settings.h. */
#include "agent/settings.h"

#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

/* Asks libcurl, which will use the URL. */
static bool
is_url(const char *text)
{
    CURLU *url = curl_url();
    bool is_valid = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

    curl_url_cleanup(url);
    return is_valid;
}

static bool
fill_base_url(acoustic_account *account, const config *c)
{
    const char *url = config_string(c, "CTMS_ACOUSTIC_BASE_URL");
    size_t size = sizeof(account->base_url);
    int length;

    if (url != NULL)
        length = snprintf(account->base_url, size, "%s", url);
    else
        length = snprintf(account->base_url, size, "https://api-campaign-us-%lld.goacoustic.com",
                          config_int(c, "CTMS_ACOUSTIC_SERVER_NUMBER"));
    if (length >= (int)size)
        return false;
    while (length > 0 && account->base_url[length - 1] == '/')
        account->base_url[--length] = '\0';
    return is_url(account->base_url);
}

bool
agent_settings_fill(agent_settings *settings, const config *c, char *message, size_t size)
{
    static const char *const table_settings[] = {
        "CTMS_ACOUSTIC_MAIN_TABLE_ID", "CTMS_ACOUSTIC_NEWSLETTER_TABLE_ID",
        "CTMS_ACOUSTIC_WAITLIST_TABLE_ID", "CTMS_ACOUSTIC_PRODUCT_SUBSCRIPTIONS_ID"};
    agent_settings filled = {
        .is_sync_enabled = config_bool(c, "CTMS_ACOUSTIC_SYNC_FEATURE_FLAG"),
        .is_integration_enabled = config_bool(c, "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG"),
        .retry_limit = (int)config_int(c, "CTMS_ACOUSTIC_RETRY_LIMIT"),
        .batch_limit = (int)config_int(c, "CTMS_ACOUSTIC_BATCH_LIMIT"),
        .max_in_flight = (int)config_int(c, "CTMS_ACOUSTIC_MAX_IN_FLIGHT"),
        .loop_s = config_real(c, "CTMS_ACOUSTIC_LOOP_MIN_SECS"),
        .lease_s = config_real(c, "CTMS_ACOUSTIC_LEASE_S"),
        .acoustic = {.client_id = config_string(c, "CTMS_ACOUSTIC_CLIENT_ID"),
                     .client_secret = config_string(c, "CTMS_ACOUSTIC_CLIENT_SECRET"),
                     .refresh_token = config_string(c, "CTMS_ACOUSTIC_REFRESH_TOKEN"),
                     .timeout_s = config_real(c, "CTMS_ACOUSTIC_TIMEOUT_S")},
        .health_path = config_string(c, "CTMS_BACKGROUND_HEALTHCHECK_PATH"),
    };

    _Static_assert(sizeof(table_settings) / sizeof(*table_settings) == ACOUSTIC_TABLES,
                   "every table has a setting");
    for (int table = 0; table < ACOUSTIC_TABLES; table++)
        filled.acoustic.table_ids[table] = config_int_or(c, table_settings[table], 0);
    if (!fill_base_url(&filled.acoustic, c)) {
        snprintf(message, size, "CTMS_ACOUSTIC_BASE_URL is too long, or not a URL");
        return false;
    }
    /* A contact may wait for a few other requests before its own is sent; see sync.h. */
    if (filled.lease_s < 4 * filled.acoustic.timeout_s) {
        snprintf(message, size,
                 "CTMS_ACOUSTIC_LEASE_S must be at least four times CTMS_ACOUSTIC_TIMEOUT_S");
        return false;
    }
    *settings = filled;
    return true;
}
