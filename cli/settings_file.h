/* settings_file.h: finds the file of settings if the command line names none. */
#ifndef CTMS_CLI_SETTINGS_FILE_H
#define CTMS_CLI_SETTINGS_FILE_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * Reads the settings of `ctms` from the environment and cli->config_file. If that is null, it is
 * set to the file that CTMS_CONFIG names, or else to the first that is there of ./ctms.env,
 * ctms/ctms.env in $XDG_CONFIG_HOME (~/.config), and /etc/ctms/ctms.env. A file that was found, not
 * named, is refused unless it and its folder belong to this user or root, and others may not write
 * them. Returns null with an error.
 */
config *settings_file_read(struct cli *cli, config_error *error);

/* For --help: the places, and the file that would be read. */
void settings_file_print_places(FILE *stream);

#endif
