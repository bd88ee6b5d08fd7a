/* Answers of Acoustic's XML API. uses: acoustic/answer.c */
#include <string.h>

#include "acoustic/answer.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    acoustic_answer answer;

    acoustic_answer_read(&answer, (const char *)data, size);
    FUZZ_CHECK(strchr(answer.text, '\n') == NULL || answer.result != ACOUSTIC_FAULT);
    FUZZ_CHECK(answer.failures != NULL || answer.failure_count == 0);
    for (size_t i = 0; i < answer.failure_count; i++)
        FUZZ_CHECK(memchr(answer.failures[i].email_id, '\0', sizeof(answer.failures[i].email_id)));
    acoustic_answer_free(&answer);
    return 0;
}
