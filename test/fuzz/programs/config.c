/* Files of settings. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *nothing[] = {NULL};
    static int file = -1;
    config_error error;
    config *settings;
    char path[64];

    if (file < 0)
        file = memfd_create("settings", 0);
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0 &&
               pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    error.message[0] = '\0';
    settings = config_read(CONFIG_AGENT, path, nothing, &error);
    FUZZ_CHECK((settings != NULL) == (error.message[0] == '\0'));
    config_free(settings);
    return 0;
}
