/* bulk/folder.c: see bulk/folder.h. */
#include "bulk/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* The entries of a folder, which stays open. */
static DIR *
list(int folder)
{
    int copy = openat(folder, ".", OPEN_FOLDER);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;

    if (entries == NULL && copy >= 0)
        close(copy);
    return entries;
}

static const char *
next_name(DIR *entries)
{
    struct dirent *entry = readdir(entries);

    while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0))
        entry = readdir(entries);
    return entry != NULL ? entry->d_name : NULL;
}

static bool
is_empty(int folder)
{
    DIR *entries = list(folder);
    bool is_so = entries != NULL && next_name(entries) == NULL;

    if (entries != NULL)
        closedir(entries);
    return is_so;
}

/* Where folders cannot be locked, nobody finds them unlocked either. */
static bool
lock(int folder)
{
    return flock(folder, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/* Somebody who cleans up may have taken it for a dead one's before it was locked. */
static bool
is_still_there(int folder, const char *path)
{
    struct stat opened, found;

    return fstat(folder, &opened) == 0 && lstat(path, &found) == 0 &&
           opened.st_ino == found.st_ino && opened.st_dev == found.st_dev;
}

/* Whoever may rename what is in it can put other files in place of ours before they are uploaded.
 */
static bool
is_private(int folder)
{
    struct stat found;

    return fstat(folder, &found) == 0 && found.st_uid == geteuid() && (found.st_mode & 022) == 0;
}

int
bulk_folder_make(const char *path, bool *is_made, char *message, size_t size)
{
    int folder = -1;

    for (int tries = 0; tries < 3 && folder < 0; tries++) {
        *is_made = mkdir(path, 0700) == 0;
        if (!*is_made && errno != EEXIST)
            break;
        folder = open(path, OPEN_FOLDER);
        if (folder < 0 && errno != ENOENT)
            break;
        if (folder >= 0 && (!lock(folder) || !is_still_there(folder, path))) {
            close(folder);
            folder = -1;
            errno = EBUSY;
        }
    }
    if (folder < 0) {
        snprintf(message, size, "could not make the folder %s: %s", path, strerror(errno));
        return -1;
    }
    if (!is_private(folder)) {
        snprintf(message, size, "others may change the folder %s", path);
        close(folder);
        return -1;
    }
    if (!*is_made && !is_empty(folder)) {
        snprintf(message, size, "the folder %s is not empty", path);
        close(folder);
        return -1;
    }
    return folder;
}

void
bulk_folder_empty(int folder)
{
    DIR *entries = list(folder);
    const char *name;

    while (entries != NULL && (name = next_name(entries)) != NULL)
        unlinkat(folder, name, 0);
    if (entries != NULL)
        closedir(entries);
}

/* What is left of the path becomes a folder, and each part of it before. */
static bool
make_all(const char *path)
{
    char *part = xstrdup(path);
    struct stat found;
    bool is_there;

    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0700);
        *slash = '/';
    }
    is_there = mkdir(part, 0700) == 0 || errno == EEXIST;
    if (is_there && (stat(part, &found) != 0 || !S_ISDIR(found.st_mode))) {
        errno = ENOTDIR;
        is_there = false;
    }
    free(part);
    return is_there;
}

bool
bulk_folder_make_spool(const char *path, char *message, size_t size)
{
    struct stat found;

    if (!make_all(path) || stat(path, &found) != 0) {
        snprintf(message, size, "could not make the folder %s: %s", path, strerror(errno));
        return false;
    }
    /* The owner may, whatever the mode says. */
    if (found.st_uid != geteuid() && found.st_uid != 0) {
        snprintf(message, size, "the folder %s is another user's", path);
        return false;
    }
    if ((found.st_mode & 022) != 0 && (found.st_mode & S_ISVTX) == 0) {
        snprintf(message, size, "others may change the folder %s; chmod go-w %s", path, path);
        return false;
    }
    if (access(path, R_OK | W_OK | X_OK) != 0) {
        snprintf(message, size, "the folder %s cannot be used: %s", path, strerror(errno));
        return false;
    }
    return true;
}

/* A folder that somebody still uses, or somebody else's, is left alone. */
static void
remove_dead(int spool, const char *name)
{
    int folder = openat(spool, name, OPEN_FOLDER);
    struct stat found;

    if (folder < 0)
        return;
    if (fstat(folder, &found) == 0 && found.st_uid == geteuid() &&
        flock(folder, LOCK_EX | LOCK_NB) == 0) {
        bulk_folder_empty(folder);
        unlinkat(spool, name, AT_REMOVEDIR);
    }
    close(folder);
}

/* Skips characters of the set, at least one; null when there is none. */
static const char *
skip(const char *text, const char *set)
{
    size_t length = text != NULL ? strspn(text, set) : 0;

    return length > 0 ? text + length : NULL;
}

/* Skips the word; null when the text begins otherwise. */
static const char *
skip_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    return text != NULL && strncmp(text, word, length) == 0 ? text + length : NULL;
}

/* "ctms-run-17-0a1b2c3d-2" or "ctms-run-17-0a1b2c3d-errors-4711". The spool may be a folder that
 * has other things in it too. */
static bool
is_of_run(const char *name)
{
    const char *errors;

    name = skip(skip_word(name, BULK_FOLDER_PREFIX), "0123456789");
    name = skip_word(skip(skip_word(name, "-"), "0123456789abcdef"), "-");
    errors = skip_word(name, "errors-");
    name = skip(errors != NULL ? errors : name, "0123456789");
    return name != NULL && *name == '\0';
}

void
bulk_folder_clean(const char *spool)
{
    int folder = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = folder >= 0 ? list(folder) : NULL;
    const char *name;

    while (entries != NULL && (name = next_name(entries)) != NULL) {
        if (is_of_run(name))
            remove_dead(folder, name);
    }
    if (entries != NULL)
        closedir(entries);
    if (folder >= 0)
        close(folder);
}
