/*
 * settings.h: the agent's settings, in the form in which it uses them.
 *
 * There is one struct for the life of the program; SIGHUP fills it again. The strings belong to the
 * configuration: code that needs one for longer must copy it.
 */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "acoustic/account.h"
#include "common/config.h"

typedef struct agent_settings {
    bool is_sync_enabled;        /* false: the queue is left alone */
    bool is_integration_enabled; /* false: the queue is emptied, but nothing is sent */
    int retry_limit;
    int batch_limit; /* contacts per claim */
    int max_in_flight;
    double loop_s;
    double lease_s;
    acoustic_account acoustic;
    bool is_bulk_ready;        /* runs by file can be worked on here */
    long long bulk_from;       /* they begin above so many contacts in bulk; 0: never */
    const char *health_path;   /* null: no file */
    const char *metrics_token; /* null: everybody may read the metrics */
} agent_settings;

/* Returns false, with one line that names the setting, when values contradict one another. */
bool agent_settings_fill(agent_settings *settings, const config *c, char *message, size_t size);

#endif
