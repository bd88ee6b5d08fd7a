/*
 * settings.h: what the agent was told, in the form in which it uses it.
 *
 * One struct for the life of the program; SIGHUP fills it anew. Strings belong to the
 * configuration behind it: whoever needs one longer copies it.
 */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/acoustic/account.h"
#include "common/config.h"

typedef struct agent_settings {
    bool is_sync_enabled;        /* false: the queue is left alone */
    bool is_integration_enabled; /* false: the queue is emptied without sending */
    int retry_limit;
    int batch_limit; /* contacts per claim */
    int max_in_flight;
    double loop_s;
    double lease_s;
    acoustic_account acoustic;
    const char *health_path; /* null: no file */
} agent_settings;

/* False, with one line that names the setting, when values do not go together. */
bool agent_settings_fill(agent_settings *settings, const config *c, char *message, size_t size);

#endif
