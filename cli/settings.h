/*
 * settings.h: the settings that `ctms` itself reads.
 */
#ifndef CTMS_CLI_SETTINGS_H
#define CTMS_CLI_SETTINGS_H

#include "cli/cli.h"

/* Value of a setting: environment, then the file of --config, then its default. */
const char *settings_get(const char *name);

#endif
