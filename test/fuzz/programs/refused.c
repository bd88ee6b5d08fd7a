/* Error files of imports.
 * uses: bulk/refused.c acoustic/answer.c acoustic/classify.c acoustic/reader.c acoustic/redact.c */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bulk/refused.h"
#include "common/utf8.h"
#include "test/fuzz/programs/fuzz.h"

static bool
check_row(void *arg, const char *email_id, const char *reason, bool is_transient)
{
    size_t length = strlen(reason);

    (void)is_transient;
    ++*(long long *)arg;
    FUZZ_CHECK(strlen(email_id) == 36 && email_id[8] == '-');
    FUZZ_CHECK(length > 0 && length <= REFUSED_REASON_MAX && utf8_is_text(reason, length));
    FUZZ_CHECK(strpbrk(reason, "@\n\r") == NULL);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], message[256];
    int fd = memfd_create("refused", MFD_CLOEXEC);
    refused_counts counts;
    long long seen = 0;

    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FUZZ_CHECK(refused_read(path, check_row, &seen, &counts, message, sizeof(message)));
    FUZZ_CHECK(counts.rows == seen + counts.unknown);
    close(fd);
    return 0;
}
