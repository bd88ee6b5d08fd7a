/*
 * bulk/folder.h: folders for files of contacts. files.c calls it.
 *
 * Whoever makes a folder holds a lock on it (flock) until it dies. So who comes later can tell what
 * nobody needs any more.
 */
#ifndef CTMS_BULK_FOLDER_H
#define CTMS_BULK_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* How folders of runs begin, in a spool that several databases may share. Then come the run, the
 * beginning of its generation and the attempt, or "errors" and the process. */
#define BULK_FOLDER_PREFIX "ctms-run-"

/* Makes a folder with mode 0700, or takes one that is there and empty, and that nobody else may
 * change, and locks it. Returns a descriptor of it, or -1 with a message. */
int bulk_folder_make(const char *path, bool *is_made, char *message, size_t size);
/* Removes the files in it. Folders stay. */
void bulk_folder_empty(int folder);
/* Makes the folder of folders, and those above it, with mode 0700 if they are missing. Others must
 * not be able to put something there in place of ours. */
bool bulk_folder_make_spool(const char *path, char *message, size_t size);
/* Removes the folders in it that have names of runs, are ours, and are locked by nobody. */
void bulk_folder_clean(const char *spool);

#endif
