/*
 * config.h: the settings of all programs: one table, read from the environment and a file.
 *
 * Every program knows every name, so that one environment can serve all of them. A program also
 * checks the settings that it does not use. The environment wins over the file. Settings are asked
 * for by name. A name or type that is not in the table ends the program, because it is a mistake in
 * the code.
 */
#ifndef CTMS_COMMON_CONFIG_H
#define CTMS_COMMON_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

/* The programs; the table says for each setting which of them use it. */
typedef enum config_program {
    CONFIG_REST = 1,
    CONFIG_AGENT = 2,
    CONFIG_CLI = 4,
} config_program;

typedef enum config_type {
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_REAL,
    CONFIG_BOOL,
    CONFIG_URL,      /* absolute, http or https */
    CONFIG_SFTP_URL, /* sftp://HOST or sftp://HOST:PORT */
    CONFIG_DB_URL,   /* URI or keywords of libpq */
    CONFIG_CHOICE,   /* one of choices, in upper or lower case */
} config_type;

/* Servers of CTMS_DB_READ_URL. */
#define CONFIG_READ_HOSTS_MAX 16

typedef struct config_setting {
    const char *name;
    config_type type;
    const char *default_value; /* NULL: not set */
    double min, max;   /* of CONFIG_INT and CONFIG_REAL; min: bytes of CONFIG_STRING; max: hosts of
                       CONFIG_DB_URL, 0: any */
    unsigned programs; /* bits of config_program */
    unsigned required_by; /* bits of config_program */
    bool is_secret;       /* never printed; may also be given as NAME_FILE */
    const char *alias;    /* another name in the environment */
    const char *choices;  /* of CONFIG_CHOICE, separated by spaces */
    const char *description;
} config_setting;

/* config_table.c; ends with a row without a name. */
extern const config_setting config_table[];

typedef struct config config;

typedef struct config_error {
    char message[512]; /* one line that names the setting */
} config_error;

/* In the environment it names the file, for all programs, unless --config does. */
#define CONFIG_FILE_NAME "CTMS_CONFIG"
/* What it says; NULL if it is not set, or empty. */
const char *config_file_of_environment(void);

/*
 * Reads all settings. file may be NULL. environment is environ, or a list of the same form. Returns
 * NULL and fills in the error when something is wrong. Free with config_free().
 */
config *
config_read(config_program program, const char *file, char **environment, config_error *error);
/* Reads the settings again from the same places (SIGHUP). */
config *config_read_again(const config *old, config_error *error);
void config_free(config *c);

/*
 * For the main() of a program without other arguments: handles --config FILE, --help and --version
 * (the last two end the program) and reads the settings. On an error it prints the error and ends
 * the program with status 2. purpose is the first line of the help.
 */
config *config_main(config_program program, const char *purpose, int argc, char **argv);

/* NULL when not set. */
const char *config_string(const config *c, const char *name);
/* The file that the value of a secret setting was read from; NULL for others. */
const char *config_secret_file(const config *c, const char *name);
/* fallback when not set. */
long long config_int_or(const config *c, const char *name, long long fallback);
/* For settings that have a default. */
long long config_int(const config *c, const char *name);
double config_real(const config *c, const char *name);
bool config_bool(const config *c, const char *name);

/* Prints the settings of the program with types, defaults and descriptions. */
void config_print_settings(config_program program, FILE *out);

#endif
