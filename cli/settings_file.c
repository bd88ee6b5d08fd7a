/*
 * settings_file.c: looks for the file of settings; see settings_file.h.
 *
 * Only the command line looks: the servers read what --config or CTMS_CONFIG names, because nobody
 * sees in which folder they were started. Somebody else's file in the working directory could make
 * a command work on another database, or send there what it is given.
 */
#include "cli/settings_file.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/ctms/ctms.env"

/* ---- whose file it is ------------------------------------------------------------- */

static bool __attribute__((format(printf, 2, 3)))
refuse(config_error *error, const char *format, ...)
{
    va_list args;
    size_t length;

    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer misses va_start */
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    length = strlen(error->message);
    snprintf(error->message + length, sizeof(error->message) - length,
             ", so it is not read; if it is meant, name it with --config");
    return false;
}

static bool
check_owner(const char *path, const char *what, const struct stat *status, config_error *error)
{
    const struct passwd *owner;

    if (status->st_uid == geteuid() || status->st_uid == 0)
        return true;
    owner = getpwuid(status->st_uid);
    return owner ? refuse(error, "%s\"%.200s\" belongs to the user \"%.60s\"", what, path,
                          owner->pw_name)
                 : refuse(error, "%s\"%.200s\" belongs to the user with id %lu", what, path,
                          (unsigned long)status->st_uid);
}

/* In a sticky folder, such as /tmp, nobody can replace the file of another. */
static bool
check_writers(const char *path, const char *what, const struct stat *status, config_error *error)
{
    if (!(status->st_mode & (S_IWGRP | S_IWOTH)) ||
        (S_ISDIR(status->st_mode) && (status->st_mode & S_ISVTX)))
        return true;
    return refuse(error, "others may write %s\"%.200s\" (mode %04o)", what, path,
                  (unsigned)status->st_mode & 07777);
}

static bool
check_folder(const char *path, config_error *error)
{
    struct stat folder;
    char *name = strndup(path, (size_t)(strrchr(path, '/') - path + 1));
    bool is_there = name && stat(name, &folder) == 0;

    free(name);
    if (!is_there)
        return refuse(error, "\"%.200s\" has just vanished", path);
    return check_owner(path, "the folder of ", &folder, error) &&
           check_writers(path, "the folder of ", &folder, error);
}

/* Nobody else may change its folder, and that to which a link leads, so it stays the file that is
 * looked at here. */
static bool
check_file(const char *path, config_error *error)
{
    struct stat link;
    struct stat file;
    char *real;
    bool is_ok;

    if (lstat(path, &link) != 0)
        return refuse(error, "\"%.200s\" has just vanished", path);
    real = realpath(path, NULL);
    if (!real || stat(path, &file) != 0) {
        free(real);
        return refuse(error, "\"%.200s\" is a link that cannot be followed", path);
    }
    is_ok = check_folder(path, error) && check_owner(path, "", &link, error) &&
            check_owner(path, "", &file, error) && check_writers(path, "", &file, error) &&
            (!S_ISLNK(link.st_mode) || check_folder(real, error));
    free(real);
    return is_ok;
}

/* ---- where it is ------------------------------------------------------------------ */

/* The place in the user's own folder; "" if there is none. */
static void
write_own_path(char *path, size_t size)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int length = 0;

    *path = '\0';
    if (base && *base == '/')
        length = snprintf(path, size, "%s/ctms/ctms.env", base);
    else if (home && *home == '/')
        length = snprintf(path, size, "%s/.config/ctms/ctms.env", home);
    if (length < 0 || (size_t)length >= size)
        *path = '\0';
}

/* Null if there is none. A place that this user may not enter, such as the working directory of
 * somebody who used sudo, has none. A link that leads nowhere is there: the file that was meant is
 * away, and a file of another place may name another database. */
static const char *
find_file(void)
{
    static char own[4096];
    const char *const places[] = {"./ctms.env", own, SYSTEM_FILE};
    struct stat status;

    write_own_path(own, sizeof(own));
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (lstat(places[i], &status) == 0)
            return places[i];
    return NULL;
}

config *
settings_file_read(struct cli *cli, config_error *error)
{
    if (!cli->config_file) {
        cli->config_file = config_file_of_environment();
        cli->is_config_given = cli->config_file != NULL;
    }
    if (!cli->config_file) {
        cli->config_file = find_file();
        if (cli->config_file && !check_file(cli->config_file, error))
            return NULL;
    }
    return config_read(CONFIG_CLI, cli->config_file, environ, error);
}

void
settings_file_print_places(FILE *stream)
{
    const char *file = config_file_of_environment();

    if (!file)
        file = find_file();
    fprintf(stream,
            "the first there is of $CTMS_CONFIG, ./ctms.env, ~/.config/ctms/ctms.env and\n"
            "%s (here and now: %s). The environment wins.\n",
            SYSTEM_FILE, file ? file : "none");
}
