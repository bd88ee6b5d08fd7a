/* settings.c: fills the agent's settings from the configuration; see settings.h. */
#include "agent/settings.h"

#include <stdio.h>
#include <string.h>

#include "bulk/settings.h"
#include "common/acoustic_login.h"

/* Without an account at the server that takes files nothing is sent by file. */
static bool
fill_bulk(agent_settings *settings, const config *c, char *message, size_t size)
{
    bulk_settings bulk;

    settings->bulk_from = config_int(c, "CTMS_ACOUSTIC_BULK_FROM");
    if (settings->bulk_from == 0 && config_string(c, "CTMS_ACOUSTIC_SFTP_USER") == NULL)
        return true;
    settings->is_bulk_ready = bulk_settings_fill(&bulk, c, message, size);
    return settings->is_bulk_ready;
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
        .metrics_token = config_string(c, "CTMS_METRICS_TOKEN"),
    };

    _Static_assert(sizeof(table_settings) / sizeof(*table_settings) == ACOUSTIC_TABLES,
                   "every table has a setting");
    for (int table = 0; table < ACOUSTIC_TABLES; table++)
        filled.acoustic.table_ids[table] = config_int_or(c, table_settings[table], 0);
    if (!acoustic_login_base_url(c, filled.acoustic.base_url, sizeof(filled.acoustic.base_url))) {
        snprintf(message, size, "CTMS_ACOUSTIC_BASE_URL is too long, or not a URL");
        return false;
    }
    /* A contact may wait for a few other requests before its own is sent; see sync.h. */
    if (filled.lease_s < 4 * filled.acoustic.timeout_s) {
        snprintf(message, size,
                 "CTMS_ACOUSTIC_LEASE_S must be at least four times CTMS_ACOUSTIC_TIMEOUT_S");
        return false;
    }
    if (!fill_bulk(&filled, c, message, size))
        return false;
    *settings = filled;
    return true;
}
