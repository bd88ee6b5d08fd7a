/*
 * config_file.h: reads a file that holds settings or a secret, whole, and never waits for long: the
 * name may be that of a FIFO that nobody writes, or of a device that never ends.
 */
#ifndef CTMS_COMMON_CONFIG_FILE_H
#define CTMS_COMMON_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/*
 * Reads at most max bytes into a text that is empty, without a byte order mark. Returns false, with
 * a message that names the file, for a file that cannot be opened or read, a folder, a longer file,
 * and a pipe or device that has not ended after 5 seconds. The shell's <(…) is a pipe.
 */
bool config_file_read(const char *path, size_t max, buf *text, char *problem, size_t size);

#endif
