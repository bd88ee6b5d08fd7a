/*
 * new_file.h: writes a file as a whole or not at all. The text goes to a part beside it, which only
 * then gets its name: nobody sees half a file, and an existing one stays until the new one is
 * complete. The new file has its own mode and owner, whatever those of the existing one were.
 *
 * A name that is a symbolic link or not a regular file is refused: nothing is ever written to what
 * somebody else has put there. The agent and `ctms` write all their files with it.
 */
#ifndef CTMS_COMMON_NEW_FILE_H
#define CTMS_COMMON_NEW_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* All zero: no file. */
typedef struct new_file {
    FILE *stream;
    char *path;
    char *part;
} new_file;

/* Opens the part; the umask applies to mode. On false *problem says why; it is valid until the next
 * call of a library function. */
bool new_file_open(new_file *file, const char *path, mode_t mode, const char **problem);
/* Gives the part its name. is_durable: it must survive a crash of the machine. On false the part is
 * removed. The file is closed either way. */
bool new_file_finish(new_file *file, bool is_durable, const char **problem);
/* Removes the part and closes it; nothing to do after new_file_finish(). */
void new_file_discard(new_file *file);

#endif
