/*
 * settings.c: environment and defaults.
 */
#include "cli/settings.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *value;
} defaults[] = {
    {"CTMS_DB_URL", "dbname=ctms"},
    {"CTMS_SERVER_PREFIX", "http://localhost:8000"},
    {"CTMS_ACOUSTIC_RETRY_LIMIT", "6"},
    {"CTMS_BACKGROUND_HEALTHCHECK_AGE_S", "120"},
};

const char *
settings_get(const char *name)
{
    const char *value = getenv(name);

    for (size_t i = 0; !value && i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (strcmp(defaults[i].name, name) == 0)
            value = defaults[i].value;
    return value;
}
